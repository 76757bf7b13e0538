r"""Sweeps over the steps of a block: all at once, until the walk through them stands still.

A solver's step is x_{j+1} = F_j(x_j): noise is a function of (example key, token, step), so a
stochastic step is one, too. A sweep asks the network at all x_j together, and makes of the answers

  y_0 = x_0,   y_{j+1} = F_j(x_j) + J_j (y_j - x_j)

whose only fixed point is the sequential walk; j steps are exact after j sweeps. J_j is a guess of
how the step's end moves with its start. Picard's is a number, which says what of the step is held
while its start changes, the *coordinate*:

  x      1                      its move: ParaDiGMS, Shih et al. 2023, arXiv:2305.16317, eq. 6
  noise  alpha_s / alpha_t      the estimate of the noise, as Picard on x / alpha
  data   sigma_s / sigma_t      the estimate of the data, as Picard on x / sigma

Anderson's method is right in the directions in which the last `memory` sweeps moved, too: there J_j
is what they saw (a multisecant, Fang & Saad 2009, doi:10.1002/nla.617). It is triangular, as that
of ParaTAA (Tang et al. 2024, arXiv:2402.09970) is: a step learns of earlier ones alone. That fits
one combination of changes to all steps up to j; here each step has its own, and fewer sweeps do.

The change (y - x) / alpha of a step's end, root mean square over a block, is what a tolerance is
held against: what it means for the data. Steps up to the first one that changed more are settled,
and so is the one behind it, whose past was.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from adiff.sample import walk as walk_lib
from adiff.sample.walk import Fixed, Flight, Row
from adiff.sequence import plan as plan_lib

COORDINATES = ('x', 'noise', 'data')
_RIDGE = 1e-6  # of a least-squares problem, as a share of its trace


class Steps(NamedTuple):
  """The steps of a block, as all blocks have them."""

  t: jax.Array  # [T] level before
  s: jax.Array  # [T] and after
  held: jax.Array  # [T] J of the coordinate
  scale: jax.Array  # [T] alpha at s: how large data are there


class Secants(NamedTuple):
  """What the last sweeps asked, and what its steps came to; the latest first."""

  at: jax.Array  # [memory, T, Q, n, D]
  made: jax.Array  # [memory, T, Q, n, D]
  there: jax.Array  # bool [memory, T, Q]


class Way(NamedTuple):
  """The walk through a block as it is guessed; Q: examples, or examples of several blocks."""

  x: jax.Array  # [T + 1, Q, n, D] before every step, and at the end
  out: jax.Array  # [T, Q, n, O] the last answer for each step
  at: jax.Array  # [T, Q, n, D] and what it was an answer to
  asked: jax.Array  # bool [T, Q] is there one?
  fresh: jax.Array  # bool [T, Q] and is it of the past that is there now?
  settled: jax.Array  # int32 [Q] steps that stand; T: all
  past: Secants


def steps_of(plan: plan_lib.Plan, process, coordinate) -> Steps:
  """The steps of a plan whose blocks all make the same."""
  matrix = jnp.asarray(plan.matrix[:plan.budgets[0] + 1, 0], float)
  t, s = matrix[:-1], matrix[1:]
  held = jnp.ones_like(t)
  if coordinate != 'x':
    which = ('noise', 'data').index(coordinate)  # of (alpha, sigma)
    before, after = (process.scales(level)[which][..., 0] for level in (t, s))
    # Only the first step starts at alpha = 0, and its start never changes.
    held = jnp.where(before > 1e-6, after / jnp.where(before > 1e-6, before, 1), 0)
  return Steps(t, s, held, process.scales(s)[0][..., 0])


def begin(x, num_steps, num_outputs, memory) -> Way:
  """Nothing is known but the noise x [Q, n, D]."""
  everywhere = jnp.broadcast_to(x[None], (num_steps + 1, *x.shape))
  asked = jnp.zeros((num_steps, len(x)), bool)
  past = jnp.zeros((memory, num_steps, *x.shape), x.dtype)
  return Way(
    everywhere, jnp.zeros((num_steps, *x.shape[:2], num_outputs), x.dtype), everywhere[:-1],
    asked, asked, jnp.zeros(len(x), jnp.int32),
    Secants(past, past, jnp.zeros((memory, *asked.shape), bool)),
  )


def again(way: Way, which) -> Way:
  """The way with no step settled where `which` [Q]: what its answers followed from has changed."""
  there = way.past.there & ~which[None, None]
  return way._replace(
    fresh=way.fresh & ~which[None], settled=jnp.where(which, 0, way.settled),
    past=way.past._replace(there=there),
  )


def window(way: Way, width) -> tuple[jax.Array, jax.Array]:
  """(steps int32 [width, Q] to ask for, bool: is it one?): the first that are not settled."""
  num_steps = len(way.out)
  index = way.settled[None] + jnp.arange(width)[:, None]
  return jnp.minimum(index, num_steps - 1), index < num_steps


def answered(way: Way, index, real, x, out) -> Way:
  """The way with answers out [width, Q, n, O] to x for the steps of a window."""
  row = jnp.where(real, index, len(way.out))  # those that are none are dropped
  example = jnp.broadcast_to(jnp.arange(index.shape[1])[None], index.shape)
  answers = dict(out=out.astype(way.out.dtype), at=x, asked=True, fresh=True)
  return way._replace(**{
    name: getattr(way, name).at[row, example].set(value, mode='drop')
    for name, value in answers.items()
  })


def sweep(fixed: Fixed, keys, known, steps: Steps, way: Way, tolerance) -> Way:
  """The way after a sweep whose answers are there; keys and known as of walk.step."""
  way = way._replace(at=jnp.where(way.asked[..., None, None], way.at, way.x[:-1]))
  made = _made(fixed, keys, known, steps, way)
  x = _joined(steps, way, made)
  error = jnp.sqrt(jnp.mean((x - way.x)[1:] ** 2, axis=(2, 3))) / steps.scale[:, None]  # [T, Q]
  number = jnp.arange(len(error))[:, None]
  # The first step that is not settled and changed too much, or was not asked since its past moved.
  ends = ((number >= way.settled[None]) & (error > tolerance)) | ~way.fresh
  first = jnp.min(jnp.where(ends, number, len(error)), axis=0)
  last = jnp.sum(way.fresh, axis=0)
  settled = jnp.maximum(way.settled, jnp.minimum(first + 1, last)).astype(jnp.int32)
  past = jax.tree.map(
    lambda new, old: jnp.concatenate([new[None], old])[:len(old)],
    Secants(way.at, made, way.asked), way.past,
  )
  return way._replace(x=x, settled=settled, past=past)


def _made(fixed, keys, known, steps, way):
  """[T, Q, n, D]: what the steps come to by the last answers; where there is none, no move."""

  def make(memory, row):
    t, s, index, x, out, asked = row
    t, s, index = (jnp.broadcast_to(leaf, x.shape[1:2]) for leaf in (t, s, index))
    flight = walk_lib.step(
      fixed, Flight(x, memory), Row(t, s, index), known, keys, out, _no_more
    )
    return flight.memory, jnp.where(asked[:, None, None], flight.x, x)

  rows = steps.t, steps.s, jnp.arange(len(steps.t)), way.at, way.out, way.asked
  return jax.lax.scan(make, fixed.solver.init(way.x[0]), rows)[1]


def _no_more(*_):
  raise AssertionError('a solver of one call a step asked twice')


def _joined(steps, way, made):
  """[T + 1, Q, n, D]: the steps, one behind another; what is settled stays as it is."""
  past = way.past
  there = (past.there & way.asked[None])[..., None, None]
  moved = jnp.where(there, way.at[None] - past.at, 0)  # [memory, T, Q, n, D]
  held = steps.held[:, None, None, None]
  seen = jnp.where(there, made[None] - past.made, 0) - held[None] * moved
  moved, seen = jnp.moveaxis(moved, 1, 0), jnp.moveaxis(seen, 1, 0)
  gram = jnp.einsum('tmqnd,tkqnd->tqmk', moved, moved)
  size = jnp.trace(gram, axis1=2, axis2=3)[..., None, None]
  ridge = jnp.where(size > 0, _RIDGE * size, 1) * jnp.eye(gram.shape[-1])[None, None]
  inverse = jnp.linalg.inv(gram + ridge)

  def join(y, row):
    index, held, x, at, asked, made, moved, seen, inverse = row
    ahead = y - at
    weight = jnp.einsum('qmk,kqnd,qnd->qm', inverse, moved, ahead)
    held = jnp.where(asked, held, 1)[:, None, None]
    y = made + held * ahead + jnp.einsum('qm,mqnd->qnd', weight, seen)
    y = jnp.where((index < way.settled)[:, None, None], x, y)
    return y, y

  rows = (
    jnp.arange(len(steps.t)), steps.held, way.x[1:], way.at, way.asked, made, moved, seen, inverse
  )
  _, y = jax.lax.scan(join, way.x[0], rows)
  return jnp.concatenate([way.x[:1], y])
