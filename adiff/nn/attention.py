"""Attention under the one rule: the only place where a kernel is chosen.

Under the rule most pairs of a training row do not see each other: three quarters of two streams of
many blocks. What is known when the program is traced (`Slots` that are host arrays) decides which
rectangles of the score matrix are computed; what is not (segments of packed documents, rows of a
cache) is masked inside them. One softmax runs over all rectangles of a query.
"""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from adiff import blocks as blocks_lib
from adiff import mask

# Queries of at most this many groups a stream share their keys: more save scores, fewer save calls.
GROUPS = 8
# Fewer rows or columns than this are not worth a rectangle of their own.
SMALL = 64


@flax.struct.dataclass
class Seen:
  """Which rectangles are computed, and what is masked in each.

  tiles: ((first query, last query), ((first key, last key), ...)) of every group of queries; ends
  are exclusive. masks: bool [(B,) Q, K] of every rectangle, None where all of it is seen.
  """

  tiles: tuple = flax.struct.field(pytree_node=False)
  masks: tuple


def visible(q: blocks_lib.Slots, k: blocks_lib.Slots, reach=None, sinks=0) -> Seen:
  """What `attention` must know of the slots; computed once a network call, shared by its layers."""
  at = lambda slots, span: jax.tree.map(
    lambda leaf: leaf[..., span[0]:span[1]], slots._replace(coords=None)
  )
  every = ((0, q.block.shape[-1]), ((0, k.block.shape[-1]),))
  known = _host(q.segment) and _host(k.segment)
  fixed = _fixed(q, known), _fixed(k, known)
  if None in fixed:
    tiles, full = (every,), lambda rows, columns: False
  else:
    possible = lambda rows, columns=every[1][0]: mask.attend(
      at(fixed[0], rows), at(fixed[1], columns), reach, sinks
    )
    tiles = tuple((rows, _columns(possible(rows))) for rows in _rows(fixed[0]))
    full = lambda rows, columns: known and bool(possible(rows, columns).all())
  masks = tuple(
    tuple(
      None if full(rows, span) else mask.attend(at(q, rows), at(k, span), reach, sinks)
      for span in columns
    )
    for rows, columns in tiles
  )
  return Seen(tiles, masks)


def _host(leaf) -> bool:
  """Is the leaf known when the program is traced, and the same for all examples?"""
  return isinstance(leaf, np.ndarray) and leaf.size == leaf.shape[-1]


def _fixed(slots, known) -> blocks_lib.Slots | None:
  """The slots [S] where all but, unless known, their segment is known now; else None."""
  leaves = slots.block, slots.stream, slots.readable, slots.rank
  if not all(_host(leaf) for leaf in leaves):
    return None
  segment = slots.segment if known else np.zeros_like(slots.block)
  block, stream, readable, rank, segment = (leaf.reshape(-1) for leaf in (*leaves, segment))
  return blocks_lib.Slots(block, stream, readable, segment, None, rank)


def _rows(slots):
  """Spans of queries: whole blocks of one stream, about GROUPS spans a stream."""
  size = len(slots.block)
  turn = np.flatnonzero(np.diff(slots.stream)) + 1
  cuts = np.flatnonzero(np.diff(slots.block) | np.diff(slots.stream)) + 1
  spans, first = [], 0
  for stop in (*turn, size):
    least = max(SMALL, -(-(stop - first) // GROUPS))
    for cut in (*cuts[(cuts > first) & (cuts < stop)], stop):
      if cut == stop or cut - first >= least:
        spans.append((int(first), int(cut)))
        first = cut
  return spans


def _columns(possible):
  """Spans of keys that a query of `possible` [Q, K] may see; those that all of them see apart."""
  seen, by_all = np.flatnonzero(possible.any(0)), possible.all(0)
  spans = []
  for run in np.split(seen, np.flatnonzero(np.diff(seen) > SMALL) + 1):
    first, stop = int(run[0]), int(run[-1]) + 1
    until = first + int(np.argmin(np.append(by_all[first:stop], False)))
    if SMALL <= until - first < stop - first:
      spans += [(first, until), (until, stop)]
    else:
      spans.append((first, stop))
  return tuple(spans)


def attention(q, k, v, seen: Seen):
  """softmax(q k / sqrt(D)) v where `seen`: q [B, Q, H, D], k and v [B, K, H, D] -> [B, Q, H, D].

  Scores and softmax are float32 at least. Every slot sees itself, so no row is empty.
  """
  q, k, v = (jnp.swapaxes(leaf, 1, 2) for leaf in (q, k, v))
  out = [
    _softmax(
      q[:, :, slice(*rows)],
      [(k[:, :, slice(*span)], v[:, :, slice(*span)]) for span in columns],
      masks,
    )
    for (rows, columns), masks in zip(seen.tiles, seen.masks, strict=True)
  ]
  return jnp.swapaxes(out[0] if len(out) == 1 else jnp.concatenate(out, axis=2), 1, 2)


def _softmax(q, pieces, masks):
  """Attention of q [B, H, Q, D] over the keys and values of all pieces together."""
  wide = jnp.promote_types(q.dtype, jnp.float32)
  scores = []
  for (k, _), allowed in zip(pieces, masks, strict=True):
    one = jnp.einsum('bhqd,bhkd->bhqk', q, k, preferred_element_type=wide) * q.shape[-1] ** -0.5
    if allowed is not None:
      allowed = allowed[None, None] if allowed.ndim == 2 else allowed[:, None]
      one = jnp.where(allowed, one, jnp.finfo(wide).min)
    scores.append(one)
  tops = [jnp.max(one, axis=-1, keepdims=True) for one in scores]
  top = jax.lax.stop_gradient(jnp.max(jnp.stack(tops), axis=0))
  weights = [jnp.exp(one - top) for one in scores]
  total = sum(jnp.sum(one, axis=-1, keepdims=True) for one in weights)
  out = sum(
    jnp.einsum('bhqk,bhkd->bhqd', one.astype(v.dtype), v, preferred_element_type=wide)
    for one, (_, v) in zip(weights, pieces, strict=True)
  )
  return (out / total).astype(q.dtype)
