"""The walk with a cache: each window of the plan (windows.py) computes its own tokens alone, and
reads the keys of the finished ones. It returns what walk.sample returns.

A finished block's keys are written during the first step of the window that follows it, in the same
call, so that no call is made for the cache alone.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adiff.nn import network as network_lib
from adiff.sample import kept
from adiff.sample import walk as walk_lib
from adiff.sample import windows as windows_lib
from adiff.sample.solvers import base as solvers_base
from adiff.sample.walk import Fixed, Flight, Row
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import states, turns
from adiff.sequence import tokens as tokens_lib


class State(NamedTuple):
  """A walk in progress; leaves lead with the batch, but for the cache's."""

  x: jax.Array  # [B, N, ..] finished tokens, tokens in flight, noise
  known: jax.Array | None  # [B, N] bool: given; None: nothing is
  keys: jax.Array  # [B], one an example
  memory: Any  # the solver's, of all tokens
  cache: Any
  calls: jax.Array  # int32 [B] network evaluations that the example's own tokens have asked for


class Carry(NamedTuple):
  """What a window carries from row to row."""

  flight: Flight
  calls: jax.Array  # as State.calls


def start(
  keys, cache, *, blocks, process, solver, plan, given=None, given_mask=None, stop=None
) -> State:
  """The state before the first window; cache is empty, with places for what its walk writes, see
  capacity.py."""
  walk_lib.check(plan, blocks, process, solver, given, stop)
  if solver.keeps:
    kept.check(blocks, process)
  x, known = walk_lib.initial(keys, blocks, process, given, given_mask, plan.start)
  of_tokens = walk_lib.token_keys(keys, 0, blocks.num_tokens)
  memory = solver.begun(x, walk_lib.fold(of_tokens, walk_lib.MEMORY))
  return State(x, known, keys, memory, cache, jnp.zeros(len(keys), jnp.int32))


def next_block(
  denoise: ask_lib.Denoise, state: State, shape: windows_lib.Shape, window: windows_lib.Window, *,
  blocks, process, solver, coords, narrow=solvers_base.uncut, hints=None, stop=None,
) -> tuple[State, jax.Array]:
  """(state, tokens in flight [B, n, ..]) after one window: where blocks follow one another, the
  next finished block.

  Where every example has stopped, nothing is called.
  """
  fixed = Fixed(blocks, process, solver, narrow)
  denoise = network_lib.hinted(denoise, hints, state.x)
  window_of = _Window(denoise, shape, window, coords, stop, fixed)
  here = window_of.here(state)
  if stop is None:
    state = window_of.finish(state, here)
  else:
    state = jax.lax.cond(
      jnp.all(here.stopped), lambda state: state, lambda state: window_of.finish(state, here), state
    )
  return state, tokens_lib.cut(state.x, window.start, shape.flight)


def walk(
  denoise: ask_lib.Denoise, state: State, stretches, *,
  blocks, process, solver, coords, narrow=solvers_base.uncut, hints=None, stop=None,
) -> State:
  """The state after the stretches of windows (windows.stretches), one after another.

  Periods of windows are scanned: the program does not grow with the number of blocks.
  """
  how = dict(
    blocks=blocks, process=process, solver=solver, coords=coords, narrow=narrow, hints=hints,
    stop=stop,
  )
  for shapes, windows in stretches:

    def advance(state, windows, shapes=shapes):
      for shape, window in zip(shapes, windows, strict=True):
        state, _ = next_block(denoise, state, shape, window, **how)
      return state, None

    state, _ = jax.lax.scan(advance, state, tuple(map(windows_lib.on_device, windows)))
  return state


def sample(
  denoise: ask_lib.Denoise, keys, plan, cache, *, blocks, process, solver, coords,
  given=None, given_mask=None, narrow=solvers_base.uncut, hints=None, stop=None,
) -> jax.Array:
  """x0 [B, N, ..], equal to walk.sample: the windows of the plan, each against the cache."""
  how = dict(blocks=blocks, process=process, solver=solver, stop=stop)
  state = start(keys, cache, plan=plan, given=given, given_mask=given_mask, **how)
  stretches = windows_lib.stretches(plan, blocks)
  return walk(denoise, state, stretches, coords=coords, narrow=narrow, hints=hints, **how).x


class _Here(NamedTuple):
  """What a window reads of the state it begins with, the same in all its rows."""

  known: jax.Array | None  # [B, n]
  keys: jax.Array  # [B, n], one a token
  slots: blocks_lib.Slots  # [n]
  stopped: jax.Array  # [B] bool: has the example met its stop symbol?


