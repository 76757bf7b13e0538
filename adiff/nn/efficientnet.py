"""EfficientNet-Lite0, a small classifier of ImageNet in whose features pictures are compared.

EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946, table 1) without squeeze and excitation, with
min(max(x, 0), 6) for swish. A block widens its input, looks at k x k pixels of each channel by
itself, and narrows again; where neither size nor width change, its input is added. 0..255 becomes
(x - 127) / 128. Weights go by the names of efficientnet-lite-pytorch. A batch norm of known
statistics is linear: it is folded into the convolution before it.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adiff.nn import classifier, published

SIDE, WIDTH = 224, 1280  # pixels that it has learnt to see, and features that it finds
LEAST = 32  # pixels of a side in `distance`: the last map is 1/32 of it
_EPSILON = 1e-3  # of the batch norms
_STEM = 32  # features
# Blocks in turn: how many, k, stride of the first one, how much wider inside, features.
_STAGES = (
  (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112),
  (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
)

Params = dict[str, tuple[jax.Array, jax.Array]]  # by the name of a convolution: kernel, bias


class _Block(NamedTuple):
  name: str
  inputs: int
  inside: int
  size: int  # k
  stride: int
  width: int


def _blocks() -> Iterator[_Block]:
  """All of them, from below."""
  number, inputs = 0, _STEM
  for times, size, first, wider, width in _STAGES:
    for stride in (first, *(1,) * (times - 1)):
      yield _Block(f'_blocks.{number}.', inputs, wider * inputs, size, stride, width)
      number, inputs = number + 1, width


def _layers():
  """{name of a convolution: {published name: shape} of its kernel and of the batch norm behind}."""
  found = {}

  def layer(name, norm, *shape):
    norms = (f'{norm}.{part}' for part in published.NORM)
    found[name] = {f'{name}.weight': shape, **dict.fromkeys(norms, shape[:1])}

  layer('_conv_stem', '_bn0', _STEM, 3, 3, 3)
  for name, inputs, inside, size, _, width in _blocks():
    if inside != inputs:
      layer(f'{name}_expand_conv', f'{name}_bn0', inside, inputs, 1, 1)
    layer(f'{name}_depthwise_conv', f'{name}_bn1', inside, 1, size, size)
    layer(f'{name}_project_conv', f'{name}_bn2', width, inside, 1, 1)
  layer('_conv_head', '_bn1', WIDTH, width, 1, 1)
  return found


def shapes() -> dict[str, tuple[int, ...]]:
  """{published name: shape} of the weights that are read."""
  return {part: shape for layer in _layers().values() for part, shape in layer.items()}


def check(weights: Mapping[str, np.ndarray]) -> None:
  """Raises ValueError for weights of another network, as published.check."""
  published.check(
    weights, shapes(), 'EfficientNet-Lite0 by the names of efficientnet-lite-pytorch'
  )


def params(weights: Mapping[str, np.ndarray]) -> Params:
  """The network's parameters from its published weights, {name: array} with the names of torch;
  raises as `check`."""
  check(weights)
  return {
    name: published.folded(weights, tuple(parts), _EPSILON) for name, parts in _layers().items()
  }


def maps(params: Params, x) -> list[jax.Array]:
  """What the stages make of pictures [n, H, W, 3] as the network sees them, [n, h, w, C] each of
  half the side of the one before."""
  x, found = _bounded(_convolved(x, *params['_conv_stem'], stride=2)), []
  for name, inputs, inside, _, stride, width in _blocks():
    if stride == 2:
      found.append(x)
    y = x if inside == inputs else _bounded(_convolved(x, *params[f'{name}_expand_conv']))
    kernel, bias = params[f'{name}_depthwise_conv']
    y = _bounded(_convolved(y, kernel, bias, stride=stride, groups=inside))
    y = _convolved(y, *params[f'{name}_project_conv'])
    x = x + y if stride == 1 and inputs == width else y
  return [*found, x]


def features(params: Params, pictures) -> jax.Array:
  """float32 [n, 1280] of pictures [n, H, W, 3] of values 0..255, which are brought to the side that
  the network has learnt, linear between pixels, and smoothed where they become smaller."""
  shape = len(pictures), SIDE, SIDE, 3
  x = jax.image.resize(pictures.astype(jnp.float32), shape, 'linear')
  x = maps(params, (x - 127) / 128)[-1]
  return _bounded(_convolved(x, *params['_conv_head'])).mean((1, 2))


def distance(params: Params, x, y) -> jax.Array:
  """How far pictures [n, H, W, 1 or 3] of -1..1 are apart in the maps of their own size, as
  classifier.distance."""
  ours, theirs = (
    maps(params, (127.5 * jnp.broadcast_to(one, (*one.shape[:3], 3)) + 0.5) / 128) for one in (x, y)
  )
  return classifier.apart(ours, theirs)


def _bounded(x):
  return jnp.clip(x, 0, 6)


def _convolved(x, kernel, bias, *, stride=1, groups=1):
  out = jax.lax.conv_general_dilated(
    x, kernel, (stride, stride), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    feature_group_count=groups,
  )
  return out + bias.reshape(1, 1, 1, -1)
