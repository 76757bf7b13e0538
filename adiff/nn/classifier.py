"""A small convolutional classifier of pictures: the eyes of a judge.

  pictures [n, H, W, C] in -1..1 - convolutions of stride 2 - hidden layer - classes

Every convolution halves the sides, until none is longer than 8; the first one looks at 5 x 5
pixels, the others at 3 x 3, and each has twice the features of the one before, 96 at most.
"""

import jax
import jax.numpy as jnp
import numpy as np

FIRST, MOST, HIDDEN = 24, 96, 128  # features: of the first convolution, of any, of the hidden layer
SIDE = 8  # of the last map, at most

Params = tuple[tuple[jax.Array, jax.Array], ...]  # kernel and bias of a layer, from below


def init(key, shape, num_classes) -> Params:
  """For pictures of a shape (H, W, C); float32. Weights keep variances (He et al. 2015,
  arXiv:1502.01852), classes begin equally likely."""
  (*sides, inputs), kernels = shape, []
  while not kernels or max(sides) > SIDE:
    width = min(FIRST * 2 ** len(kernels), MOST)
    size = 3 if kernels else 5
    kernels.append((size, size, inputs, width))
    sides, inputs = [-(-side // 2) for side in sides], width
  kernels.append((int(np.prod(sides)) * inputs, HIDDEN))
  layers = [
    (np.sqrt(2 / np.prod(kernel[:-1])) * jax.random.normal(one, kernel), jnp.zeros(kernel[-1:]))
    for one, kernel in zip(jax.random.split(key, len(kernels)), kernels, strict=True)
  ]
  return (*layers, (jnp.zeros((HIDDEN, num_classes)), jnp.zeros(num_classes)))


def maps(params: Params, pictures) -> list[jax.Array]:
  """What each convolution makes of pictures, [n, h, w, features] from fine to coarse."""
  found, x = [], pictures
  for kernel, bias in params[:-2]:
    x = jax.lax.conv_general_dilated(
      x, kernel, (2, 2), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )
    x = jax.nn.relu(x + bias.reshape(1, 1, 1, -1))
    found.append(x)
  return found


def distance(params: Params, x, y) -> jax.Array:
  """How far pictures x and y are apart in the maps."""
  return apart(maps(params, x), maps(params, y))


def apart(ours, theirs) -> jax.Array:
  """sum_i mean |f_i(x) - f_i(y)|^2 / mean |f_i(x)|^2 of the maps f_i (Johnson et al. 2016,
  arXiv:1603.08155), each measured in its own size over the batch."""
  return sum(
    jnp.mean(jnp.square(made - real)) / jnp.maximum(jnp.mean(jnp.square(real)), 1e-6)
    for real, made in zip(ours, theirs, strict=True)
  )


def features(params: Params, pictures) -> jax.Array:
  """[n, 128] of pictures."""
  kernel, bias = params[-2]
  x = maps(params, pictures)[-1].reshape(len(pictures), -1)
  return jax.nn.relu(x @ kernel + bias.reshape(1, -1))


def logits(params: Params, features) -> jax.Array:
  """[n, classes] of features."""
  kernel, bias = params[-1]
  return features @ kernel + bias.reshape(1, -1)
