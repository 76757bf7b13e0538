"""How fast what a network says changes along the path, for recipes that learn from it."""

import jax
import jax.numpy as jnp

from adiff.learn.setting import Setting


def along(setting: Setting, function, x, t, velocity, *, width, least=0.0) -> jax.Array:
  """d/dt of function(x [B, N, D], t [B, K]) where x moves with `velocity` [B, N, D] = dx/dt.

  width 0: the forward derivative. Else the difference over so much of t, around t, between `least`
  ([] or [B, K]) and 1. A network is told its level by features of up to 1,000 radians, of which a
  derivative sees every ripple; what it says a little before and after tells how the path goes on.
  """
  if not width:
    return jax.jvp(function, (x, t), (velocity, jnp.ones_like(t)))[1]
  before, after = jnp.maximum(t - width / 2, least), jnp.minimum(t + width / 2, 1)

  def at(level):
    return function(x + setting.blocks.per_token(level - t)[..., None] * velocity, level)

  span = setting.blocks.per_token(after - before)[..., None]
  return (at(after) - at(before)) / jnp.where(span > 0, span, 1)
