"""Attention under the one rule: the only place where a kernel is chosen.

Under the rule most pairs of a training row do not see each other: three quarters of two streams of
many blocks. What is known when the program is traced (`Slots` that are host arrays) decides which
rectangles of the score matrix are computed; what is not (segments of packed documents, rows of a
cache) is masked inside them. One softmax runs over all rectangles of a query. On a TPU (splash.py)
and on a GPU (flash.py) a fused kernel does the same over tiles, where all slots are known.
"""

import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from adiff import blocks as blocks_lib
from adiff import mask
from adiff.nn import layout

# Queries of at most this many groups a stream share their keys: more save scores, fewer save calls.
GROUPS = 8
# Fewer rows or columns than this are not worth a rectangle of their own.
SMALL = 64


@flax.struct.dataclass
class Seen:
  """Which rectangles are computed, and what is masked in each.

  tiles: ((first query, last query), ((piece, first key, last key), ...)) of every group of queries;
  ends are exclusive. masks: bool [(B,) Q, K] of every rectangle, None where all of it is seen.
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
  at = lambda slots, first, stop: jax.tree.map(
    lambda leaf: leaf[..., first:stop], slots._replace(coords=None)
  )
  known = all(_host(slots.segment) for slots in (q, *pieces))
  q_fixed, *fixed = (_fixed(slots, known) for slots in (q, *pieces))
  kernels = None
  if head and len(pieces) == 1 and q_fixed is not None and fixed[0] is not None:
    segments = None if known else (q.segment, pieces[0].segment)
    kernels = _kernels(q_fixed, fixed[0], reach, sinks, head, segments, interpret)
  all_rows = ((0, q.block.shape[-1]),)
  tiles, masks = [], []
  for rows in all_rows if q_fixed is None else _rows(q_fixed):
    columns, allowed = [], []
    for index, (k, k_fixed) in enumerate(zip(pieces, fixed, strict=True)):
      if q_fixed is None or k_fixed is None:
        size = k.block.shape[-1]  # 0: a cache without rows
        spans, full = ((0, size),) if size else (), lambda first, stop: False
      else:
        possible = mask.attend(at(q_fixed, *rows), k_fixed, reach, sinks)
        spans = _columns(possible)
        full = lambda first, stop, seen=possible: known and seen[:, first:stop].all()
      for span in spans:
        columns.append((index, *span))
        see = None if full(*span) else mask.attend(at(q, *rows), at(k, *span), reach, sinks)
        allowed.append(see)
    tiles.append((rows, tuple(columns)))
    masks.append(tuple(allowed))
  return Seen(tuple(tiles), tuple(masks), kernels)


def _kernels(q, k, reach, sinks, head, segments, interpret):
  """Of every platform that has one: a program is traced for all platforms."""
  if head.dtype.itemsize > 4:
    return None
  from adiff.nn import flash, splash  # Pallas takes half a second to import
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
  if not len(seen):
    return ()
  for run in np.split(seen, np.flatnonzero(np.diff(seen) > SMALL) + 1):
    first, stop = int(run[0]), int(run[-1]) + 1
    until = first + int(np.argmin(np.append(by_all[first:stop], False)))
    if SMALL <= until - first < stop - first:
      spans += [(first, until), (until, stop)]
    else:
      spans.append((first, stop))
  return tuple(spans)


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
  rows = _cut(q, [span for span, _ in seen.tiles])
  spans = lambda index: [span for _, tile in seen.tiles for which, *span in tile if which == index]
  parts = [
    jax.tree.map(lambda leaf, index=index: _cut(leaf, spans(index)), piece)
    for index, piece in enumerate(pieces)
  ]

  def join(index, first, stop):
    return tuple(
      jnp.concatenate([part for at, part in leaf if first <= at < stop], axis=2)
      for leaf in parts[index]
    )

  out = [
    _softmax(one, [join(*span) for span in columns], masks)
    for (_, one), (_, columns), masks in zip(rows, seen.tiles, seen.masks, strict=True)
  ]
  return jnp.concatenate(out, axis=2)


def _cut(leaf, spans):
  """[(position, part)] of [B, H, S, D], cut where any of the spans begins or ends."""
  size = leaf.shape[2]
  ends = sorted({0, size, *(end for span in spans for end in span)})
  parts = jax.lax.split(leaf, np.diff(ends).tolist(), axis=2)
  return list(zip(ends, parts))


def _softmax(q, pieces, masks):
  """Attention of q [B, H, Q, D] over the keys and values of all pieces together."""
  wide = jnp.promote_types(q.dtype, jnp.float32)
  batch, _, num_queries, _ = q.shape
  q = q * q.shape[-1] ** -0.5

  def deal(leaf, examples):  # [B, H, Q, X] -> [P, H, B / P Q, X]: queries of the same keys together
    if examples == batch:
      return leaf
    groups = leaf.reshape(-1, examples, *leaf.shape[1:])
    return jnp.moveaxis(groups, 0, 2).reshape(examples, leaf.shape[1], -1, leaf.shape[-1])

  def gather(leaf):  # and back
    if len(leaf) == batch:
      return leaf
    groups = leaf.reshape(*leaf.shape[:2], -1, num_queries, leaf.shape[-1])
    return jnp.moveaxis(groups, 2, 0).reshape(batch, leaf.shape[1], num_queries, -1)

  scores = []
  for (k, _), allowed in zip(pieces, masks, strict=True):
    one = jnp.einsum('bhqd,bhkd->bhqk', deal(q, len(k)), k, preferred_element_type=wide)
    if allowed is not None:
      allowed = jnp.broadcast_to(allowed, (batch, num_queries, k.shape[2]))[:, None]
      one = jnp.where(deal(allowed, len(k)), one, jnp.finfo(wide).min)
    scores.append(one)
  tops = [gather(jnp.max(one, axis=-1, keepdims=True)) for one in scores]
  top = jax.lax.stop_gradient(functools.reduce(jnp.maximum, tops))
  weights = [jnp.exp(one - deal(top, len(one))) for one in scores]
  total = sum(gather(jnp.sum(one, axis=-1, keepdims=True)) for one in weights)
  out = sum(
    gather(jnp.einsum('bhqk,bhkd->bhqd', one.astype(v.dtype), v, preferred_element_type=wide))
    for one, (_, v) in zip(weights, pieces, strict=True)
  )
  return (out * (1 / total)).astype(q.dtype)
