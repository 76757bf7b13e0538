"""Attention under the one rule: the only place where a kernel is chosen.

Under the rule most pairs of a training row do not see each other: three quarters of two streams of
many blocks. What is known when the program is traced (`Slots` that are host arrays) decides which
rectangles of the score matrix are computed; what is not (segments of packed documents, rows of a
cache) is masked inside them. One softmax runs over all rectangles of a query. On a TPU (splash.py)
and on a GPU (flash.py) a fused kernel does the same over tiles, where all slots are known.
"""

import functools
import itertools
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from adiff.nn import layout
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import mask

# Groups of blocks whose queries share keys: more save scores, fewer save calls.
GROUPS = 8
# Fewer rows or columns than this are not worth a rectangle of their own.
SMALL = 64


class Rectangle(NamedTuple):
  """Queries `rows` of a tile against keys `keys` of a piece: (first, stop) of both."""

  rows: tuple[int, int]
  piece: int
  keys: tuple[int, int]


@flax.struct.dataclass
class Seen:
  """Which rectangles are computed, and what is masked in each.

  tiles: (spans of queries (first, stop), Rectangles) of every group of queries that share keys.
  masks: bool [(B,) Q, K] of every rectangle, None where all of it is seen.
  kernels: {platform: a Splash or Flash, takes the place of both there}.
  """

  tiles: tuple = flax.struct.field(pytree_node=False)
  masks: tuple
  kernels: dict[str, Any] | None = None


def visible(
  q: blocks_lib.Slots, pieces, reach=None, sinks=0, *, head=None, interpret=False
) -> Seen:
  """What `attention` must know of the slots; computed once a network call, shared by its layers.

  pieces: the Slots of every piece of keys: those of the call, and those of a cache before them.
  head: shape [H, D] and dtype of one device's heads, where a platform shall use its kernel for
  slots that are all known; none has float64. interpret: it runs anywhere, slowly.
  """
  at = lambda slots, index: jax.tree.map(
    lambda leaf: leaf[..., index], slots._replace(coords=None)
  )
  known = all(_host(slots.segment) for slots in (q, *pieces))
  q_fixed, *fixed = (_fixed(slots, known) for slots in (q, *pieces))
  kernels = None
  if head and len(pieces) == 1 and q_fixed is not None and fixed[0] is not None:
    segments = None if known else (q.segment, pieces[0].segment)
    kernels = _kernels(q_fixed, fixed[0], reach, sinks, head, segments, interpret)
  whole = (((0, q.block.shape[-1]),),)
  tiles, masks = [], []
  for spans in whole if q_fixed is None else _queries(q_fixed):
    rows = np.concatenate([np.arange(*span) for span in spans])
    rectangles, allowed = [], []
    for piece, (k, k_fixed) in enumerate(zip(pieces, fixed, strict=True)):
      if q_fixed is None or k_fixed is None:
        size = k.block.shape[-1]  # 0: a cache without rows
        found = [((0, len(rows)), (0, size), False)] if size else []
      else:
        possible = mask.attend(at(q_fixed, rows), k_fixed, reach, sinks)
        found = _cover(possible, [stop - first for first, stop in spans])
      for some, keys, full in found:
        rectangles.append(Rectangle(some, piece, keys))
        pair = at(q, rows[slice(*some)]), at(k, slice(*keys))
        allowed.append(None if full and known else mask.attend(*pair, reach, sinks))
    tiles.append((spans, tuple(rectangles)))
    masks.append(tuple(allowed))
  return Seen(tuple(tiles), tuple(masks), kernels)


def _kernels(q, k, reach, sinks, head, segments, interpret):
  """Of every platform that has one: a program is traced for all platforms."""
  if head.dtype.itemsize > 4:
    return None
  from adiff.nn.kernels import flash, splash  # Pallas takes half a second to import
  return dict(
    tpu=splash.make(
      mask.attend(q, k, reach, sinks), head.shape[0], segments, interpret=interpret
    ),
    cuda=flash.make(q, k, head, segments, reach, sinks, interpret=interpret),
  )


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


