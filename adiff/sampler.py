"""Sampling is a walk through the plan's matrix of levels. `sample` is the definition;
`sample_cached` is fast and equal.

One key an example; a token's noise is a function of (example key, token, step). So a sample does
not depend on the batch it sits in, and stochastic steps agree between the two samplers.

  denoise(x, t, s, slots, cache=None, commit=0) -> (out, cache)

is all that is known of the network (x [B, S, ..], t and s [B, S], slots [S]). `commit`: the first
slots are a finished block, whose keys the call appends to the cache.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

_PRIOR, _HISTORY, _STEP = 0, 1, 2  # what a token's key is folded with


def _fold(keys, data):
  """fold_in of every token's key; data is one number or [n]."""
  return jax.vmap(jax.vmap(jax.random.fold_in), in_axes=(0, None))(
    keys, jnp.broadcast_to(data, keys.shape[1:])
  )


def _start(keys, *, blocks, process, given, given_mask):
  """Noise, but for given tokens; and the key of each token [B, N]."""
  tokens = jnp.arange(blocks.num_tokens)
  keys = jax.vmap(jax.vmap(jax.random.fold_in, in_axes=(None, 0)), in_axes=(0, None))(keys, tokens)
  x = process.prior(_fold(keys, _PRIOR), keys.shape)
  if given is None:
    return x, jnp.zeros(keys.shape, bool), keys
  known = given_mask.reshape(given_mask.shape + (1,) * (x.ndim - 2))
  return jnp.where(known, given, x), given_mask, keys


def _check(plan, blocks, given):
  if blocks.num_blocks > 1 and blocks.history is not None and not plan.sequential:
    raise ValueError(
      f'a block that reads its past at level {blocks.history} must wait for it: write '
      'plan.delay=None, or blocks.history=None'
    )
  if plan.given and given is None:
    raise ValueError(
      f'plan.given={plan.given} blocks are to be given, but no tokens were passed as `given`'
    )


def _history(process, blocks, keys, x):
  """Finished tokens as later blocks read them: (x, level)."""
  if blocks.history is None:
    return x, jnp.zeros(x.shape[:2], float)
  level = jnp.full(x.shape[:2], blocks.history, float)
  return process.add_noise(_fold(keys, _HISTORY), x, level), level


def sample(
  denoise, keys, plan, *, blocks, process, solver, coords, given=None, given_mask=None, trace=False
):
  """x0 [B, N, ..]: the walk as it is defined, every row on the whole sequence. keys [B], one an
  example.

  given [B, N, ..] and given_mask [B, N]: known tokens, anywhere (a prompt, all but a hole); they
  stay at level 0.
  trace: return x after every row instead, [R, B, N, ..].
  """
  _check(plan, blocks, given)
  slots = blocks.token_slots(coords)
  x, known, keys = _start(keys, blocks=blocks, process=process, given=given, given_mask=given_mask)
  matrix = blocks.per_token(jnp.asarray(plan.matrix, float))
  past = (
    np.arange(plan.num_rows)[:, None] >= plan.ends
    if blocks.history is not None
    else np.zeros((plan.num_rows, 1), bool)
  )
  past = blocks.per_token(np.broadcast_to(past, (plan.num_rows, blocks.num_blocks)))

  def row(state, now):
    x, carry = state
    t, s, index, past = now
    t, s = (jnp.where(known, 0, level[None]) for level in (t, s))
    xh, level = _history(process, blocks, keys, x)
    as_seen = lambda x: jnp.where(past.reshape(1, -1, *(1,) * (x.ndim - 2)), xh, x)
    here = slots._replace(stream=past.astype(jnp.int32))
    call = lambda x, t, s: denoise(as_seen(x), jnp.where(past[None], level, t), s, here)[0]
    x, carry = solver.step(call, call(x, t, s), process, _fold(keys, _STEP + index), x, t, s, carry)
    return (x, carry), x if trace else None

  (x, _), rows = jax.lax.scan(
    row, (x, solver.init(x)), (matrix[:-1], matrix[1:], blocks.per_token(plan.index), past)
  )
  return rows if trace else x


class State(NamedTuple):
  """A walk in progress; leaves lead with the batch, but for the cache's."""

  x: jax.Array  # [B, N, ..] finished tokens, tokens in flight, noise
  known: jax.Array  # [B, N] bool: given
  keys: jax.Array  # [B, N]
  carry: object  # the solver's
  cache: object


def start(keys, cache, *, blocks, process, solver, plan, given=None, given_mask=None) -> State:
  """The state before the first window; cache is empty, with at least `cache_rows(plan, blocks)`
  rows."""
  _check(plan, blocks, given)
  x, known, keys = _start(keys, blocks=blocks, process=process, given=given, given_mask=given_mask)
  return State(x, known, keys, solver.init(x), cache)


