"""Sampling is a walk through the plan's matrix of levels; this is its definition. cached.py is
fast, and equal.

One key an example; a token's noise is a function of (example key, token, step). So a sample does
not depend on the batch it sits in, and stochastic steps agree between the two walks.

given: known tokens, anywhere (a prompt, all but a hole); they stay at level 0.
stop: a symbol behind whose first occurrence in an example, in block order, nothing is made: tokens
there become stop symbols too. Given tokens neither count as one nor are overwritten.
hints: what the network is shown of tokens besides, made of finished ones; see network.Hints.
narrow: logits [.., V] -> logits, the cut of the law that symbols are sampled from (truncation.py);
what is decided, and what the network is shown, follows from the law as it is.
"""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from adiff.nn import network as network_lib
from adiff.process import base as process_base
from adiff.sample.solvers import base as solvers_base
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import plan as plan_lib
from adiff.sequence import tokens as tokens_lib

_PRIOR, _HISTORY, _STEP, MEMORY = 0, 1, 2, 2**31 - 1  # what a token's key is folded with


class Row(NamedTuple):
  """A row of the plan's matrix, for n tokens."""

  t: jax.Array  # [n] level before
  s: jax.Array  # [n] level after
  index: jax.Array  # int [n] steps that the token's block has made before


class Flight(NamedTuple):
  """Tokens on their way, as they are carried from row to row."""

  x: jax.Array  # [B, n, ..]
  memory: Any  # the solver's; leaves [B, n, ..]


class View(NamedTuple):
  """Tokens as the network sees them."""

  x: jax.Array  # [B, n, ..]
  t: jax.Array  # [B, n]
  s: jax.Array  # [B, n]
  hint: dict[str, jax.Array]  # [B, n, C]


class Fixed(NamedTuple):
  """What is the same all the way."""

  blocks: blocks_lib.Blocks
  process: process_base.Process
  solver: solvers_base.Solver
  narrow: solvers_base.Narrow


def sample(
  denoise: ask_lib.Denoise, keys, plan: plan_lib.Plan, *, blocks, process, solver, coords,
  given=None, given_mask=None, narrow=solvers_base.uncut, hints=None, stop=None, trace=False,
) -> jax.Array:
  """x0 [B, N, ..]: the walk as it is defined, every row on the whole sequence.

  keys [B], one an example; coords [N, A] in raster order; given [B, N, ..] and given_mask [B, N].
  trace: return x after every row instead, [R, B, N, ..].
  """
  chex.assert_shape(coords, (blocks.num_tokens, None))
  assert not solver.keeps, 'kept.py has the definition'
  check(plan, blocks, process, solver, given, stop)
  fixed = Fixed(blocks, process, solver, narrow)
  x, known = initial(keys, blocks, process, given, given_mask, plan.start)
  keys, slots = token_keys(keys, 0, blocks.num_tokens), blocks.token_slots(coords)
  flight = Flight(x, solver.begun(x, fold(keys, MEMORY)))

  def take_row(flight, now):
    row, is_past = now
    past = finished(fixed, keys, flight.x)
    told = network_lib.hinted(denoise, hints, flight.x)
    here = slots._replace(stream=is_past.astype(jnp.int32))

    def call(y, t, s):
      view = in_flight(fixed, flight, row, known, y, t, s)
      view = jax.tree.map(
        lambda a, b: tokens_lib.pick(is_past[None], a, b), past, view, is_leaf=tokens_lib.is_tokens
      )
      return told(make_ask(blocks, known, view, here)).out

    t, s = levels(row, keys)
    level = solver.level(process, flight.x, t, s)
    out = told.head.law(call(flight.x, level, solver.ahead(flight.x, level, s)))
    flight = step(fixed, flight, row, known, keys, out, call)
    return flight, flight.x if trace else None

  flight, rows = jax.lax.scan(take_row, flight, _rows(plan, blocks))
  x = flight.x if stop is None else fill(flight.x, known, blocks.num_tokens, stop)
  return rows.at[-1].set(x) if trace else x


def _rows(plan, blocks):
  """(Row [R, N], bool [R, N]: is the token read as history?) of the whole walk."""
  matrix = blocks.per_token(jnp.asarray(plan.matrix, float))
  rows = Row(matrix[:-1], matrix[1:], blocks.per_token(plan.index))
  is_past = (np.arange(plan.num_rows)[:, None] >= plan.ends) & (blocks.history is not None)
  return rows, blocks.per_token(is_past)


# ---- One step, of either walk --------------------------------------------------------------------


def levels(row: Row, like) -> tuple[jax.Array, jax.Array]:
  """(t, s) of a row, of the shape [B, n] of `like`."""
  return tuple(jnp.broadcast_to(level[None], like.shape) for level in (row.t, row.s))


