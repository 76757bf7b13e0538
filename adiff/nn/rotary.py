"""Rotary positions over any number of axes (RoFormer, arXiv:2104.09864): every pair of features
turns with one axis. (ACDiT, arXiv:2412.07720, deals features out to axes, too, but pairs those of
different axes, which is no rotation.)"""

import jax
import jax.numpy as jnp


def turns(coords, size, *, base=100.0) -> tuple[jax.Array, jax.Array]:
  """(cos, sin) [1 or B, S, 1, size / 2] by which `rotate` turns heads of `size` features at coords
  [S, A] or [B, S, A].

  The size / 2 pairs are dealt out to the axes in turn; pair j of an axis with n pairs turns by
  base^(-j / n) radians a step.
  """
  half, axes = size // 2, coords.shape[-1]
  pair = jnp.arange(half)
  count = -(-half // axes)
  frequency = base ** (-(pair // axes).astype(float) / count)
  angle = coords.astype(float)[..., pair % axes]
  angle = angle * jnp.broadcast_to(frequency, angle.shape)
  both = jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)
  # A product ends a fusion: without it XLA makes the cosines again for every head, example and
  # layer, which took ten times as long as the rotation itself (on a CPU).
  both = jnp.matmul(both, jnp.eye(2 * half, dtype=both.dtype), precision='highest')
  both = both if coords.ndim == 3 else both[None]
  return tuple(jnp.split(both[:, :, None], 2, axis=-1))


def rotate(x, turns) -> jax.Array:
  """Rotates x [B, S, H, D]; scores then depend on differences of coords alone."""
  cos, sin = (leaf.astype(x.dtype) for leaf in turns)
  first, second = jnp.split(x, 2, axis=-1)
  return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