class _Window(NamedTuple):
  """How one window is walked."""

  denoise: ask_lib.Denoise
  shape: windows_lib.Shape
  window: windows_lib.Window
  coords: jax.Array
  stop: int | None
  fixed: Fixed

  def here(self, state: State) -> _Here:
    start, runs = self.window.start, self.shape.flight
    keys = walk_lib.token_keys(state.keys, start, self.shape.num_tokens)
    stopped = jnp.zeros(len(keys), bool)
    if self.stop is not None:
      stopped = jnp.any(walk_lib.stops(state.x, state.known, start, self.stop), axis=1)
    slots = tokens_lib.cut(self.fixed.blocks.token_slots(self.coords), start, runs, axis=0)
    return _Here(tokens_lib.cut(state.known, start, runs), keys, slots, stopped)

  def finish(self, state: State, here: _Here) -> State:
    """The state at the end of the window. An adaptive solver's rows end when every example has
    finished its tokens."""
    flight = Flight(
      *tokens_lib.cut((state.x, state.memory), self.window.start, self.shape.flight)
    )
    if self.fixed.solver.keeps:
      carry = self._kept(here, Carry(flight, state.calls))
      x, memory = carry.flight
      return state._replace(x=x, memory=memory, calls=carry.calls)
    carry, cache = self._first_row(state, here, Carry(flight, state.calls))
    num_rows = self.shape.num_rows

    def another(index, carry):
      return self._another_row(here, cache, carry, self._row(index))

    if self.fixed.solver.adaptive:

      def unfinished(indexed):
        index, carry = indexed
        return (index < num_rows) & jnp.any(self._moving(here, carry.flight, self._row(index)))

      def advance(indexed):
        index, carry = indexed
        return index + 1, another(index, carry)

      with turns.loop('rows', num_rows - 1):
        _, carry = jax.lax.while_loop(unfinished, advance, (1, carry))
    else:
      carry = jax.lax.fori_loop(1, num_rows, another, carry)
    x, memory = tokens_lib.put(
      (state.x, state.memory), tuple(carry.flight), self.window.start
    )
    if self.stop is not None:
      end = self.window.start + jnp.sum(self.window.s[-1] == 0)
      x = walk_lib.fill(x, state.known, end, self.stop)
    return state._replace(x=x, memory=memory, cache=cache, calls=carry.calls)

  def _kept(self, here, carry) -> Carry:
    """All rows of a solver that keeps: each reads the keys of the states before it, in a cache that
    every call but the last makes longer."""
    blocks, solver, cache = self.fixed.blocks, self.fixed.solver, None
    slots = blocks.token_slots(self.coords)
    for index in range(self.shape.num_rows):
      row, flight = self._row(index), carry.flight
      now = here._replace(slots=states.state(slots, index))
      t, s = walk_lib.levels(row, here.keys)
      level = solver.level(self.fixed.process, flight.x, t, s)
      ahead = solver.ahead(flight.x, level, s)
      view = walk_lib.in_flight(self.fixed, flight, row, here.known, flight.x, level, ahead)
      keep = self.shape.num_tokens if index + 1 < self.shape.num_rows else 0
      ask = walk_lib.make_ask(blocks, here.known, view, now.slots, cache, keep=keep)
      out, longer = self.denoise(ask)
      carry, cache = self._step(now, cache, carry, row, out), longer
    return carry

  def _first_row(self, state, here, carry) -> tuple[Carry, Any]:
    """(carry, cache): the row whose call writes the keys of the pending tokens."""
    row, flight = self._row(0), carry.flight
    t, s = walk_lib.levels(row, here.keys)
    level = self.fixed.solver.level(self.fixed.process, flight.x, t, s)
    ahead = self.fixed.solver.ahead(flight.x, level, s)
    view = walk_lib.in_flight(self.fixed, flight, row, here.known, flight.x, level, ahead)
    slots, cache = here.slots, state.cache
    num_pending = self.shape.num_pending
    if num_pending:
      pending, slots_pending = self._pending(state)
      view = jax.tree.map(tokens_lib.join, pending, view, is_leaf=tokens_lib.is_tokens)
      slots = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), slots_pending, slots)
    ask = walk_lib.make_ask(self.fixed.blocks, here.known, view, slots, cache, keep=num_pending)
    out, written = self.denoise(ask)
    cache = written if num_pending else cache
    out = tokens_lib.cut(out, out.shape[1] - self.shape.num_tokens, self.shape.flight)
    return self._step(here, cache, carry, row, out), cache

  def _another_row(self, here, cache, carry, row) -> Carry:
    """The carry after a row that reads the cache as it is."""
    flight = carry.flight
    t, s = walk_lib.levels(row, here.keys)
    level = self.fixed.solver.level(self.fixed.process, flight.x, t, s)
    ahead = self.fixed.solver.ahead(flight.x, level, s)
    out = self._call(here, cache, flight, row)(flight.x, level, ahead)
    return self._step(here, cache, carry, row, out)

  def _call(self, here, cache, flight, row):
    """(y, t, s) -> out: what the solver may ask of the tokens in flight."""

    def call(y, t, s):
      view = walk_lib.in_flight(self.fixed, flight, row, here.known, y, t, s)
      ask = walk_lib.make_ask(self.fixed.blocks, here.known, view, here.slots, cache)
      return self.denoise(ask).out

    return call

  def _step(self, here, cache, carry, row, out) -> Carry:
    flight = carry.flight
    asks = self.fixed.solver.asks(row.s, self.shape.flight)[None]
    asked = jnp.max(jnp.where(self._moving(here, flight, row), asks, 0), axis=1)
    call, out = self._call(here, cache, flight, row), self.denoise.head.law(out)
    flight = walk_lib.step(self.fixed, flight, row, here.known, here.keys, out, call)
    return Carry(flight, carry.calls + asked)

  def _moving(self, here, flight, row) -> jax.Array:
    """bool [B, n]: tokens that this row is to move."""
    moving = (row.s < row.t)[None] & ~here.stopped[:, None]
    done = self.fixed.solver.finished(self.fixed.process, flight.x)
    return walk_lib.unknown(here.known, moving) & ~done

  def _pending(self, state) -> tuple[walk_lib.View, blocks_lib.Slots]:
    """The tokens that finished since the last window, as this and later ones read them."""
    first, runs, blocks = self.window.pending, self.shape.pending, self.fixed.blocks
    slots = tokens_lib.cut(blocks.token_slots(self.coords), first, runs, axis=0)
    slots = slots._replace(stream=jnp.full_like(slots.stream, blocks.history is not None))
    keys = walk_lib.token_keys(state.keys, first, self.shape.num_pending)
    x = tokens_lib.cut(state.x, first, runs)
    return walk_lib.finished(self.fixed, keys, x, first), slots

  def _row(self, index) -> Row:
    leaves = self.window.t, self.window.s, self.window.index
    return Row(*(jnp.asarray(leaf)[index] for leaf in leaves))
