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

import chex
import jax
import jax.numpy as jnp

from adiff.nn import network as network_lib
from adiff.sample import cached, walk, windows
from adiff.sample.solvers import base as solvers_base


def first_block(mask, blocks) -> jax.Array:
  """int32 []: the first block with a token to make again, in any example of mask [B, N]; K if
  none."""
  opened = blocks.sum_per_block(jnp.any(mask, axis=0).astype(jnp.int32)) > 0
  return jnp.where(jnp.any(opened), jnp.argmax(opened), blocks.num_blocks).astype(jnp.int32)


def reopen(
  state: cached.State, mask, *, network: network_lib.Network, blocks, process, solver, key_fold
) -> cached.State:
  """The state in which tokens of mask [B, N] are noise again and all others, from the first opened
  block on, are known.

  Of a walk that has not ended, the tokens that are not made yet belong in the mask as well.
  Raises ValueError for a cache that does not hold every token before the last block (one with a
  reach, or of a part of the walk), and for a shifted stream, whose blocks can't be entered midway.
  """
  chex.assert_axis_dimension(mask, 1, blocks.num_tokens)
  begin = jnp.asarray(blocks.first_token)[first_block(mask, blocks)]
  cache = state.cache
  if cache is not None:
    least = blocks.num_tokens - blocks.sizes[-1]  # what the walk writes: all but the last block
    cache = network.shorten(cache, begin, least=least)
  keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(state.keys, key_fold)
  x, _ = walk.initial(keys, blocks=blocks, process=process, given=state.x, given_mask=~mask)
  later = (jnp.arange(blocks.num_tokens) >= begin)[None]
  known_before = False if state.known is None else state.known
  known = jnp.where(later, ~mask, known_before)
  of_tokens = walk.fold(walk.token_keys(keys, 0, blocks.num_tokens), walk.MEMORY)
  memory = solver.begun(x, of_tokens)
  return state._replace(x=x, known=known, keys=keys, memory=memory, cache=cache)


def continue_from(
  denoise, state: cached.State, plan, first, *, blocks, process, solver, coords,
  narrow=solvers_base.uncut, hints=None, stop=None,
) -> cached.State:
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
  (shape, window), *later = windows.listed(dataclasses.replace(plan, given=first), blocks)
  # The keys of all blocks before the first window are in the cache already.
  head = windows.grouped([(shape._replace(pending=()), window)])
  return cached.walk(
    denoise, state, [*head, *windows.grouped(later)], blocks=blocks, process=process, solver=solver,
    coords=coords, narrow=narrow, hints=hints, stop=stop,
  )