def in_flight(fixed: Fixed, flight: Flight, row: Row, known, y, t, s) -> View:
  """Tokens y [B, n, ..] at levels t, asked for level s, as the network sees them: given tokens are
  what they are, at level 0."""
  planned = (hold(known, 0, level) for level in levels(row, t))
  hint = fixed.solver.shown(flight.memory, *planned)
  return View(hold(known, flight.x, y), hold(known, 0, t), hold(known, 0, s), hint)


def finished(fixed: Fixed, keys, x, first=0) -> View:
  """Finished tokens x, those from `first` on, as later blocks read them; keys [B, n] of tokens."""
  blocks, process, solver = fixed.blocks, fixed.process, fixed.solver
  level = jnp.zeros(x.shape[:2], float)
  if blocks.history is not None:
    level = blocks.past(x.shape[:2], level.dtype, first=first)
    x = process.add_noise(fold(keys, _HISTORY), x, level)
  return View(x, level, level, solver.shown(solver.init(x), level, level))


def make_ask(blocks, known, view: View, slots, cache=None, keep=0) -> ask_lib.Ask:
  """The Ask of tokens and their slots; levels are told one a block where that is all there is."""
  size = blocks.sizes[0]
  alike = known is None and set(blocks.sizes) == {size}
  t, s = (level[:, ::size] if alike else level for level in (view.t, view.s))
  return ask_lib.Ask(view.x, t, slots, s, view.hint, cache=cache, keep=keep)


def step(fixed: Fixed, flight: Flight, row: Row, known, keys, out, call) -> Flight:
  """The tokens after a row. out: call(x, level, ahead), the answer to its first question, or the
  law that it is (head.py)."""
  t, s = levels(row, keys)
  keys = fold(keys, _STEP + row.index)
  y, memory = fixed.solver.step(
    call, out, fixed.process, keys, flight.x, t, s, flight.memory, fixed.narrow
  )
  return Flight(hold(known, flight.x, y), memory)


# ---- Tokens: their keys, which are known, where they stop ----------------------------------------


def initial(
  keys, blocks, process, given=None, given_mask=None, start=1.0
) -> tuple[jax.Array, jax.Array | None]:
  """(x [B, N, ..], known bool [B, N] or None): noise, or data noised to `start`, but for known."""
  keys = fold(token_keys(keys, 0, blocks.num_tokens), _PRIOR)
  shape, t = blocks.shape(len(keys)), jnp.full(keys.shape, start)
  x = process.add_noise(keys, given, t) if start < 1 else process.prior(keys, shape)
  if given is None:
    return x, None
  chex.assert_trees_all_equal_shapes(given, x)
  return hold(given_mask, given, x), given_mask


def token_keys(keys, first, num) -> jax.Array:
  """[B, num] keys of the tokens from `first` on; keys [B], one an example."""
  of_example = jax.vmap(jax.random.fold_in, in_axes=(None, 0))
  return jax.vmap(of_example, in_axes=(0, None))(keys, first + jnp.arange(num))


def fold(keys, data) -> jax.Array:
  """fold_in of every token's key [B, n]; data is one number or [n]."""
  of_example = jax.vmap(jax.random.fold_in)
  data = jnp.broadcast_to(data, keys.shape[1:])
  return jax.vmap(of_example, in_axes=(0, None))(keys, data)


def hold(known, held, free) -> jax.Array:
  """`held` where tokens are known [B, n], else `free`; None: nothing is known."""
  return free if known is None else tokens_lib.pick(known, held, free)


def unknown(known, tokens) -> jax.Array:
  """bool [.., n] `tokens` that are not known."""
  return tokens if known is None else tokens & ~known


def stops(x, known, end, stop) -> jax.Array:
  """bool [B, N]: stop symbols that the walk made among the first `end` tokens."""
  return unknown(known, (x == stop) & (jnp.arange(x.shape[1]) < end)[None])


def fill(x, known, end, stop) -> jax.Array:
  """x [B, N] with the tokens behind an example's first made stop symbol replaced by it."""
  made = stops(x, known, end, stop).astype(jnp.int32)
  return jnp.where(unknown(known, jnp.cumsum(made, axis=1) > made), stop, x)


def check(plan, blocks, process, solver, given, stop=None) -> None:
  """Raises ValueError for what cannot be walked, in words."""
  plan.check_history(blocks)
  if given is None and (plan.given or plan.start < 1):
    raise ValueError(f'plan.given={plan.given}, plan.start={plan.start}: pass data as `given`')
  if solver.adaptive and not plan.sequential:
    raise ValueError(
      f'solver {type(solver).__name__} finishes one block before the next; write plan.delay=None'
    )
  if stop is not None and not process.discrete:
    raise ValueError(f'stop={stop} is a symbol and not all tokens are; leave stop=None')
