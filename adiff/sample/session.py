"""A session: one walk, a block at a time, on tokens.

  session = Session(network, bind, plan, blocks, process, solver, coords)
  at = session.start(keys)
  while not session.ended(at):               # in Python, as a person watches
    at, block = session.advance(params, at)

or, inside one compiled program, all of it: x0 = session.finish(params, session.start(keys)).x.
The session cuts the walk into rooms and grows the cache from one to the next.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from adiff.nn import network as network_lib
from adiff.sample import cached, capacity, walk, walker
from adiff.sample import windows as windows_lib
from adiff.sample.solvers import base as solvers_base


class At(NamedTuple):
  """How far a session is."""

  state: cached.State
  made: int  # windows that have been walked


class Next(NamedTuple):
  """The window that a session walks next."""

  places: tuple[int, ...]  # as capacity.Room has them
  shape: windows_lib.Shape
  window: windows_lib.Window


@dataclasses.dataclass(frozen=True, eq=False)
class Session(walker.Walker):
  """How one walk is made.

  caches: caches an example needs, two where guidance reads a history of its own in either branch.
  programs: what `advance` has compiled; may be shared by sessions that differ in plan, stop symbol
  and examples alone.
  """

  narrow: solvers_base.Narrow = solvers_base.uncut
  hints: network_lib.Hints | None = None
  stop: int | None = None
  caches: int = 1
  programs: dict = dataclasses.field(default_factory=dict)

  def start(self, keys, given=None, given_mask=None) -> At:
    """Before the first window; keys [B], given [B, N, ..] and given_mask [B, N] or None."""
    if self.plan.resamples:
      raise ValueError(f'plan.resamples={self.plan.resamples} is for repaint.py; write 0')
    cache = self.network.empty_cache(self.caches * len(keys), 0, self.coords.shape[-1])
    # `advance` uses its state up; what the caller passed stays the caller's.
    keys, given_mask = jax.tree.map(jnp.copy, (keys, given_mask))
    state = cached.start(
      keys, cache, blocks=self.blocks, process=self.process, solver=self.solver, plan=self.plan,
      given=given, given_mask=given_mask, stop=self.stop,
    )
    return At(state, 0)

  def finish(self, params, at: At) -> cached.State:
    """The state at the end of a walk that has just started; windows of equal shape are scanned."""
    state, denoise = at.state, self.bind(params)
    for places, stretch in self.rooms:
      state = state._replace(cache=self.network.grow(state.cache, places))
      state = cached.walk(denoise, state, [stretch], **self._how)
    return state

  def advance(self, params, at: At) -> tuple[At, jax.Array]:
    """(further by one window, its tokens [B, n, ..]): where blocks follow one another, the next
    finished block. One compiled program serves windows of equal shape; at.state is used up."""
    at = self.prepare(params, at)
    window = self.windows[at.made].window
    state, block = self._program(params, at)(params, at.state, window)
    return At(state, at.made + 1), block

  def prepare(self, params, at: At) -> At:
    """`at` with room for what comes next, whose program is compiled: then `advance` runs it, and
    nothing else."""
    at = at._replace(
      state=at.state._replace(
        cache=self.network.grow(at.state.cache, self.windows[at.made].places)
      )
    )
    self._program(params, at)
    return at

  def stand(self, at: At) -> int:
    """How many tokens stand, the first in block order: those before the next window."""
    done = at.made == len(self.windows)
    return self.blocks.num_tokens if done else int(self.windows[at.made].window.start)

  def ended(self, at: At) -> bool:
    """Has every window been walked, or every example met its stop symbol?"""
    if at.made == len(self.windows):
      return True
    if self.stop is None or at.made == 0:
      return False
    end = self.stand(at)  # what is behind may be noise that looks like one
    stops = walk.stops(at.state.x, at.state.known, end, self.stop)
    return bool(jnp.all(jnp.any(stops, axis=1)))

  @functools.cached_property
  def rooms(self) -> list[capacity.Room]:
    """The walk, cut by the places of its cache."""
    return capacity.rooms(self.plan, self.blocks, self.network.reads)

  @functools.cached_property
  def windows(self) -> list[Next]:
    """All windows, one after another."""
    upcoming = []
    for places, stretch in self.rooms:
      for index in range(stretch.periods):
        windows = windows_lib.part(stretch, index).windows
        upcoming += [
          Next(places, shape, windows_lib.on_device(window))
          for shape, window in zip(stretch.shapes, windows, strict=True)
        ]
    return upcoming

  @functools.cached_property
  def _how(self):
    return dict(
      blocks=self.blocks, process=self.process, solver=self.solver, coords=self.coords,
      narrow=self.narrow, hints=self.hints, stop=self.stop,
    )

  def _program(self, params, at):
    """What walks the next window, compiled."""
    _, shape, window = self.windows[at.made]
    shapes = tuple((leaf.shape, leaf.dtype) for leaf in jax.tree.leaves((at.state, window)))
    key = self.stop, shape, shapes

    def walk_window(params, state, window):
      return cached.next_block(self.bind(params), state, shape, window, **self._how)

    if key not in self.programs:
      jitted = jax.jit(walk_window, donate_argnums=1)
      self.programs[key] = jitted.lower(params, at.state, window).compile()
    return self.programs[key]
