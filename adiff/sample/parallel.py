"""The walk in parallel: the steps of a block together, and those of the blocks behind it.

A window of blocks is in flight, each with a guess of all its steps (sweeps.py); a later one reads
the guess of where the earlier ones end, as it would read them finished. Each round is one call of
the network:

  [ copies of block h-1, and of the ends of h, h+1, .. as they are guessed | steps of h, h+1, .. ]

where h is the first block that has not settled; the steps are streams of their own in one sequence,
so that a copy is computed once. A block that has settled is frozen, and its keys are written in the
call of the next round. As noise is a function of (example key, token, step), the only walk that
stands still is the sequential one, and at a small tolerance its sample is returned. An example that
settles early waits for its batch.
"""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adiff.nn import network as network_lib
from adiff.process import base as process_base
from adiff.sample import capacity, sweeps, walk
from adiff.sample.solvers import base as solvers_base
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import plan as plan_lib
from adiff.sequence import values

NONE, PICARD, ANDERSON = METHODS = ('none', 'picard', 'anderson')
_ROWS = 2  # the stream of the first step; 0 and 1 are a block's own copies


@dataclasses.dataclass(frozen=True)
class Parallel:
  """How a walk is made in parallel; the section `parallel` of a config."""

  method: Annotated[str, values.one_of(*METHODS)]
  coordinate: Annotated[str, values.one_of(*sweeps.COORDINATES)]
  window: values.Whole  # steps of a block that are asked for together; 0: all
  blocks: values.Count  # in flight
  start: values.Count  # sweeps that a block waits for the one before
  memory: values.Count  # of anderson: sweeps
  tolerance: values.Positive

  def needs(self, parts: Any) -> None:
    """Raises ValueError where such a walk would not come to the sequential one."""
    if self.method == NONE:
      return
    blocks, plan, told = parts.blocks, parts.plan, f'parallel.method={self.method}'
    if parts.spec.by_kind or not parts.process.has_ode:
      raise ValueError(
        f'{told} sweeps over steps between floats and needs process gaussian and tokens of one '
        'kind; set parallel.method=none'
      )
    if parts.solver.calls > 1 or parts.model.num_hints:
      raise ValueError(
        f'{told} needs steps that follow from one call: solver first_order or multistep, without '
        'model.self_condition; set parallel.method=none, or another solver'
      )
    if parts.hints is not None or plan.start < 1 or plan.resamples:
      raise ValueError(
        f'{told} begins at noise, goes one way and shows no hints; set parallel.method=none'
      )
    if len(set(blocks.sizes)) > 1 or len(set(plan.budgets)) > 1 or not plan.sequential or (
      plan.given or parts.model.shifted or len(set(plan.spacing_of_block)) > 1
    ):
      raise ValueError(
        f'{told} needs equal blocks with equal steps, one after another; set plan.first=0 and '
        'plan.delay=None, or parallel.method=none'
      )


class Counts(NamedTuple):
  """What a walk took, of each example."""

  rounds: jax.Array  # int32 [B] calls one after another
  work: jax.Array  # int32 [B] evaluations of a block at a step, those of one round included


class At(NamedTuple):
  """How far a walk is. M blocks are in flight, Q = M B."""

  x: jax.Array  # [B, N, D]: finished blocks, and the noise of the others
  known: jax.Array | None  # bool [B, N]
  keys: jax.Array  # [B]
  cache: Any
  head: jax.Array  # int32 []: h, the first block that has not settled
  written: jax.Array  # int32 []: blocks whose keys are in the cache
  way: sweeps.Way
  joined: jax.Array  # int32 [M]: rounds that each block has been in flight, -1: it waits
  read: jax.Array  # [Q, n, D] the end before each block that its settled steps follow from
  counts: Counts

  @property
  def calls(self) -> jax.Array:
    """int32 [B]: network evaluations that the example's own tokens have asked for."""
    return self.counts.work


