"""The Inception network in whose features the FID of papers is measured.

Inception-v3 (Szegedy et al. 2015, arXiv:1512.00567) as Heusel et al. 2017 (arXiv:1706.08500) took
it: with 1,008 classes, average pools that leave padding out, and a maximum as the last pool. It is
torch-fidelity's `inception-v3-compat`: pictures are enlarged as by TensorFlow 1, and 0..255 becomes
(x - 128) / 128. Weights go by the names of pytorch-fid and torch-fidelity. A batch norm of known
statistics is linear: it is folded into the convolution before it.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from adiff.nn import published

SIDE, WIDTH = 299, 2048  # pixels that it sees, and features that it finds
_EPSILON = 1e-3  # of the batch norms
# Steps one after another. A convolution: (name, features, kernel), and a stride where nothing is
# padded; several in a list stand side by side. A pool is its name.
_STEM = (
  ('Conv2d_1a_3x3', 32, (3, 3), 2), ('Conv2d_2a_3x3', 32, (3, 3), 1),
  ('Conv2d_2b_3x3', 64, (3, 3)), 'pool',
  ('Conv2d_3b_1x1', 80, (1, 1)), ('Conv2d_4a_3x3', 192, (3, 3), 1), 'pool',
)


def _square(pooled):
  """5 x 5, and twice 3 x 3."""
  return (
    [('branch1x1', 64, (1, 1))],
    [('branch5x5_1', 48, (1, 1)), ('branch5x5_2', 64, (5, 5))],
    [('branch3x3dbl_1', 64, (1, 1)), ('branch3x3dbl_2', 96, (3, 3)),
     ('branch3x3dbl_3', 96, (3, 3))],
    ['mean', ('branch_pool', pooled, (1, 1))],
  )


def _long(width):
  """7 x 7 in two halves, and twice."""
  down, across = (7, 1), (1, 7)
  return (
    [('branch1x1', 192, (1, 1))],
    [('branch7x7_1', width, (1, 1)), ('branch7x7_2', width, across), ('branch7x7_3', 192, down)],
    [('branch7x7dbl_1', width, (1, 1)), ('branch7x7dbl_2', width, down),
     ('branch7x7dbl_3', width, across), ('branch7x7dbl_4', width, down),
     ('branch7x7dbl_5', 192, across)],
    ['mean', ('branch_pool', 192, (1, 1))],
  )


def _wide(pool):
  """3 x 3 in two halves side by side; pool: 'mean' or 'most'."""
  def halves(name):
    return [(f'{name}a', 384, (1, 3)), (f'{name}b', 384, (3, 1))]

  return (
    [('branch1x1', 320, (1, 1))],
    [('branch3x3_1', 384, (1, 1)), halves('branch3x3_2')],
    [('branch3x3dbl_1', 448, (1, 1)), ('branch3x3dbl_2', 384, (3, 3)), halves('branch3x3dbl_3')],
    [pool, ('branch_pool', 192, (1, 1))],
  )


# Branches side by side, each of steps.
_MIXED = {
  'Mixed_5b': _square(32), 'Mixed_5c': _square(64), 'Mixed_5d': _square(64),
  'Mixed_6a': (
    [('branch3x3', 384, (3, 3), 2)],
    [('branch3x3dbl_1', 64, (1, 1)), ('branch3x3dbl_2', 96, (3, 3)),
     ('branch3x3dbl_3', 96, (3, 3), 2)],
    ['pool'],
  ),
  'Mixed_6b': _long(128), 'Mixed_6c': _long(160), 'Mixed_6d': _long(160), 'Mixed_6e': _long(192),
  'Mixed_7a': (
    [('branch3x3_1', 192, (1, 1)), ('branch3x3_2', 320, (3, 3), 2)],
    [('branch7x7x3_1', 192, (1, 1)), ('branch7x7x3_2', 192, (1, 7)),
     ('branch7x7x3_3', 192, (7, 1)), ('branch7x7x3_4', 192, (3, 3), 2)],
    ['pool'],
  ),
  'Mixed_7b': _wide('mean'), 'Mixed_7c': _wide('most'),
}
_POOLS = {
  'pool': lambda x: nn.max_pool(x, (3, 3), (2, 2)),
  'most': lambda x: nn.max_pool(x, (3, 3), padding='SAME'),
  'mean': lambda x: nn.avg_pool(x, (3, 3), padding='SAME', count_include_pad=False),
}


Params = dict[str, tuple[jax.Array, jax.Array]]  # by the name of a convolution: kernel, bias


def shapes() -> dict[str, tuple[int, ...]]:
  """{published name: shape} of the weights that are read."""
  return {part: shape for layer in _layers().values() for part, shape in layer.items()}


def check(weights: Mapping[str, np.ndarray]) -> None:
  """Raises ValueError for weights of another network, as published.check."""
  published.check(
    weights, shapes(), 'the FID Inception network by the names of pytorch-fid'
  )


def params(weights: Mapping[str, np.ndarray]) -> Params:
  """The network's parameters from its published weights, {name: array} with the names of torch;
  raises as `check`."""
  check(weights)
  return {
    name: published.folded(weights, tuple(parts), _EPSILON) for name, parts in _layers().items()
  }


def features(params: Params, pictures) -> jax.Array:
  """float32 [n, 2048] of pictures [n, H, W, 3] of values 0..255."""
  x = (enlarged(pictures.astype(jnp.float32)) - 128) / 128
  x = _in_turn(params, '', _STEM, x)
  for name, branches in _MIXED.items():
    x = jnp.concatenate([_in_turn(params, f'{name}.', steps, x) for steps in branches], -1)
  return x.mean((1, 2))


def enlarged(pictures, side=SIDE) -> jax.Array:
  """[n, H, W, C] -> [n, side, side, C], linear between pixels as in TensorFlow 1: the first pixels
  of both lie on each other, and beyond the last one there is nothing else."""
  for axis in (1, 2):
    size = pictures.shape[axis]
    place = np.arange(side, dtype=np.float32) * np.float32(size / side)
    low = place.astype(int)
    share = (place - low).reshape([side if i == axis else 1 for i in range(4)])
    before, after = (pictures.take(one, axis) for one in (low, np.minimum(low + 1, size - 1)))
    pictures = before + (after - before) * share
  return pictures


def _in_turn(params, prefix, steps, x):
  """The steps of a branch."""
  for step in steps:
    if isinstance(step, str):
      x = _POOLS[step](x)
    else:
      found = [
        _convolved(x, *params[prefix + name], *stride) for name, _, _, *stride in _abreast(step)
      ]
      x = jnp.concatenate(found, -1)
  return x


def _convolved(x, kernel, bias, stride=None):
  strides, padding = ((1, 1), 'SAME') if stride is None else ((stride, stride), 'VALID')
  out = jax.lax.conv_general_dilated(
    x, kernel, strides, padding, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )
  return jax.nn.relu(out + bias.reshape(1, 1, 1, -1))


def _abreast(step):
  """The convolutions of a step."""
  return step if isinstance(step, list) else [step]


def _layers():
  """{name of a convolution: {published name: shape} of its kernel and of the batch norm behind}."""
  found = {}

  def follow(prefix, steps, inputs):
    for step in steps:
      if not isinstance(step, str):
        for name, width, kernel, *_ in _abreast(step):
          norm = (f'{prefix}{name}.bn.{part}' for part in published.NORM)
          found[prefix + name] = {
            f'{prefix}{name}.conv.weight': (width, inputs, *kernel), **dict.fromkeys(norm, (width,))
          }
        inputs = sum(width for _, width, *_ in _abreast(step))
    return inputs

  inputs = follow('', _STEM, 3)
  for name, branches in _MIXED.items():
    inputs = sum(follow(f'{name}.', steps, inputs) for steps in branches)
  return found