def _queries(slots):
  """Spans of queries of every tile: whole blocks, about GROUPS tiles a stream. Where there are many
  slots, the copies of a block are in one tile; fewer rows are faster apart (measured on a CPU)."""
  turns = np.flatnonzero(np.diff(slots.stream)) + 1
  ends = [0, *turns.tolist(), len(slots.block)]
  least = max(SMALL, -(-max(np.diff(ends)) // GROUPS))
  together = least >= 2 * SMALL
  cuts = np.flatnonzero(np.diff(slots.block)) + 1
  tiles = {}
  for begin, end in itertools.pairwise(ends):
    first = begin
    for stop in (*cuts[(cuts > begin) & (cuts < end)].tolist(), end):
      if stop == end or stop - first >= least:
        tiles.setdefault(first - begin if together else first, []).append((first, stop))
        first = stop
  return [tuple(spans) for spans in tiles.values()]


def _cover(possible, sizes):
  """[((first, stop) rows, (first, stop) columns, is all of it seen?)]: rectangles that hold all
  that is seen in `possible` [Q, K]; its rows are spans of `sizes`.

  A column that one span alone sees is computed for that span.
  """
  ends = np.cumsum([0, *sizes]).tolist()
  spans = [*itertools.pairwise(ends), (0, ends[-1])]
  by_span = np.stack([possible[slice(*span)].any(0) for span in spans[:-1]])
  seen = np.flatnonzero(by_span.any(0))
  which = np.where(by_span.sum(0) > 1, len(sizes), by_span.argmax(0))[seen]
  turns = (np.flatnonzero((np.diff(seen) > SMALL) | (np.diff(which) != 0)) + 1).tolist()
  runs = []  # [index of the span of rows, first, stop]
  for begin, end in itertools.pairwise([0, *turns, len(seen)]) if len(seen) else ():
    rows, first, stop = int(which[begin]), int(seen[begin]), int(seen[end - 1]) + 1
    near = runs and first - runs[-1][2] <= SMALL
    if near and min(stop - first, runs[-1][2] - runs[-1][1]) < SMALL:
      runs[-1] = [rows if rows == runs[-1][0] else len(sizes), runs[-1][1], stop]
    else:
      runs.append([rows, first, stop])
  found = []
  for index, first, stop in runs:
    full = possible[slice(*spans[index]), first:stop].all(0)
    until = first + int(np.argmin(np.append(full, False)))
    pair = SMALL <= until - first < stop - first  # those that all see apart: they need no mask
    for begin, end in ((first, until), (until, stop)) if pair else ((first, stop),):
      found.append((spans[index], (begin, end), bool(full[begin - first:end - first].all())))
  return found


def attention(q, pieces, seen: Seen):
  """softmax(q k / sqrt(D)) v where `seen`: q [B, Q, H, D], pieces of (k, v) [P, K, H, D] ->
  [B, Q, H, D].

  A piece of P < B examples serves B / P queries in turn: query b reads example b mod P.
  Scores and softmax are float32 at least. Every slot sees itself, so no row is empty.
  """
  heads_first = lambda leaf: jnp.swapaxes(leaf, 1, 2)
  q, pieces = heads_first(q), jax.tree.map(heads_first, pieces)
  if seen.kernels is None:
    return heads_first(_rectangles(q, pieces, seen))
  on = lambda platform: lambda q, pieces, seen: layout.on_each_device(
    seen.kernels[platform], q, *pieces[0]
  )
  fused = {platform: on(platform) for platform in seen.kernels}
  return heads_first(jax.lax.platform_dependent(q, pieces, seen, **fused, default=_rectangles))


def _rectangles(q, pieces, seen):
  """[B, H, Q, D], computed as `seen.tiles` says.

  Arrays are cut once where any rectangle begins or ends, and joined again for each: the gradient
  is then a sum of parts, where that of overlapping slices would be a sum of padded arrays.
  """
  if len(seen.tiles) > 1:  # heads first in memory, once: XLA would transpose for every rectangle
    q, pieces = jax.lax.optimization_barrier((q, pieces))
  cut = _cut(q, [span for spans, _ in seen.tiles for span in spans])
  join = lambda parts, first, stop: jnp.concatenate(
    [part for at, part in parts if first <= at < stop], axis=2
  )
  spans_of = lambda piece: [r.keys for _, tile in seen.tiles for r in tile if r.piece == piece]
  parts = [
    [_cut(leaf, spans_of(index)) for leaf in piece] for index, piece in enumerate(pieces)
  ]
  found = {}
  for (spans, tile), masks in zip(seen.tiles, seen.masks, strict=True):
    rows = jnp.concatenate([join(cut, *span) for span in spans], axis=2)
    keys = [tuple(join(leaf, *r.keys) for leaf in parts[r.piece]) for r in tile]
    out = _softmax(rows, [r.rows for r in tile], keys, masks)
    sizes = [stop - first for first, stop in spans]
    found |= dict(zip(spans, jax.lax.split(out, sizes, axis=2), strict=True))
  return jnp.concatenate([found[span] for span in sorted(found)], axis=2)


def _cut(leaf, spans):
  """[(position, part)] of [B, H, S, D], cut where any of the spans begins or ends."""
  size = leaf.shape[2]
  ends = sorted({0, size, *(end for span in spans for end in span)})
  parts = jax.lax.split(leaf, np.diff(ends).tolist(), axis=2)
  return list(zip(ends, parts))


def _softmax(q, rows, pieces, masks):
  """Attention of q [B, H, Q, D] over keys and values of all pieces, each for some `rows` of q."""
  wide = jnp.promote_types(q.dtype, jnp.float32)
  batch, _, num_queries, _ = q.shape
  q = q * q.shape[-1] ** -0.5

  def deal(leaf, examples):  # [B, H, Q, X] -> [P, H, B / P Q, X]: queries of the same keys together
    if examples == batch:
      return leaf
    groups = leaf.reshape(-1, examples, *leaf.shape[1:])
    return jnp.moveaxis(groups, 0, 2).reshape(examples, leaf.shape[1], -1, leaf.shape[-1])

  def gather(leaf, some, fill=0):  # and back, to all rows
    if len(leaf) != batch:
      groups = leaf.reshape(*leaf.shape[:2], -1, some[1] - some[0], leaf.shape[-1])
      leaf = jnp.moveaxis(groups, 2, 0).reshape(batch, leaf.shape[1], -1, leaf.shape[-1])
    beside = ((0, 0), (0, 0), (some[0], num_queries - some[1]), (0, 0))
    return jnp.pad(leaf, beside, constant_values=fill)

  lowest = jnp.finfo(wide).min
  scores = []
  for some, (k, _), allowed in zip(rows, pieces, masks, strict=True):
    one = deal(q[:, :, slice(*some)], len(k))
    one = jnp.einsum('bhqd,bhkd->bhqk', one, k, preferred_element_type=wide)
    if allowed is not None:
      allowed = jnp.broadcast_to(allowed, (batch, *allowed.shape[-2:]))[:, None]
      one = jnp.where(deal(allowed, len(k)), one, lowest)
    scores.append(one)
  tops = [
    gather(jnp.max(one, axis=-1, keepdims=True), some, lowest)
    for some, one in zip(rows, scores, strict=True)
  ]
  top = jax.lax.stop_gradient(functools.reduce(jnp.maximum, tops))
  total, out = 0, 0
  for some, one, (_, v) in zip(rows, scores, pieces, strict=True):
    weights = jnp.exp(one - deal(top[:, :, slice(*some)], len(one)))
    total += gather(jnp.sum(weights, axis=-1, keepdims=True), some)
    one = jnp.einsum('bhqk,bhkd->bhqd', weights.astype(v.dtype), v, preferred_element_type=wide)
    out += gather(one, some)
  return (out * (1 / total)).astype(q.dtype)
