"""How far a reconstruction is from what it was made of, and what moves besides by a gradient."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from adiff.learn import base
from adiff.learn import state as state_lib


@dataclasses.dataclass(frozen=True, eq=False)
class Distance:
  """l1 |x - y| + l2 (x - y)^2 + perceptual |f(x) - f(y)|^2, each a mean over values, of examples x
  and reconstructions y [B, N, D].

  features: f, [B, N, D] -> [B, F], of a network that does not learn (perceptual losses, Johnson et
  al. 2016, arXiv:1603.08155); its distance is told in units of the mean square of the features.
  """

  l1: float
  l2: float
  perceptual: float
  features: Callable | None

  def __call__(self, x, y) -> tuple[jax.Array, dict[str, jax.Array]]:
    """(scalar, {name: scalar}); 'mse' is told in any case."""
    difference = y - x
    terms = {'mse': jnp.mean(jnp.square(difference)), 'l1': jnp.mean(jnp.abs(difference))}
    total = self.l2 * terms['mse'] + self.l1 * terms['l1']
    if self.perceptual:
      real, made = self.features(x), self.features(y)
      size = jax.lax.stop_gradient(jnp.mean(jnp.square(real)))
      terms['perceptual'] = jnp.mean(jnp.square(made - real)) / jnp.maximum(size, 1e-6)
      total += self.perceptual * terms['perceptual']
    return total, terms


def moved(state, role, grads, tx: optax.GradientTransformation, *, average) -> state_lib.State:
  """The state after a step of one role, its counter apart; average: the decay of the average of
  its parameters, None where none is kept."""
  params = state.params[role]
  updates, opt = tx.update(grads, state.opt[role], params)
  params = optax.apply_updates(params, updates)
  state = state.replace(
    params={**state.params, role: params}, opt={**state.opt, role: opt}
  )
  if average is None:
    return state
  ema = state_lib.update_ema(state.ema[role], params, step=state.step, decay=average)
  return state.replace(ema={**state.ema, role: ema})


def batch(coder, size) -> dict[str, jax.ShapeDtypeStruct]:
  """What a recipe of `size` examples of a coder takes, see Recipe.batch."""
  shape = (size, math.prod(coder.grid), coder.dim)
  return {'tokens': jax.ShapeDtypeStruct(shape, jnp.float32), 'label': base.label(size)}


def taught(lessons, rows, key) -> Any:
  """The rows behind all lessons."""
  for number, lesson in enumerate(lessons):
    rows = lesson(jax.random.fold_in(key, number), rows)
  return rows
