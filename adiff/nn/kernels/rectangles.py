"""Attention in XLA over the rectangles of the score matrix that the rule allows.

Queries are dealt out to *tiles*, the copies of whole blocks each; a tile's scores are computed for
a few rectangles of keys, and one softmax runs over all of them. For four blocks (w working, h
history, o what the rule allows), with the first and the last two blocks as tiles:

          w1 w2 w3 w4 h1 h2 h3
    w1     o  .  .  .  .  .  .     tile 1   w1 w2 x w1 w2, masked
    w2     .  o  .  .  o  .  .              w1 w2 h1 h2 x h1, masked
    h1     .  .  .  .  o  .  .              h1 h2 x h2, masked
    h2     .  .  .  .  o  o  .

    w3     .  .  o  .  o  o  .     tile 2   w3 w4 x w3 w4, masked
    w4     .  .  .  o  o  o  o              w3 w4 h3 x h1 h2, all seen
    h3     .  .  .  .  o  o  o              w3 w4 h3 x h3, masked

Nothing is computed for the rest. A rectangle that is seen as a whole needs no mask.
"""

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# Groups of blocks whose queries share keys: more save scores, fewer save calls.
GROUPS = 8
# Fewer queries or keys than this are not worth a rectangle of their own.
SMALL = 64

Span = tuple[int, int]  # (first, stop)


class Rectangle(NamedTuple):
  """Some queries of a tile against some keys of a piece (the call's own slots, or a cache)."""

  queries: Span  # of the tile
  piece: int
  keys: Span  # of the piece