def cache_rows(plan, blocks) -> int:
  """Rows that the walk writes: all tokens that finish before the last window opens."""
  return sum(m * len(windows.start) for m, _, windows in plan.windows(blocks.sizes))


def next_block(denoise, state, window, num_pending, *, blocks, process, solver, coords):
  """(state, tokens in flight [B, n, ..]) after one window: where blocks follow one another, the
  next finished block.

  The keys of the num_pending tokens that have finished since the last window are written during
  this one's first step.
  """
  num_tokens = window.t.shape[-1]
  cut = lambda tree, first, size, axis=1: jax.tree.map(
    lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, first, size, axis), tree
  )
  slots = blocks.token_slots(coords)
  work = cut(slots, window.start, num_tokens, 0)
  known, keys = cut((state.known, state.keys), window.start, num_tokens)

  def row(carried, now, pending):
    x, carry, cache = carried
    t, s, index = now
    t, s = (jnp.where(known, 0, level[None]) for level in (t, s))
    if pending:
      done = cut(slots, window.pending, pending, 0)
      done = done._replace(stream=jnp.full_like(done.stream, blocks.history is not None))
      xh, level = _history(process, blocks, *cut((state.keys, state.x), window.pending, pending))
      both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), done, work)
      join = lambda a, b: jnp.concatenate([a, b], axis=1)
      out, cache = denoise(join(xh, x), join(level, t), join(level, s), both, cache, pending)
      out = out[:, pending:]
    else:
      out, _ = denoise(x, t, s, work, cache)
    call = lambda x, t, s: denoise(x, t, s, work, cache)[0]
    x, carry = solver.step(call, out, process, _fold(keys, _STEP + index), x, t, s, carry)
    return (x, carry, cache), None

  rows = (window.t, window.s, window.index)
  carried = *cut((state.x, state.carry), window.start, num_tokens), state.cache
  carried, _ = row(carried, jax.tree.map(lambda leaf: leaf[0], rows), num_pending)
  (x, carry, cache), _ = jax.lax.scan(
    lambda c, now: row(c, now, 0), carried, jax.tree.map(lambda leaf: leaf[1:], rows)
  )
  put = lambda whole, part: jax.tree.map(
    lambda a, b: jax.lax.dynamic_update_slice_in_dim(a, b, window.start, 1), whole, part
  )
  return state._replace(x=put(state.x, x), carry=put(state.carry, carry), cache=cache), x


def sample_cached(
  denoise, keys, plan, cache, *, blocks, process, solver, coords, given=None, given_mask=None
):
  """x0 [B, N, ..], equal to `sample`: the windows of the plan one after another, each against the
  cache.

  Runs of windows of equal shape are scanned, so the program does not grow with the number of
  blocks.
  """
  state = start(
    keys,
    cache,
    blocks=blocks,
    process=process,
    solver=solver,
    plan=plan,
    given=given,
    given_mask=given_mask,
  )
  for num_pending, _, windows in plan.windows(blocks.sizes):
    advance = lambda state, window, m=num_pending: (
      next_block(
        denoise, state, window, m, blocks=blocks, process=process, solver=solver, coords=coords
      )[0],
      None,
    )
    windows = windows._replace(t=jnp.asarray(windows.t, float), s=jnp.asarray(windows.s, float))
    state, _ = jax.lax.scan(advance, state, jax.tree.map(jnp.asarray, windows))
  return state.x


def guide(network, cond, *, scale, interval=(0.0, 1.0), share_cache):
  """Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598) as one call with both branches
  stacked in the batch.

  network(x, t, s, slots, cond, cache, commit) -> (out, cache); cond {name: [B] or [B, K]}.
  out = null + scale (cond - null) on tokens with a level inside `interval` (Kynkaanniemi et al.
  2024, arXiv:2404.07724); elsewhere scale is 1. scale: one number, or one a block.
  share_cache: history carries no condition, so both branches read one cache (of B rows, else 2 B).
  """
  twice = lambda tree: jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), tree)
  both = {name: jnp.concatenate([value, jnp.full_like(value, -1)]) for name, value in cond.items()}
  scale = jnp.asarray(scale, float)
  chex.assert_rank(scale, {0, 1})

  def denoise(x, t, s, slots, cache=None, commit=0):
    if cache is not None and share_cache:
      cache = cache._replace(
        k=jnp.concatenate([cache.k, cache.k], 1), v=jnp.concatenate([cache.v, cache.v], 1)
      )
    out, cache = network(*twice((x, t, s)), slots, both, cache, commit)
    if cache is not None and share_cache:
      cache = cache._replace(k=cache.k[:, :x.shape[0]], v=cache.v[:, :x.shape[0]])
    with_cond, without = jnp.split(out, 2)
    per_slot = scale[slots.block][None] if scale.ndim else scale
    strength = jnp.where((t >= interval[0]) & (t <= interval[1]), per_slot, 1)[..., None]
    return without + strength * (with_cond - without), cache

  return denoise
