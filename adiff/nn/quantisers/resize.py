"""Features at another size, axis by axis: area down, bicubic up, as the peers' networks have it.

Both are matrices, made on the host: output i of m lies over [i n / m, (i + 1) n / m] of n inputs.
"""

import jax
import jax.numpy as jnp
import numpy as np

SHARPNESS = -0.75  # second derivative's parameter of Keys' kernel (1981); what torch has


def area(num, wanted) -> np.ndarray:
  """float64 [wanted, num]: means of the inputs an output touches (adaptive average pooling)."""
  weights = np.zeros((wanted, num))
  for i in range(wanted):
    start, end = i * num // wanted, -(-(i + 1) * num // wanted)
    weights[i, start:end] = 1 / (end - start)
  return weights


def bicubic(num, wanted) -> np.ndarray:
  """float64 [wanted, num]: Keys' cubic convolution; beyond an edge, inputs are as at it."""
  weights = np.zeros((wanted, num))
  for i in range(wanted):
    centre = (i + 0.5) * num / wanted - 0.5
    first = int(np.floor(centre)) - 1
    for j in range(first, first + 4):
      weights[i, np.clip(j, 0, num - 1)] += _keys(abs(centre - j))
  return weights


def resized(z, shape, weights) -> jax.Array:
  """z [B, *grid, C] -> [B, *shape, C]; weights: (num, wanted) -> [wanted, num]."""
  for axis, wanted in enumerate(shape, start=1):
    if z.shape[axis] != wanted:
      matrix = jnp.asarray(weights(z.shape[axis], wanted), z.dtype)
      z = jnp.tensordot(matrix, z, (1, axis), precision=jax.lax.Precision.HIGHEST)
      z = jnp.moveaxis(z, 0, axis)
  return z


def _keys(x):
  """Keys' kernel at a distance 0 <= x <= 2."""
  a = SHARPNESS
  if x <= 1:
    return (a + 2) * x**3 - (a + 3) * x**2 + 1
  return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
