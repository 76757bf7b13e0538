"""Rotary positions over any number of axes (RoFormer, arXiv:2104.09864; per axis as in ACDiT,
arXiv:2412.07720)."""

import jax.numpy as jnp


def rotate(x, coords, *, base=100.0):
  """Rotates x [B, S, H, D] by coords [S, A] or [B, S, A]; scores then depend on differences of
  coords alone.

  The D / 2 pairs are dealt out to the axes in turn; pair j of an axis with n pairs turns by
  base^(-j / n) radians a step.
  """
  half = x.shape[-1] // 2
  axes = coords.shape[-1]
  pair = jnp.arange(half)
  count = -(-half // axes)
  frequency = base ** (-(pair // axes).astype(float) / count)
  angle = coords.astype(float)[..., pair % axes]
  angle = angle * jnp.broadcast_to(frequency, angle.shape)
  angle = angle[..., :, None, :] if coords.ndim == 3 else angle[None, :, None, :]
  pairs = x.reshape(*x.shape[:-1], 2, half)
  cos, sin = jnp.cos(angle)[..., None, :], jnp.sin(angle)[..., None, :]
  sin = jnp.concatenate([-sin, sin], axis=-2)
  # The other half by reversal: a concatenation of both results is slow on a CPU.
  turned = pairs * cos.astype(x.dtype) + pairs[..., ::-1, :] * sin.astype(x.dtype)
  return turned.reshape(x.shape)