def tiles_of(slots) -> list[tuple[Span, ...]]:
  """Spans of queries of every tile: whole blocks, about GROUPS tiles a stream. Where there are many
  slots, the copies of a block are in one tile; fewer queries are faster apart (measured on a
  CPU)."""
  stream_starts = np.flatnonzero(np.diff(slots.stream)) + 1
  ends = [0, *stream_starts.tolist(), len(slots.block)]
  least = max(SMALL, -(-max(np.diff(ends)) // GROUPS))
  together = least >= 2 * SMALL
  block_starts = np.flatnonzero(np.diff(slots.block)) + 1
  tiles = {}
  for begin, end in itertools.pairwise(ends):
    first = begin
    inside = block_starts[(block_starts > begin) & (block_starts < end)]
    for stop in (*inside.tolist(), end):
      if stop == end or stop - first >= least:
        tiles.setdefault(first - begin if together else first, []).append((first, stop))
        first = stop
  return [tuple(spans) for spans in tiles.values()]


def cover(possible, sizes) -> list[tuple[Span, Span, bool]]:
  """[(queries, keys, is all of it seen?)]: rectangles that hold all that is seen in `possible`
  bool [Q, K]; its queries are spans of `sizes`.

  A key that one span alone sees is computed for that span.

      possible   1 1 1 . . .      sizes (1, 2):   (0, 3) x (0, 1)   both spans, all seen
                 1 . . . 1 .                      (0, 1) x (1, 3)   the first, all seen
                 1 . . . 1 1                      (1, 3) x (4, 5)   the second, all seen
                                                  (1, 3) x (5, 6)   the second, masked

  Gaps and remnants of fewer than SMALL keys are computed with their neighbours.
  """
  ends = np.cumsum([0, *sizes]).tolist()
  spans = [*itertools.pairwise(ends), (0, ends[-1])]
  by_span = np.stack([possible[slice(*span)].any(0) for span in spans[:-1]])
  whole = len(sizes)  # index of the span of all queries
  rectangles = []
  for index, first, stop in _key_spans(by_span, whole):
    full = possible[slice(*spans[index]), first:stop].all(0)
    until = first + int(np.argmin(np.append(full, False)))
    apart = SMALL <= until - first < stop - first  # keys that all see need no mask
    for begin, end in ((first, until), (until, stop)) if apart else ((first, stop),):
      all_seen = bool(full[begin - first:end - first].all())
      rectangles.append((spans[index], (begin, end), all_seen))
  return rectangles


def _key_spans(by_span, whole) -> list[tuple[int, int, int]]:
  """[(index of the span of queries, first key, stop)] of by_span bool [spans, K]: neighbouring keys
  that the same queries see, and small gaps and remnants joined to them."""
  seen = np.flatnonzero(by_span.any(0))
  if not len(seen):
    return []
  which = np.where(by_span.sum(0) > 1, whole, by_span.argmax(0))[seen]
  breaks = (np.flatnonzero((np.diff(seen) > SMALL) | (np.diff(which) != 0)) + 1).tolist()
  spans = []
  for begin, end in itertools.pairwise([0, *breaks, len(seen)]):
    index, first, stop = int(which[begin]), int(seen[begin]), int(seen[end - 1]) + 1
    if spans:
      last_index, last_first, last_stop = spans[-1]
      small = min(stop - first, last_stop - last_first) < SMALL
      if first - last_stop <= SMALL and small:
        spans[-1] = index if index == last_index else whole, last_first, stop
        continue
    spans.append((index, first, stop))
  return spans


def attention(q, pieces, seen) -> jax.Array:
  """[B, H, Q, D] of q [B, H, Q, D] and pieces of (k, v) [P, H, K, D], as `seen.tiles` and
  `seen.masks` say (attention.Seen).

  Arrays are cut once where any rectangle begins or ends, and joined again for each: the gradient
  is then a sum of parts, where that of overlapping slices would be a sum of padded arrays.
  """
  if len(seen.tiles) > 1:  # heads first in memory, once: XLA would transpose for every rectangle
    q, pieces = jax.lax.optimization_barrier((q, pieces))
  q_parts = _cut(q, [span for spans, _ in seen.tiles for span in spans])
  piece_parts = []
  for index, piece in enumerate(pieces):
    spans = [r.keys for _, tile in seen.tiles for r in tile if r.piece == index]
    piece_parts.append([_cut(leaf, spans) for leaf in piece])
  out_of = {}  # span of queries: its result
  for (spans, tile), masks in zip(seen.tiles, seen.masks, strict=True):
    queries = jnp.concatenate([_join(q_parts, span) for span in spans], axis=2)
    keys_values = [
      tuple(_join(parts, r.keys) for parts in piece_parts[r.piece]) for r in tile
    ]
    out = _softmax(queries, [r.queries for r in tile], keys_values, masks)
    sizes = [stop - first for first, stop in spans]
    out_of |= dict(zip(spans, jax.lax.split(out, sizes, axis=2), strict=True))
  return jnp.concatenate([out_of[span] for span in sorted(out_of)], axis=2)


def _cut(leaf, spans):
  """[(first, part)] of [B, H, S, D], cut where any of the spans begins or ends."""
  size = leaf.shape[2]
  ends = sorted({0, size, *(end for span in spans for end in span)})
  parts = jax.lax.split(leaf, np.diff(ends).tolist(), axis=2)
  return list(zip(ends, parts))


def _join(parts, span):
  """The slots of a span, from the parts that `_cut` made."""
  return jnp.concatenate([part for at, part in parts if span[0] <= at < span[1]], axis=2)


def _softmax(q, spans, pieces, masks):
  """Attention of q [B, H, Q, D]: one softmax over the keys of all pieces (k, v) [P, H, K, D], each
  seen by a span of the queries, as far as its mask allows."""
  wide = jnp.promote_types(q.dtype, jnp.float32)
  batch, _, num_queries, _ = q.shape
  q = q * q.shape[-1] ** -0.5
  lowest = jnp.finfo(wide).min
  scores = []
  for span, (k, _), allowed in zip(spans, pieces, masks, strict=True):
    own = _deal(q[:, :, slice(*span)], len(k))
    score = jnp.einsum('bhqd,bhkd->bhqk', own, k, preferred_element_type=wide)
    if allowed is not None:
      allowed = jnp.broadcast_to(allowed, (batch, *allowed.shape[-2:]))[:, None]
      score = jnp.where(_deal(allowed, len(k)), score, lowest)
    scores.append(score)
  highest = [
    _gather(jnp.max(score, axis=-1, keepdims=True), span, batch, num_queries, lowest)
    for span, score in zip(spans, scores, strict=True)
  ]
  highest = jax.lax.stop_gradient(functools.reduce(jnp.maximum, highest))
  total, out = 0, 0
  for span, score, (_, v) in zip(spans, scores, pieces, strict=True):
    weights = jnp.exp(score - _deal(highest[:, :, slice(*span)], len(score)))
    total += _gather(jnp.sum(weights, axis=-1, keepdims=True), span, batch, num_queries)
    part = jnp.einsum('bhqk,bhkd->bhqd', weights.astype(v.dtype), v, preferred_element_type=wide)
    out += _gather(part, span, batch, num_queries)
  return (out * (1 / total)).astype(q.dtype)


def _deal(leaf, examples):
  """[B, H, Q, X] -> [P, H, B / P Q, X]: queries that read the same of P examples together."""
  if examples == len(leaf):
    return leaf
  groups = leaf.reshape(-1, examples, *leaf.shape[1:])
  return jnp.moveaxis(groups, 0, 2).reshape(examples, leaf.shape[1], -1, leaf.shape[-1])


def _gather(leaf, span, batch, num_queries, fill=0):
  """[P, H, B / P q, X] of a span of q queries -> [B, H, Q, X] of all, `fill` beside the span."""
  if len(leaf) != batch:
    groups = leaf.reshape(*leaf.shape[:2], -1, span[1] - span[0], leaf.shape[-1])
    leaf = jnp.moveaxis(groups, 2, 0).reshape(batch, leaf.shape[1], -1, leaf.shape[-1])
  beside = ((0, 0), (0, 0), (span[0], num_queries - span[1]), (0, 0))
  return jnp.pad(leaf, beside, constant_values=fill)
