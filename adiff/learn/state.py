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
  """Everything a checkpoint holds.

  step: int32 [], number of updates made so far. params and ema: trees of the same structure.
  opt_state: what the optax transformation keeps.
  """

  step: jax.Array
  params: Any
  ema: Any
  opt_state: Any


def stream(seed: int, name: str, step: int = 0):
  """The PRNG key of a purpose at a step, folded from (seed, name, step); step may be traced."""
  return jax.random.fold_in(
    jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode())), step
  )


def create(key, init_params, tx: optax.GradientTransformation) -> State:
  """Returns the state before the first update; `init_params(key)` returns the parameter tree.

  The average starts as a copy of the parameters. Runs under `jax.jit` and `jax.eval_shape`.
  """
  params = init_params(key)
  ema = jax.tree.map(jnp.array, params)  # A copy: a donated state must not hold one buffer twice.
  return State(step=jnp.zeros((), jnp.int32), params=params, ema=ema, opt_state=tx.init(params))


def ema_decay(step, decay: float):
  """Decay of the average after `step` updates: min(decay, (1 + n) / (10 + n)), float32.

  The warm-up forgets the random initial parameters within a few dozen updates; without it early
  pictures are noise. The formula is that of TensorFlow's ExponentialMovingAverage(num_updates).
  """
  n = jnp.asarray(step, jnp.float32)
  return jnp.minimum(jnp.float32(decay), (1 + n) / (10 + n))


def update_ema(ema, params, *, step, decay: float):
  """Returns d * ema + (1 - d) * params with d = ema_decay(step, decay); leaves keep ema's dtype."""
  d = ema_decay(step, decay)

  def average(old, new):
    new = new.astype(jnp.float32)
    return (new + d * (old.astype(jnp.float32) - new)).astype(old.dtype)

  return jax.tree.map(average, ema, params)
