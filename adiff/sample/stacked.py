"""Steps that are asked for together: those of a block, of several blocks, in one call.

  [ copies of block h-1, and of the ends of h, h+1, .. as they are told | steps of h, h+1, .. ]

where h, the *head*, is the first block that is not finished. The steps are streams of their own in
one sequence, so that a copy is computed once. The copy of block h-1 is written into the cache by
the call in which it is read first.
"""

import abc
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from adiff.sample import walk, walker
from adiff.sample.solvers import base as solvers_base
from adiff.sequence import ask as ask_lib

_ROWS = 2  # the stream of the first step; 0 and 1 are a block's own copies


def needs(parts: Any, told, off) -> None:
  """Raises ValueError where steps cannot be asked for together. told: the setting that asks for it,
  off: the one that does not."""
  blocks, plan = parts.blocks, parts.plan
  if parts.spec.by_kind or not parts.process.has_ode:
    raise ValueError(
      f'{told} sweeps over steps between floats and needs process gaussian and tokens of one '
      f'kind; set {off}'
    )
  if parts.solver.calls > 1 or parts.solver.keeps or parts.model.num_hints:
    raise ValueError(
      f'{told} needs steps that follow from one call: solver first_order or multistep, without '
      f'model.self_condition; set {off}, or another solver'
    )
  if parts.hints is not None or plan.start < 1 or plan.resamples:
    raise ValueError(f'{told} begins at noise, goes one way and shows no hints; set {off}')
  if len(set(blocks.sizes)) > 1 or len(set(plan.budgets)) > 1 or not plan.sequential or (
    plan.given or parts.model.shifted or len(set(plan.spacing_of_block)) > 1
  ):
    raise ValueError(
      f'{told} needs equal blocks with equal steps, one after another; set plan.first=0 and '
      f'plan.delay=None, or {off}'
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Stacked(walker.Walker, abc.ABC):
  """A walk that is made as a whole. Its `at` has x [B, N, D], known bool [B, N] or None, keys [B],
  cache, and int32 [] head and written (blocks that the cache has)."""

  @property
  @abc.abstractmethod
  def _in_flight(self) -> int:
    """M: blocks whose steps are asked for."""

  @property
  def _steps(self):
    return self.plan.budgets[0]

  @property
  def _size(self):
    return self.blocks.sizes[0]

  @property
  def _copies(self):
    """Blocks that a call computes the keys of."""
    return self._in_flight if self.blocks.num_blocks > 1 else 0

  def _call(self, denoise, at, ends, x, t, s):
    """(out [W, Q, n, O], the cache with block h-1 in it): steps x [W, Q, n, D] at levels t, s [W,
    Q], ends [Q, n, D] as later blocks read them."""
    num, size, flight = len(at.keys), self._size, self._in_flight
    width = len(x)
    row = self._in_sequence(x)  # [B, M W n, D]
    t, s = (self._in_sequence(jnp.broadcast_to(leaf[..., None], x.shape[:3])) for leaf in (t, s))
    s = self.solver.ahead(row, t, s)
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
