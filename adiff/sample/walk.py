"""Sampling is a walk through the plan's matrix of levels. `sample` is the definition;
`sample_cached` is fast and equal.

One key an example; a token's noise is a function of (example key, token, step). So a sample does
not depend on the batch it sits in, and stochastic steps agree between the two samplers.

  denoise(x, t, s, slots, cache=None, commit=0) -> (out, cache)

is all that is known of the network (x [B, S, ..], t and s [B, S], slots [S]). Where no token is
given and all blocks have one size, t and s are [B, R], one level a block (spread.levels deals
them out). `commit`: the first slots are a finished block, whose keys the call appends to the cache;
`out` may begin behind them.

stop: a symbol behind whose first occurrence in a row, in block order, nothing is made: tokens there
become stop symbols too. Given tokens neither count as one nor are overwritten.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_PRIOR, _HISTORY, _STEP = 0, 1, 2  # what a token's key is folded with


def _fold(keys, data):
  """fold_in of every token's key; data is one number or [n]."""
  return jax.vmap(jax.vmap(jax.random.fold_in), in_axes=(0, None))(
    keys, jnp.broadcast_to(data, keys.shape[1:])
  )


def _token_keys(keys, first, num):
  """[B, num] keys of the tokens from `first` on; keys [B], one an example."""
  fold = jax.vmap(jax.vmap(jax.random.fold_in, in_axes=(None, 0)), in_axes=(0, None))
  return fold(keys, first + jnp.arange(num))


def _pick(mask, yes, no):
  """Tokens of `yes` where mask [B, n] or [1, n], else of `no`."""
  return jnp.where(mask.reshape(mask.shape + (1,) * (no.ndim - 2)), yes, no)


def _hold(known, yes, no):
  """`no`, but for known tokens [B, n]; None: nothing is known."""
  return no if known is None else _pick(known, yes, no)


def free(known, tokens):
  """bool [.., n] `tokens` that are not known."""
  return tokens if known is None else tokens & ~known


def _told(blocks, known, *levels):
  """Levels [B, n] of whole blocks as the network is told them: one a block, where that is all."""
  size = blocks.sizes[0]
  alike = known is None and set(blocks.sizes) == {size}
  return tuple(level[:, ::size] for level in levels) if alike else levels


def initial(keys, *, blocks, process, given, given_mask):
  """(x [B, N, ..], known bool [B, N] or None): noise but for given tokens, and which are given."""
  keys = _fold(_token_keys(keys, 0, blocks.num_tokens), _PRIOR)
  x = process.prior(keys, keys.shape)
  if given is None:
    return x, None
  return _pick(given_mask, given, x), given_mask


def _check(plan, blocks, process, solver, given, stop=None):
  if blocks.num_blocks > 1 and blocks.history is not None and not plan.sequential:
    raise ValueError(
      f'a block that reads its past at level {blocks.history} must wait for it: write '
      'plan.delay=None, or blocks.history=None'
    )
  if plan.given and given is None:
    raise ValueError(
      f'plan.given={plan.given} blocks are to be given, but no tokens were passed as `given`'
    )
  if solver.adaptive and not plan.sequential:
    raise ValueError(
      f'solver {type(solver).__name__} finishes one block before the next; write plan.delay=None'
    )
  if stop is not None and not process.discrete:
    raise ValueError(f'stop={stop} is a symbol and these tokens are vectors; leave stop=None')


def _history(process, blocks, keys, x):
  """Finished tokens as later blocks read them: (x, level)."""
  if blocks.history is None:
    return x, jnp.zeros(x.shape[:2], float)
  level = jnp.full(x.shape[:2], blocks.history, float)
  return process.add_noise(_fold(keys, _HISTORY), x, level), level


def _stops(x, known, end, stop):
  """bool [B, N]: stop symbols that the walk made among the first `end` tokens."""
  return free(known, (x == stop) & (jnp.arange(x.shape[1]) < end)[None])