@dataclasses.dataclass(frozen=True, eq=False)
class Session:
  """As session.Session, of a walk that is made as a whole: `finish` alone, and no stop symbol."""

  network: network_lib.Network
  bind: Callable[[Any], ask_lib.Denoise]
  plan: plan_lib.Plan
  blocks: blocks_lib.Blocks
  process: process_base.Process
  solver: solvers_base.Solver
  coords: jax.Array
  how: Parallel
  caches: int = 1

  def start(self, keys, given=None, given_mask=None) -> At:
    """Before the first round; keys [B], given [B, N, D] and given_mask [B, N] or None."""
    walk.check(self.plan, self.blocks, self.process, self.solver, given)
    x, known = walk.initial(
      keys, blocks=self.blocks, process=self.process, given=given, given_mask=given_mask
    )
    places = capacity.places(self.plan, self.blocks, self.network.reach, self.network.sinks)
    cache = self.network.empty_cache(self.caches * len(keys), places, self.coords.shape[-1])
    none, none_of_all = jnp.int32(0), jnp.zeros(len(keys), jnp.int32)
    noise = jnp.concatenate([self._block(x, k) for k in range(self._in_flight)])
    memory = self.how.memory if self.how.method == ANDERSON else 0
    way = sweeps.begin(noise, self._steps, self.process.num_outputs, memory)
    joined = jnp.where(jnp.arange(self._in_flight) == 0, 0, -1)
    return At(
      x, known, keys, cache, none, none, way, joined, jnp.zeros_like(noise),
      Counts(none_of_all, none_of_all),
    )

  def finish(self, params, at: At) -> At:
    """The end of the walk."""
    denoise = self.bind(params)

    def going(at):
      return at.head < self.blocks.num_blocks

    return jax.lax.while_loop(going, lambda at: self._shifted(self._round(denoise, at)), at)

  # ---- Sizes -------------------------------------------------------------------------------------

  @property
  def _steps(self):
    return self.plan.budgets[0]

  @property
  def _size(self):
    return self.blocks.sizes[0]

  @property
  def _in_flight(self):
    return min(self.how.blocks, self.blocks.num_blocks)

  @property
  def _tolerance(self):
    """Of blocks that settle behind a guess, half is left for how much that may still move."""
    return self.how.tolerance / (1 if self._in_flight == 1 else 2)

  @property
  def _copies(self):
    """Blocks that a call computes the keys of."""
    return self._in_flight if self.blocks.num_blocks > 1 else 0

  # ---- A round -----------------------------------------------------------------------------------

  def _round(self, denoise, at: At) -> At:
    """One call, and a sweep over the steps of every block in flight."""
    way, ends = at.way, at.way.x[-1]
    read = jnp.concatenate([self._block(at.x, at.head - 1), ends])[:len(ends)]
    moved = jnp.sqrt(jnp.mean((read - at.read) ** 2, axis=(1, 2))) > self._tolerance
    moved = self._of_blocks(moved)
    moved = jnp.cumsum(moved, axis=0) > 0  # and what reads it
    moved = moved.reshape(-1)
    way = sweeps.again(way, moved)
    read = jnp.where(moved[:, None, None], read, at.read)
    width = min(self.how.window, self._steps) if self.how.window else self._steps
    index, real = sweeps.window(way, width)
    flying = (at.joined >= 0) & (at.head + jnp.arange(self._in_flight) < self.blocks.num_blocks)
    real &= jnp.repeat(flying, len(at.keys))[None]
    x = jnp.take_along_axis(way.x, index[..., None, None], axis=0)
    steps = sweeps.steps_of(self.plan, self.process, self.how.coordinate)
    out, cache = self._call(denoise, at, ends, x, steps.t[index], steps.s[index])
    way = sweeps.answered(way, index, real, x, out)
    keys, known = self._tokens(at)
    fixed = walk.Fixed(self.blocks, self.process, self.solver, solvers_base.uncut)
    way = sweeps.sweep(fixed, keys, known, steps, way, self._tolerance)
    asked = jnp.sum(self._of_blocks(jnp.sum(real, axis=0)), axis=0).astype(jnp.int32)
    counts = Counts(at.counts.rounds + (asked > 0), at.counts.work + asked)
    return at._replace(
      cache=cache, written=at.head, way=way, read=read, counts=counts,
      joined=jnp.where(flying, at.joined + 1, -1),
    )

  def _call(self, denoise, at, ends, x, t, s):
    """(out [W, Q, n, O], the cache with block h-1 in it): steps x [W, Q, n, D] at levels t, s [W,
    Q], ends [Q, n, D] as later blocks read them."""
    num, size, flight = len(at.keys), self._size, self._in_flight
    width = len(x)
    row = self._in_sequence(x)  # [B, M W n, D]
    t, s = (self._in_sequence(jnp.broadcast_to(leaf[..., None], x.shape[:3])) for leaf in (t, s))
    slots = [self._slots(at.head + i, _ROWS + i * width + w, False)
             for i in range(flight) for w in range(width)]
    if at.known is not None:
      known = jnp.concatenate([
        jnp.tile(self._block(at.known, at.head + i), (1, width)) for i in range(flight)
      ], axis=1)
      t, s = (jnp.where(known, 0, level) for level in (t, s))
    if self._copies:
      ends = self._of_blocks(ends)
      past = [(at.head - 1, self._block(at.x, at.head - 1))]
      past += [(at.head + i, ends[i]) for i in range(flight - 1)]
      seen = [self._read(at, block, own) for block, own in past]
      row = jnp.concatenate([*(view.x for view in seen), row], axis=1)
      t, s = (jnp.concatenate([*(view.t for view in seen), level], axis=1) for level in (t, s))
      stream = int(self.blocks.history is not None)
      # Block h-1 is read here until it is in the cache.
      fresh = at.head > at.written
      first = jnp.where(fresh | (at.cache is None), at.head - 1, -1)
      blocks = [first, *(block for block, _ in past[1:])]
      slots = [self._slots(block, stream, True) for block in blocks] + slots
    slots = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *slots)
    if at.known is None:
      t, s = t[:, ::size], s[:, ::size]
    ask = ask_lib.Ask(
      row, t, slots, s, cache=at.cache, keep=size if self._copies else 0
    )
    out, written = denoise(ask)
    out = out[:, -flight * width * size:].reshape(num, flight, width, size, -1)
    out = jnp.transpose(out, (2, 1, 0, 3, 4)).reshape(width, flight * num, size, -1)
    if self._copies:
      cache = jax.tree.map(lambda new, old: jnp.where(fresh, new, old), written, at.cache)
    else:
      cache = at.cache
    return out, cache

  def _read(self, at, block, x):
    """Tokens x [B, n, D] of a block as later ones read them."""
    first = block * self._size
    keys = walk.token_keys(at.keys, first, self._size)
    fixed = walk.Fixed(self.blocks, self.process, self.solver, solvers_base.uncut)
    return walk.finished(fixed, keys, x, first)

  def _slots(self, block, stream, readable):
    """Slots [n] of a block; those of none, before the first or behind the last, see themselves."""
    num, size = self.blocks.num_blocks, self._size
    there = (block >= 0) & (block < num)
    first = jnp.clip(block, 0, num - 1) * size
    slots = self.blocks.token_slots(self.coords)
    slots = jax.tree.map(
      lambda leaf: jax.lax.dynamic_slice_in_dim(jnp.asarray(leaf), first, size), slots
    )
    return slots._replace(
      stream=jnp.full(size, stream, jnp.int32), readable=jnp.full(size, readable) & there,
      segment=jnp.where(there, slots.segment, 1),
      rank=slots.rank if stream == 1 else jnp.zeros(size, jnp.int32),
    )

  # ---- From block to block -----------------------------------------------------------------------

  def _shifted(self, at: At) -> At:
    """The next block flies where its predecessor has long enough; and where the first of all has
    settled in every example, it is frozen."""
    for i in range(1, self._in_flight):
      due = (at.joined[i] < 0) & (at.joined[i - 1] >= self.how.start)
      at = at._replace(joined=at.joined.at[i].set(jnp.where(due, 0, at.joined[i])))
    head = self._of_blocks(at.way.settled)[0]
    return jax.lax.cond(jnp.all(head == self._steps), self._frozen, lambda at: at, at)

  def _frozen(self, at: At) -> At:
    ends = self._of_blocks(at.way.x[-1])
    x = jax.lax.dynamic_update_slice_in_dim(at.x, ends[0], at.head * self._size, axis=1)
    new = self._block(x, at.head + self._in_flight)
    width = len(at.way.past.at)
    fresh = sweeps.begin(new, self._steps, self.process.num_outputs, width)
    num = len(at.keys)

    def moved(leaf, more, axis):
      kept = jax.lax.slice_in_dim(leaf, num, leaf.shape[axis], axis=axis)
      return jnp.concatenate([kept, more], axis)

    axes = sweeps.Way(1, 1, 1, 1, 0, sweeps.Secants(2, 2, 2))
    way = jax.tree.map(moved, at.way, fresh, axes)
    read = moved(at.read, jnp.zeros_like(new), 0)
    waiting = jnp.full(1, -1, at.joined.dtype)
    joined = jnp.concatenate([at.joined[1:], waiting])
    joined = joined.at[0].set(jnp.maximum(joined[0], 0))
    return at._replace(x=x, head=at.head + 1, way=way, read=read, joined=joined)

  # ---- Shapes ------------------------------------------------------------------------------------

  def _block(self, leaf, block):
    """[B, n, ..] of a block of [B, N, ..]; the nearest one where there is none."""
    first = jnp.clip(block, 0, self.blocks.num_blocks - 1) * self._size
    return jax.lax.dynamic_slice_in_dim(leaf, first, self._size, axis=1)

  def _of_blocks(self, leaf):
    """[Q, ..] -> [M, B, ..]."""
    return leaf.reshape(self._in_flight, -1, *leaf.shape[1:])

  def _in_sequence(self, leaf):
    """[W, M B, n, ..] -> [B, M W n, ..]."""
    width, _, size, *more = leaf.shape
    leaf = leaf.reshape(width, self._in_flight, -1, size, *more)
    leaf = jnp.moveaxis(leaf, 2, 0)  # [B, W, M, n, ..]
    leaf = jnp.swapaxes(leaf, 1, 2)
    return leaf.reshape(len(leaf), -1, *more)

  def _tokens(self, at):
    """(keys [Q, n], known bool [Q, n] or None) of the tokens in flight."""
    blocks = [jnp.clip(at.head + i, 0, self.blocks.num_blocks - 1) for i in range(self._in_flight)]
    keys = jnp.concatenate([
      walk.token_keys(at.keys, block * self._size, self._size) for block in blocks
    ])
    if at.known is None:
      return keys, None
    return keys, jnp.concatenate([self._block(at.known, block) for block in blocks])


def mismatches(x, sequential, tolerance) -> np.ndarray:
  """bool [B]: examples x [B, N, D] that are farther than `tolerance` from those of the sequential
  walk, root mean square over their values."""
  x, sequential = np.asarray(x, np.float64), np.asarray(sequential, np.float64)
  return np.sqrt(np.mean((x - sequential) ** 2, axis=(1, 2))) > tolerance
