"""Weights that others published, {name: array} with the names and axes of torch."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

NORM = ('weight', 'bias', 'running_mean', 'running_var')  # what is published of a batch norm


def check(
  weights: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], whose: str
) -> None:
  """Raises ValueError for weights of another network; further ones, of the classes or of training,
  are passed over. whose: those that are wanted, in words."""
  for name, shape in shapes.items():
    if name not in weights or weights[name].shape != shape:
      what = f'have {list(weights[name].shape)} as' if name in weights else 'lack'
      raise ValueError(f'the weights {what} {name}, which is {list(shape)}; give those of {whose}')


def folded(
  weights: Mapping[str, np.ndarray], parts: Sequence[str], epsilon
) -> tuple[jax.Array, jax.Array]:
  """(kernel [h, w, in, out], bias [out]), float32, of a convolution and the batch norm behind it,
  which is linear once its statistics are known. parts: names of the kernel, and of NORM."""
  conv, scale, bias, mean, variance = (np.asarray(weights[part], np.float64) for part in parts)
  scale = scale / np.sqrt(variance + epsilon)
  found = conv.transpose(2, 3, 1, 0) * scale, bias - mean * scale
  kernel, bias = (jnp.asarray(one, jnp.float32) for one in found)
  return kernel, bias