def _fill(x, known, end, stop):
  """x [B, N] with the tokens behind a row's first made stop symbol replaced by it."""
  found = _stops(x, known, end, stop).astype(jnp.int32)
  return jnp.where(free(known, jnp.cumsum(found, axis=1) > found), stop, x)


def sample(
  denoise, keys, plan, *, blocks, process, solver, coords,
  given=None, given_mask=None, stop=None, trace=False
):
  """x0 [B, N, ..]: the walk as it is defined, every row on the whole sequence. keys [B], one an
  example.

  given [B, N, ..] and given_mask [B, N]: known tokens, anywhere (a prompt, all but a hole); they
  stay at level 0.
  trace: return x after every row instead, [R, B, N, ..].
  """
  _check(plan, blocks, process, solver, given, stop)
  slots = blocks.token_slots(coords)
  x, known = initial(keys, blocks=blocks, process=process, given=given, given_mask=given_mask)
  keys = _token_keys(keys, 0, blocks.num_tokens)
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
    t, s = (jnp.broadcast_to(level[None], keys.shape) for level in (t, s))
    xh, level = _history(process, blocks, keys, x)
    here = slots._replace(stream=past.astype(jnp.int32))
    own = _hold(known, 0, t), _hold(known, 0, s)
    show = lambda y: solver.shown(y, carry, *own)

    def call(y, t, s):
      y = _pick(past[None], xh, _hold(known, x, y))
      t, s = (_hold(known, 0, level) for level in (t, s))
      t, s = _told(blocks, known, jnp.where(past[None], level, t), s)
      return denoise(show(y), t, s, here)[0]

    out = call(x, solver.level(process, x, t, s), s)
    y, carry = solver.step(call, out, process, _fold(keys, _STEP + index), x, t, s, carry)
    x = _hold(known, x, y)
    return (x, carry), x if trace else None

  (x, _), rows = jax.lax.scan(
    row, (x, solver.init(x)), (matrix[:-1], matrix[1:], blocks.per_token(plan.index), past)
  )
  if stop is not None:
    x = _fill(x, known, blocks.num_tokens, stop)
  return rows.at[-1].set(x) if trace else x


class State(NamedTuple):
  """A walk in progress; leaves lead with the batch, but for the cache's."""

  x: jax.Array  # [B, N, ..] finished tokens, tokens in flight, noise
  known: jax.Array | None  # [B, N] bool: given; None: nothing is
  keys: jax.Array  # [B], one an example
  carry: object  # the solver's
  cache: object
  calls: jax.Array  # int32 [B] network evaluations that the row's own tokens have asked for


def start(
  keys, cache, *, blocks, process, solver, plan, given=None, given_mask=None, stop=None
) -> State:
  """The state before the first window; cache is empty, with rows for what its walk writes, see
  room.py."""
  _check(plan, blocks, process, solver, given, stop)
  x, known = initial(keys, blocks=blocks, process=process, given=given, given_mask=given_mask)
  return State(x, known, keys, solver.init(x), cache, jnp.zeros(len(keys), jnp.int32))


