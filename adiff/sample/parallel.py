"""The walk in parallel: the steps of a block together, and those of the blocks behind it.

A window of blocks is in flight, each with a guess of all its steps (sweeps.py); a later one reads
the guess of where the earlier ones end, as it would read them finished. Each round is one call of
the network (stacked.py). A block that has settled is frozen. As noise is a function of (example
key, token, step), the only walk that stands still is the sequential one, and at a small tolerance
its sample is returned. An example that settles early waits for its batch.

Method *cascade* is another sampler, with another law: one sweep over (block, step), in which each
block in flight makes a step a round and none is made again. A block starts `start` steps after the
one before, whose data it reads as the last answer estimates them, as if they were finished; what it
has made of an estimate stands when the estimate moves on (as Block Cascading, arXiv:2511.20426,
does with keys of blocks that are still noisy). So it takes fewer calls, and no more work, than the
sequential walk, and makes other samples. It is not the pyramid of `plan.delay`: there a block reads
the past as noisy as it is, at the level that it is told, which a network of history=None has
learnt; here the network has learnt a finished past, and is shown an estimate in its place. One
block, or a `start` of all steps, is the sequential walk.
"""

import dataclasses
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adiff.sample import capacity, stacked, sweeps, walk
from adiff.sample.solvers import base as solvers_base
from adiff.sequence import turns, values

NONE, PICARD, ANDERSON, CASCADE = METHODS = ('none', 'picard', 'anderson', 'cascade')


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
    """Raises ValueError where the steps of such a walk cannot be asked for together."""
    if self.method != NONE:
      stacked.needs(parts, f'parallel.method={self.method}', 'parallel.method=none')

  @property
  def law(self) -> str:
    """What the samples follow instead of the sequential walk's law, in a sentence; '': nothing."""
    if self.method != CASCADE:
      return ''
    return (
      f'The samples are those of a cascade: a block starts {self.start} steps after the one '
      'before, behind an estimate of it, and is not made again. Their law is another one than that '
      'of the sequential walk.'
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
    """int32 [B]: network calls one after another, until the example had settled."""
    return self.counts.rounds


@dataclasses.dataclass(frozen=True, eq=False)
class Session(stacked.Stacked):
  """As session.Session, of a walk that is made as a whole: `finish` alone, and no stop symbol."""

  how: Parallel
  caches: int = 1

  def start(self, keys, given=None, given_mask=None) -> At:
    """Before the first round; keys [B], given [B, N, D] and given_mask [B, N] or None."""
    walk.check(self.plan, self.blocks, self.process, self.solver, given)
    x, known = walk.initial(
      keys, blocks=self.blocks, process=self.process, given=given, given_mask=given_mask
    )
    places = capacity.each(self.plan, self.blocks, self.network.reads)
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

    with turns.loop('rounds', self.plan.num_rows):
      return jax.lax.while_loop(going, lambda at: self._shifted(self._round(denoise, at)), at)

  # ---- Sizes -------------------------------------------------------------------------------------

  @property
  def _in_flight(self):
    return min(self.how.blocks, self.blocks.num_blocks)

  @property
  def _tolerance(self):
    """Of blocks that settle behind a guess, half is left for how much that may still move."""
    return self.how.tolerance / (1 if self._in_flight == 1 else 2)

  # ---- A round -----------------------------------------------------------------------------------

  def _round(self, denoise, at: At) -> At:
    """One call, and a sweep over the steps of every block in flight."""
    steps = sweeps.steps_of(self.plan, self.process, self.how.coordinate)
    keys, known = self._tokens(at)
    if self.how.method == CASCADE:
      ends, way, read, width = self._estimates(at.way, steps, known), at.way, at.read, 1
      tolerance = jnp.inf  # what is made stands
    else:
      ends, width = at.way.x[-1], self._steps
      way, read = self._again(at, ends)
      width = min(self.how.window, width) if self.how.window else width
      tolerance = self._tolerance
    index, real = sweeps.window(way, width)
    flying = (at.joined >= 0) & (at.head + jnp.arange(self._in_flight) < self.blocks.num_blocks)
    real &= jnp.repeat(flying, len(at.keys))[None]
    x = jnp.take_along_axis(way.x, index[..., None, None], axis=0)
    out, cache = self._call(denoise, at, ends, x, steps.t[index], steps.s[index])
    way = sweeps.answered(way, index, real, x, out)
    fixed = walk.Fixed(self.blocks, self.process, self.solver, solvers_base.uncut)
    way = sweeps.sweep(fixed, keys, known, steps, way, tolerance)
    asked = jnp.sum(self._of_blocks(jnp.sum(real, axis=0)), axis=0).astype(jnp.int32)
    counts = Counts(at.counts.rounds + (asked > 0).astype(jnp.int32), at.counts.work + asked)
    return at._replace(
      cache=cache, written=at.head, way=way, read=read, counts=counts,
      joined=jnp.where(flying, at.joined + 1, -1),
    )

  def _again(self, at, ends):
    """(way, read [Q, n, D]): what follows from a past that has moved is to be asked for again."""
    read = jnp.concatenate([self._block(at.x, at.head - 1), ends])[:len(ends)]
    moved = jnp.sqrt(jnp.mean((read - at.read) ** 2, axis=(1, 2))) > self._tolerance
    moved = self._of_blocks(moved)
    moved = jnp.cumsum(moved, axis=0) > 0  # and what reads it
    moved = moved.reshape(-1)
    return sweeps.again(at.way, moved), jnp.where(moved[:, None, None], read, at.read)

  def _estimates(self, way, steps, known):
    """[Q, n, D]: the data of the blocks in flight by the last answer; of one that has made all its
    steps, its end."""
    last = jnp.maximum(way.settled - 1, 0)
    out, x = (jnp.take_along_axis(leaf, last[None, :, None, None], 0)[0] for leaf in (
      way.out, way.at))
    level = jnp.broadcast_to(steps.t[last][:, None], x.shape[:2])
    told = walk.hold(known, x, self.process.estimate(out, x, level))
    return jnp.where((way.settled == self._steps)[:, None, None], way.x[-1], told)

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
    begun = sweeps.begin(new, self._steps, self.process.num_outputs, width)
    num = len(at.keys)

    def moved(leaf, more, axis):
      kept = jax.lax.slice_in_dim(leaf, num, leaf.shape[axis], axis=axis)
      return jnp.concatenate([kept, more], axis)

    past = sweeps.Secants(2, 2, 2)
    axes = sweeps.Way(x=1, out=1, at=1, asked=1, fresh=1, settled=0, past=past)
    way = jax.tree.map(moved, at.way, begun, axes)
    read = moved(at.read, jnp.zeros_like(new), 0)
    waiting = jnp.full(1, -1, at.joined.dtype)
    joined = jnp.concatenate([at.joined[1:], waiting])
    joined = joined.at[0].set(jnp.maximum(joined[0], 0))
    return at._replace(x=x, head=at.head + 1, way=way, read=read, joined=joined)


def mismatches(x, sequential, tolerance) -> np.ndarray:
  """bool [B]: examples x [B, N, D] that are farther than `tolerance` from those of the sequential
  walk, root mean square over their values."""
  x, sequential = np.asarray(x, np.float64), np.asarray(sequential, np.float64)
  return np.sqrt(np.mean((x - sequential) ** 2, axis=(1, 2))) > tolerance
