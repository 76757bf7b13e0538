"""What training carries from one step to the next, and the average of the parameters.

Randomness is not part of it: every key is folded from (seed, name, step), so a restored state
continues exactly.
"""

import zlib
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax


@flax.struct.dataclass
class State:
  """Everything a checkpoint holds, by the roles of the recipe's networks."""

  step: jax.Array  # int32 [], number of updates made so far
  params: dict[str, Any]  # {role: parameters}
  ema: dict[str, Any]  # {role: their average, a tree of the same structure}
  opt: dict[str, Any]  # {role: what the optax transformation keeps}
  extra: dict[str, Any]  # {role: what moves without a gradient}


def stream(seed: int, name: str, step: int = 0) -> jax.Array:
  """The PRNG key of a purpose at a step, folded from (seed, name, step); step may be traced."""
  return jax.random.fold_in(
    jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode())), step
  )


def create(params: dict[str, Any], tx: dict[str, optax.GradientTransformation]) -> State:
  """Returns the state before the first update, {role: parameters} and {role: transformation}.

  The average starts as a copy of the parameters. Runs under `jax.jit` and `jax.eval_shape`.
  """
  ema = jax.tree.map(jnp.array, params)  # A copy: a donated state must not hold one buffer twice.
  opt = {role: tx[role].init(params[role]) for role in tx}
  return State(step=jnp.zeros((), jnp.int32), params=params, ema=ema, opt=opt, extra={})


def ema_decay(step, decay: float) -> jax.Array:
  """Decay of the average after `step` updates: min(decay, (1 + n) / (10 + n)), float32.

  The warm-up forgets the random initial parameters within a few dozen updates; without it early
  pictures are noise. The formula is that of TensorFlow's ExponentialMovingAverage(num_updates).
  """
  n = jnp.asarray(step, jnp.float32)
  return jnp.minimum(jnp.float32(decay), (1 + n) / (10 + n))


def update_ema(ema, params, *, step, decay: float) -> Any:
  """Returns d * ema + (1 - d) * params with d = ema_decay(step, decay); leaves keep ema's dtype."""
  d = ema_decay(step, decay)

  def average(old, new):
    new = new.astype(jnp.float32)
    return (new + d * (old.astype(jnp.float32) - new)).astype(old.dtype)

  return jax.tree.map(average, ema, params)