def next_block(denoise, state, window, num_pending, *, blocks, process, solver, coords, stop=None):
  """(state, tokens in flight [B, n, ..]) after one window: where blocks follow one another, the
  next finished block.

  The keys of the num_pending tokens that have finished since the last window are written during
  this one's first step. An adaptive solver's steps end when every row has finished its tokens.
  Where every row has stopped, nothing is called.
  """
  num_steps, num_tokens = window.t.shape
  cut = lambda tree, first, size, axis=1: jax.tree.map(
    lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, first, size, axis), tree
  )
  slots = blocks.token_slots(coords)
  work = cut(slots, window.start, num_tokens, 0)
  known = cut(state.known, window.start, num_tokens)
  keys = _token_keys(state.keys, window.start, num_tokens)
  stopped = jnp.zeros(len(keys), bool)
  if stop is not None:
    stopped = jnp.any(_stops(state.x, state.known, window.start, stop), axis=1)

  def unfinished(x, now):
    moving = free(known, (now[1] < now[0])[None] & ~stopped[:, None])
    return jnp.any(moving & ~solver.finished(process, x), axis=1)

  def row(carried, now, cache, pending=0):
    x, carry, calls = carried
    calls += jnp.where(unfinished(x, now), solver.calls, 0)
    t, s = (jnp.broadcast_to(level[None], keys.shape) for level in now[:2])
    own = _hold(known, 0, t), _hold(known, 0, s)
    pin = lambda y, *ts: (
      solver.shown(_hold(known, x, y), carry, *own),
      *_told(blocks, known, *(_hold(known, 0, level) for level in ts)),
    )
    told = pin(x, solver.level(process, x, t, s), s)
    if pending:
      done = cut(slots, window.pending, pending, 0)
      done = done._replace(stream=jnp.full_like(done.stream, blocks.history is not None))
      past = cut(state.x, window.pending, pending)
      keys_past = _token_keys(state.keys, window.pending, pending)
      xh, level = _history(process, blocks, keys_past, past)
      both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), done, work)
      shown = solver.shown(xh, solver.init(xh), level, level)
      finished = shown, *_told(blocks, known, level, level)
      told = jax.tree.map(lambda a, b: jnp.concatenate([a, b], 1), finished, told)
      out, cache = denoise(*told, both, cache, pending)
      out = out[:, -num_tokens:]
    else:
      out, _ = denoise(*told, work, cache)
    call = lambda y, t, s: denoise(*pin(y, t, s), work, cache)[0]
    y, carry = solver.step(call, out, process, _fold(keys, _STEP + now[2]), x, t, s, carry)
    return (_hold(known, x, y), carry, calls), cache

  def run(state):
    rows = (window.t, window.s, window.index)
    at = lambda i: tuple(jnp.asarray(leaf)[i] for leaf in rows)
    carried = *cut((state.x, state.carry), window.start, num_tokens), state.calls
    carried, cache = row(carried, at(0), state.cache, num_pending)
    going = lambda c: (c[0] < num_steps) & jnp.any(unfinished(c[1][0], at(c[0])))
    again = lambda i, carried: row(carried, at(i), cache)[0]
    if solver.adaptive:
      _, carried = jax.lax.while_loop(going, lambda c: (c[0] + 1, again(*c)), (1, carried))
    else:
      carried = jax.lax.fori_loop(1, num_steps, again, carried)
    put = lambda whole, part: jax.tree.map(
      lambda a, b: jax.lax.dynamic_update_slice_in_dim(a, b, window.start, 1), whole, part
    )
    x, carry = put((state.x, state.carry), carried[:2])
    if stop is not None:
      x = _fill(x, state.known, window.start + jnp.sum(window.s[-1] == 0), stop)
    return state._replace(x=x, carry=carry, cache=cache, calls=carried[2])

  state = run(state) if stop is None else jax.lax.cond(jnp.all(stopped), lambda s: s, run, state)
  return state, cut(state.x, window.start, num_tokens)


def walk(denoise, state, runs, *, blocks, process, solver, coords, stop=None) -> State:
  """The state after `runs` of windows (`plan.windows`), one after another, each against the cache.

  Windows of equal shape are scanned: the program does not grow with the number of blocks.
  """
  how = dict(blocks=blocks, process=process, solver=solver, coords=coords, stop=stop)
  for num_pending, _, windows in runs:
    advance = lambda state, now, m=num_pending: (next_block(denoise, state, now, m, **how)[0], None)
    windows = windows._replace(t=jnp.asarray(windows.t, float), s=jnp.asarray(windows.s, float))
    state, _ = jax.lax.scan(advance, state, jax.tree.map(jnp.asarray, windows))
  return state


def sample_cached(
  denoise, keys, plan, cache, *, blocks, process, solver, coords,
  given=None, given_mask=None, stop=None
):
  """x0 [B, N, ..], equal to `sample`: the windows of the plan, each against the cache."""
  how = dict(blocks=blocks, process=process, solver=solver)
  state = start(keys, cache, plan=plan, given=given, given_mask=given_mask, stop=stop, **how)
  return walk(denoise, state, plan.windows(blocks.sizes), coords=coords, stop=stop, **how).x
