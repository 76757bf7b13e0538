"""Attention under the one rule: the only place where a kernel is chosen.

Under the rule most pairs of a training row do not see each other: three quarters of two streams of
many blocks. What is known when the program is traced (`Slots` that are host arrays) decides which
rectangles of the score matrix are computed (kernels/rectangles.py); what is not (segments of packed
documents, places of a cache) is masked inside them. On a TPU (kernels/splash.py) and on a GPU
(kernels/flash.py) a fused kernel does the same over tiles, where all slots are known.
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from adiff.nn import layout
from adiff.nn.kernels import rectangles
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import mask


@flax.struct.dataclass
class Seen:
  """Which rectangles are computed, and what is masked in each.

  tiles: (spans of queries, Rectangles) of every group of queries that share keys.
  masks: bool [(B,) Q, K] of every rectangle, None where all of it is seen.
  kernels: {platform: a Splash or Flash, which takes the place of both there}.
  """

  tiles: tuple = flax.struct.field(pytree_node=False)
  masks: tuple
  kernels: dict[str, Any] | None = None


def visible(
  q: blocks_lib.Slots, pieces, reach=None, sinks=0, *, head=None, interpret=False
) -> Seen:
  """What `attention` must know of the slots; computed once a network call, shared by its layers.

  pieces: the Slots of every piece of keys: those of a cache, and those of the call behind them.
  head: shape [H, D] and dtype of one device's heads, where a platform shall use its kernel for
  slots that are all known; none has float64. interpret: it runs anywhere, slowly.
  """
  known = all(_is_host(slots.segment) for slots in (q, *pieces))
  q_fixed, *fixed = (_fixed(slots, known) for slots in (q, *pieces))
  kernels = None
  if head and len(pieces) == 1 and q_fixed is not None and fixed[0] is not None:
    segments = None if known else (q.segment, pieces[0].segment)
    kernels = _kernels(q_fixed, fixed[0], reach, sinks, head, segments, interpret)
  all_queries = (((0, q.block.shape[-1]),),)
  tiles, masks = [], []
  for spans in all_queries if q_fixed is None else rectangles.tiles_of(q_fixed):
    index = np.concatenate([np.arange(*span) for span in spans])
    tile, allowed = [], []
    for piece, (k, k_fixed) in enumerate(zip(pieces, fixed, strict=True)):
      if q_fixed is None or k_fixed is None:
        size = k.block.shape[-1]  # 0: a cache without places
        covered = [((0, len(index)), (0, size), False)] if size else []
      else:
        possible = mask.attend(_at(q_fixed, index), k_fixed, reach, sinks)
        covered = rectangles.cover(possible, [stop - first for first, stop in spans])
      for queries, keys, all_seen in covered:
        tile.append(rectangles.Rectangle(queries, piece, keys))
        pair = _at(q, index[slice(*queries)]), _at(k, slice(*keys))
        allowed.append(None if all_seen and known else mask.attend(*pair, reach, sinks))
    tiles.append((spans, tuple(tile)))
    masks.append(tuple(allowed))
  return Seen(tuple(tiles), tuple(masks), kernels)


def shown(mask, num_rows) -> Seen:
  """The Seen of queries [B, S] and `num_rows` rows of their own mask: bool [B, S, num_rows]."""
  num_queries = mask.shape[1]
  tile = (rectangles.Rectangle((0, num_queries), 0, (0, num_rows)),)
  return Seen(((((0, num_queries),), tile),), ((mask,),))


def _at(slots, index) -> blocks_lib.Slots:
  return jax.tree.map(lambda leaf: leaf[..., index], slots._replace(coords=None))


def _kernels(q, k, reach, sinks, head, segments, interpret):
  """{platform: its kernel}; a program is traced for all platforms."""
  if head.dtype.itemsize > 4:
    return None
  from adiff.nn.kernels import flash, splash  # Pallas takes half a second to import
  return dict(
    tpu=splash.make(
      mask.attend(q, k, reach, sinks), head.shape[0], segments, interpret=interpret
    ),
    cuda=flash.make(q, k, head, segments, reach, sinks, interpret=interpret),
  )


def _is_host(leaf) -> bool:
  """Is the leaf known when the program is traced, and the same for all examples?"""
  return isinstance(leaf, np.ndarray) and leaf.size == leaf.shape[-1]


def _fixed(slots, known) -> blocks_lib.Slots | None:
  """The slots [S] where all but, unless known, their segment is known now; else None."""
  leaves = slots.block, slots.stream, slots.readable, slots.rank
  if not all(_is_host(leaf) for leaf in leaves):
    return None
  segment = slots.segment if known else np.zeros_like(slots.block)
  block, stream, readable, rank, segment = (leaf.reshape(-1) for leaf in (*leaves, segment))
  return blocks_lib.Slots(block, stream, readable, segment, None, rank)


def attention(q, pieces, seen: Seen) -> jax.Array:
  """softmax(q k / sqrt(D)) v where `seen`: q [B, Q, H, D], pieces of (k, v) [P, K, H, D] ->
  [B, Q, H, D].

  A piece of P < B examples serves B / P queries in turn: query b reads example b mod P.
  Scores and softmax are float32 at least. Every slot sees itself, so no row is empty.
  """
  q, pieces = _heads_first(q), jax.tree.map(_heads_first, pieces)
  if seen.kernels is None:
    return _heads_first(rectangles.attention(q, pieces, seen))

  def fused(platform):
    def on_device(q, pieces, seen):
      return layout.on_each_device(seen.kernels[platform], q, *pieces[0])

    return on_device

  kernels = {platform: fused(platform) for platform in seen.kernels}
  out = jax.lax.platform_dependent(q, pieces, seen, **kernels, default=rectangles.attention)
  return _heads_first(out)


def _heads_first(leaf):
  """[B, S, H, D] -> [B, H, S, D], and back."""
  return jnp.swapaxes(leaf, 1, 2)
