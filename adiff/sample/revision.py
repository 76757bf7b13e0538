"""Revision: tokens, or whole blocks, of a finished walk are opened and made again.

Which ones is the caller's choice, a mask; everything else is held as given. Keys of blocks before
the first opened one stay in the cache as they are, those of later ones are written again, since
they read what changes (a block whose own tokens all stay costs the one call that does so). With the
example keys folded with `key_fold`, the outcome is that of a walk from scratch with the old tokens
given: `sample(denoise, fold_in(keys, key_fold), .., given=old, given_mask=~mask)`, as long as the
past is read clean or as noisy as it is (a history level's noise is part of the kept keys).

  mask = confidence < 0.5                                             # [B, N], from any judge
  first = int(revision.first_block(mask, blocks))
  state = revision.reopen(state, mask, .., key_fold=1)
  state = revision.continue_from(denoise, state, plan, first, ..)     # jit with `first` static
"""

import dataclasses

import jax
import jax.numpy as jnp

from adiff.sample import walk


def first_block(mask, blocks):
  """int32 []: the first block with a token to make again, in any row of mask [B, N]; K if none."""
  opened = blocks.per_block(jnp.any(mask, axis=0).astype(jnp.int32)) > 0
  return jnp.where(jnp.any(opened), jnp.argmax(opened), blocks.num_blocks).astype(jnp.int32)


def reopen(state, mask, *, blocks, process, solver, key_fold) -> walk.State:
  """The state in which tokens of mask [B, N] are noise again and all others, from the first opened
  block on, are known.

  Of a walk that has not ended, the tokens that are not made yet belong in the mask as well.
  Raises ValueError for a cache that does not hold every token before the last block (one with a
  reach, or of a part of the walk), and for a shifted stream, whose blocks can't be entered midway.
  """
  if blocks.stream == 'shifted':
    raise ValueError('a shifted stream has no copy to revise from; use blocks.stream=double')
  rows = blocks.num_tokens - blocks.sizes[-1]
  if state.cache is not None and state.cache.slots.segment.shape[-1] < rows:
    raise ValueError(
      f'the cache has {state.cache.slots.segment.shape[-1]} rows, and revision needs all {rows} '
      'before the last block; use model.reach=0 and a cache of room.rows(plan, blocks) rows'
    )
  begin = jnp.asarray(blocks.first_token)[first_block(mask, blocks)]
  keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(state.keys, key_fold)
  x, _ = walk.initial(keys, blocks=blocks, process=process, given=state.x, given_mask=~mask)
  later = (jnp.arange(blocks.num_tokens) >= begin)[None]
  before = False if state.known is None else state.known
  return state._replace(
    x=x,
    known=jnp.where(later, ~mask, before),
    keys=keys,
    carry=solver.init(x),
    cache=_shorten(state.cache, begin),
  )


def _shorten(cache, rows):
  """The cache with at most the first `rows` rows filled; row r holds token r of the block order."""
  if cache is None:
    return None
  empty = jnp.arange(cache.slots.segment.shape[-1]) >= rows
  slots = cache.slots._replace(
    segment=jnp.where(empty, -1, cache.slots.segment),
    readable=jnp.where(empty, False, cache.slots.readable),
  )
  return cache._replace(slots=slots, length=jnp.minimum(cache.length, rows).astype(jnp.int32))


def continue_from(
  denoise, state, plan, first, *, blocks, process, solver, coords, stop=None
) -> walk.State:
  """The state at the end of the walk from block `first` (an int) on; blocks before it are made.

  Raises ValueError where blocks overlap in time: such a walk has no state between two blocks.
  """
  if not plan.sequential:
    raise ValueError('a walk is revised block by block; write plan.delay=None')
  if first < plan.given:
    raise ValueError(
      f'block {first} is one of plan.given={plan.given}; write plan.given=0 to make it again'
    )
  if first == blocks.num_blocks:
    return state
  (pending, num_tokens, windows), *rest = dataclasses.replace(plan, given=first).windows(
    blocks.sizes
  )
  # The keys of all blocks before the first window are in the cache already.
  part = lambda cut: jax.tree.map(lambda leaf: leaf[cut], windows)
  head, tail = part(slice(1)), part(slice(1, None))
  runs = [(0, num_tokens, head), (pending, num_tokens, tail)][:1 + (len(tail.start) > 0)]
  return walk.walk(
    denoise, state, [*runs, *rest], blocks=blocks, process=process, solver=solver, coords=coords,
    stop=stop,
  )
