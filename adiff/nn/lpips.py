"""LPIPS, a distance of pictures in the features of VGG-16, fitted to what people call alike (Zhang
et al. 2018, arXiv:1801.03924).

  pictures [B, H, W, 1 or 3] in -1..1 - less _SHIFT, over _SCALE - 5 stages of convolutions 3 x 3,
  halved by maxima between - f_i [B, h, w, C], what a stage ends with, of length 1 at each place

  d(x, y) = sum_i mean over places of sum_c w_ic (f_i(x) - f_i(y))_c^2

Weights go by the names of the package lpips, `lpips.LPIPS(net='vgg').state_dict()`.
"""

from collections.abc import Mapping
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

# Places of the convolutions of each stage among the layers of torchvision's VGG-16.
STAGES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
SIDE = 16  # of a picture, at least
_SHIFT = np.array([-0.030, -0.088, -0.188], np.float32).reshape(1, 1, 1, 3)
_SCALE = np.array([0.458, 0.448, 0.450], np.float32).reshape(1, 1, 1, 3)


class Lpips(NamedTuple):
  """Its weights."""

  stages: tuple[tuple[tuple[np.ndarray, np.ndarray], ...], ...]  # kernels and biases of each stage
  weights: tuple[np.ndarray, ...]  # [C] of each stage


def of(arrays: Mapping[str, np.ndarray]) -> Lpips:
  """The network of arrays by their published names; others are left away. Raises ValueError where
  one is missing, or they do not follow each other."""
  def named(name, dims):
    if name not in arrays or arrays[name].ndim != dims:
      raise ValueError(f'the weights lack {name} of {dims} axes; save lpips.LPIPS(net="vgg")')
    return np.asarray(arrays[name], np.float32)

  stages, weights, width = [], [], 3
  for number, places in enumerate(STAGES):
    stage = []
    for place in places:
      name = f'net.slice{number + 1}.{place}'
      kernel, bias = named(f'{name}.weight', 4), named(f'{name}.bias', 1)
      if kernel.shape != (len(bias), width, 3, 3):
        raise ValueError(f'{name}.weight is {list(kernel.shape)}, not {[len(bias), width, 3, 3]}')
      stage.append((kernel.transpose(2, 3, 1, 0), bias))
      width = len(bias)
    stages.append(tuple(stage))
    name = f'lin{number}.model.1.weight'
    weight = named(name, 4)
    if weight.shape != (1, width, 1, 1):
      raise ValueError(f'{name} is {list(weight.shape)}, not {[1, width, 1, 1]}')
    weights.append(weight.reshape(-1))
  return Lpips(tuple(stages), tuple(weights))


def maps(net: Lpips, pictures) -> list[jax.Array]:
  """f_i, from fine to coarse."""
  x = (jnp.broadcast_to(pictures, (*pictures.shape[:3], 3)) - _SHIFT) / _SCALE
  found = []
  for number, stage in enumerate(net.stages):
    x = nn.max_pool(x, (2, 2), (2, 2)) if number else x
    for kernel, bias in stage:
      x = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
      )
      x = jax.nn.relu(x + bias.reshape(1, 1, 1, -1))
    size = jnp.sqrt(jnp.sum(jnp.square(x), -1, keepdims=True) + 1e-20)  # 0 has a gradient, too
    found.append(x / (size + 1e-10))
  return found


def distance(net: Lpips, x, y) -> jax.Array:
  """d, the mean of a batch of pairs."""
  parts = zip(net.weights, maps(net, x), maps(net, y), strict=True)
  return sum(
    jnp.mean(jnp.sum(weight.reshape(1, 1, 1, -1) * jnp.square(made - real), -1))
    for weight, real, made in parts
  )
