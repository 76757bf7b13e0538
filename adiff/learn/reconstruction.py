"""How far a reconstruction is from what it was made of, and what moves besides by a gradient."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from adiff.learn import base
from adiff.learn import lessons as lessons_lib
from adiff.learn import state as state_lib
from adiff.nn import autoencoder as autoencoder_lib
from adiff.sequence import values


@dataclasses.dataclass(frozen=True, eq=False)
class Distance:
  """l1 |x - y| + l2 (x - y)^2 + perceptual seen(x, y), means over values, of examples x and
  reconstructions y [B, N, D].

  seen: (x, y) -> scalar, a distance in the features of a network that does not learn.
  """

  l1: float
  l2: float
  perceptual: float
  seen: Callable | None

  def __call__(self, x, y) -> tuple[jax.Array, dict[str, jax.Array]]:
    """(scalar, {name: scalar}); 'mse' is told in any case."""
    difference = y - x
    terms = {'mse': jnp.mean(jnp.square(difference)), 'l1': jnp.mean(jnp.abs(difference))}
    total = self.l2 * terms['mse'] + self.l1 * terms['l1']
    if self.perceptual:
      terms['perceptual'] = self.seen(x, y)
      total += self.perceptual * terms['perceptual']
    return total, terms


@dataclasses.dataclass(frozen=True, eq=False)
class Reconstructing(base.Recipe):
  """What the recipes of codecs have in common: the autoencoder, and how far its reconstructions
  are."""

  role = base.CODEC

  autoencoder: autoencoder_lib.Autoencoder
  tx: optax.GradientTransformation
  ema: float
  microbatches: int
  lessons: tuple[lessons_lib.Lesson, ...] = ()
  seen: Callable | None = None  # see Distance
  l1: values.NotNegative = 0.0  # weights, see Distance
  l2: values.NotNegative = 1.0
  perceptual: values.NotNegative = 0.0
  perceptual_from: values.Path = ''  # the network that sees: its file, or `efficientnet`

  def needs(self, parts):
    base.check_microbatches(parts.config.train)
    if self.perceptual and self.seen is None:
      raise ValueError(
        f'recipe.perceptual={self.perceptual} is a distance in features; write '
        'recipe.perceptual_from=WORKDIR/eyes.npz, of a codec of such pictures that was evaluated '
        'with eval.features=True'
      )

  @property
  def distance(self) -> Distance:
    """Of a reconstruction."""
    return Distance(self.l1, self.l2, self.perceptual, self.seen)

  def served(self, state):
    return {'params': state.ema[self.role], 'extra': state.extra[self.role]}

  def batch(self, size):
    coder = self.autoencoder.coder
    shape = (size, math.prod(coder.grid), coder.dim)
    return {'tokens': jax.ShapeDtypeStruct(shape, jnp.float32), 'label': base.label(size)}

  def network(self, params, role=base.CODEC, *, key=None, loops=False):
    assert role == base.CODEC, f'the {role} is not used alone'
    return self.autoencoder.bind(**params)

  def lost(self, params, extra, x, key) -> tuple[jax.Array, tuple[dict[str, jax.Array], Any]]:
    """(what is descended on for examples x [B, N, D], (scalars, extra)), but for a critic."""
    h, quantised = self.autoencoder.features(params, extra, x, key)
    y = self.autoencoder.coder.read(params['coder']['head'], h)
    distance, terms = self.distance(x, y)
    total = sum(quantised.losses.values(), distance)
    return total, ({'loss': total, **terms, **quantised.losses}, quantised.extra)

  def taught(self, rows, key) -> Any:
    """The rows behind all lessons."""
    for number, lesson in enumerate(self.lessons):
      rows = lesson(jax.random.fold_in(key, number), rows)
    return rows


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
