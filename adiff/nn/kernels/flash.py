"""Attention on a GPU: our kernels in Pallas for Triton, over the tiles that the rule allows.

Flash attention (Dao 2023, arXiv:2307.08691): a tile of queries walks through tiles of keys with a
running maximum and sum, so scores never leave the chip; the backward pass makes them again from the
log-sum-exp of every query, once for the queries' gradient and once for that of keys and values.
Which tiles a tile visits is known when the program is traced. Inside a tile the mask is the rule
itself, asked of the slots' index vectors; a tile that is known to be seen whole needs none. Time
follows the visited tiles, memory the number of slots. It has no forward-mode derivative.

Sizes of tiles and warps are customary on A100 and H100. Triton's compiler takes at most 109 KB of
shared memory for them there (heads of up to 256 features); nothing was run or timed on a GPU.
"""

import math
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from adiff.sequence import blocks as blocks_lib
from adiff.sequence import mask

TILE_BYTES = 2**14  # of queries or keys; the chip holds several tiles
LEAST = np.finfo(np.float32).min
LIMITS = np.iinfo(np.int32)


class Visits(NamedTuple):
  """Which of the other side's tiles each of T tiles visits."""

  index: np.ndarray  # int32 [T, most], those that are seen whole first
  counts: np.ndarray  # int32 [T, 2]: how many of them are seen whole, and how many there are


@flax.struct.dataclass
class Tiles:
  """What is known when the program is traced. q, k: slots without segment, in tiles of `size`;
  keys: Visits of tiles of queries to those of keys; queries: the same pairs from the keys' side."""

  q: blocks_lib.Slots
  k: blocks_lib.Slots
  keys: Visits
  queries: Visits
  size: int = flax.struct.field(pytree_node=False)
  reach: int | None = flax.struct.field(pytree_node=False)
  sinks: int = flax.struct.field(pytree_node=False)
  interpret: bool = flax.struct.field(pytree_node=False)


class Flash(NamedTuple):
  """A kernel, and the segments of queries and keys ([S] or [B, S])."""

  kernel: Tiles
  segments: tuple

  def __call__(self, q, k, v):
    """softmax(q k / sqrt(D)) v under the rule: [B, H, S, D] each -> [B, H, Q, D].

    Scores and sums are float32; products have the precision of
    `jax.default_matmul_precision`, which for float32 is TF32 unless told otherwise.
    """
    return _attend(*self, q, k, v)


def make(q, k, head, segments=None, reach=None, sinks=0, *, interpret=False) -> Flash:
  """The kernel of host Slots [Q] and [K].

  head: shape [.., D] and dtype of q, k, v. segments: those of the running program, where the host
  knows them not; then q and k have one segment. interpret: runs anywhere, slowly."""
  known = segments is None
  segments = (q.segment, k.segment) if known else segments
  size = min(64, max(16, TILE_BYTES // (_power(head.shape[-1]) * head.dtype.itemsize)))
  q, k = _whole_tiles(q, size, LIMITS.min), _whole_tiles(k, size, LIMITS.max)
  some, every = [], []
  for first in range(0, len(q.block), size):
    rows = jax.tree.map(lambda leaf, first=first: leaf[first:first + size], q)
    pairs = mask.attend(rows, k, reach, sinks).reshape(size, -1, size)
    some.append(pairs.any((0, 2)))
    every.append(pairs.all((0, 2)) & known)
  some, every = np.stack(some), np.stack(every)
  q, k = q._replace(segment=None), k._replace(segment=None)
  keys, queries = _visits(some, every), _visits(some.T, every.T)
  return Flash(Tiles(q, k, keys, queries, size, reach, sinks, interpret), segments)


def _whole_tiles(slots, size, block):
  """Slots as int32 with others behind them, of a block before (queries) or after (keys) all blocks:
  those see nothing, and nothing sees these."""
  pad = lambda leaf, value=0: np.pad(
    leaf.astype(np.int32), (0, -len(leaf) % size), constant_values=value
  )
  return jax.tree.map(pad, slots)._replace(block=pad(slots.block, block))


def _visits(some, every) -> Visits:
  """Visits of tiles, from bool [T, U]: is any pair of the two tiles seen, are all?"""
  counts = np.stack([every.sum(1), some.sum(1)], axis=1)
  order = np.argsort(2 - some.astype(int) - every, axis=1, kind='stable')
  return Visits(order[:, :max(1, counts[:, 1].max())].astype(np.int32), counts.astype(np.int32))


@jax.custom_vjp
def _attend(tiles, segments, q, k, v):
  return _forward(tiles, segments, q, k, v)[0]


def _forward(tiles, segments, q, k, v):
  q_slots, k_slots = _slots(tiles, segments, len(q))
  scores, pad = _scores(tiles, q.shape[-1]), lambda leaf: _pad(leaf, tiles.size)

  def flash_forward(visits, mine, others, out, lse):
    q_slots, q = _read(mine)

    def visit(carry, keys, whole):
      total, top, weight = carry
      k_slots, k, v = keys
      seen = scores(q_slots, k_slots, q, k, whole)
      higher = jnp.maximum(top, jnp.max(seen, axis=1))
      weights, kept = jnp.exp2(seen - higher[:, None]), jnp.exp2(top - higher)
      total = total * kept[:, None] + _dot(weights.astype(v.dtype), v)
      return total, higher, weight * kept + jnp.sum(weights, axis=1)

    rows = lambda value: jnp.full((tiles.size,), value, jnp.float32)
    start = jnp.zeros(q.shape, jnp.float32), rows(LEAST), rows(0)
    total, top, weight = _walk(tiles, visits, others, visit, start)
    weight = jnp.where(weight == 0, 1, weight)  # queries that see nothing: the result is zero
    out[...] = (total / weight[:, None]).astype(out.dtype)
    lse[...] = top + jnp.log2(weight)

  wide = pad(q)
  result = jax.ShapeDtypeStruct(wide.shape, q.dtype)
  sums = jax.ShapeDtypeStruct(wide.shape[:3], jnp.float32)
  out, lse = _call(
    flash_forward, tiles, tiles.keys, (q_slots, wide), (k_slots, pad(k), pad(v)), (result, sums)
  )
  out, lse = _crop(out, q), lse[:, :, :q.shape[2]]
  return out, (tiles, segments, q, k, v, out, lse)


def _backward(kept, towards):
  tiles, segments, q, k, v, out, lse = kept
  q_slots, k_slots = _slots(tiles, segments, len(q))
  scale = q.shape[-1] ** -0.5
  scores, pad = _scores(tiles, q.shape[-1]), lambda leaf: _pad(leaf, tiles.size)

  def pair(queries, keys, whole):
    """Softmax weights of a tile and the derivative in its scores, both [Q, K]."""
    q_slots, q, towards, lse, delta = queries
    k_slots, k, v = keys
    weights = jnp.exp2(scores(q_slots, k_slots, q, k, whole) - lse[:, None])
    return weights, weights * (_dot(towards, v.T) - delta[:, None])

  def flash_queries(visits, mine, others, out):
    queries = _read(mine)

    def visit(total, keys, whole):
      _, slope = pair(queries, keys, whole)
      _, k, _ = keys
      return total + _dot(slope.astype(k.dtype), k)

    total = _walk(tiles, visits, others, visit, jnp.zeros(out.shape, jnp.float32))
    out[...] = (total * scale).astype(out.dtype)

  def flash_keys(visits, mine, others, out_k, out_v):
    keys = _read(mine)

    def visit(carry, queries, whole):
      weights, slope = pair(queries, keys, whole)
      _, q, towards, _, _ = queries
      total_k, total_v = carry
      total_k += _dot(slope.astype(q.dtype).T, q)
      return total_k, total_v + _dot(weights.astype(towards.dtype).T, towards)

    start = jnp.zeros(out_k.shape, jnp.float32), jnp.zeros(out_v.shape, jnp.float32)
    total_k, total_v = _walk(tiles, visits, others, visit, start)
    out_k[...] = (total_k * scale).astype(out_k.dtype)
    out_v[...] = total_v.astype(out_v.dtype)

  delta = jnp.sum(out.astype(jnp.float32) * towards.astype(jnp.float32), axis=-1)
  queries = q_slots, *map(pad, (q, towards, lse, delta))
  keys = k_slots, *map(pad, (k, v))
  like = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
  (dq,) = _call(flash_queries, tiles, tiles.keys, queries, keys, (like(queries[1]),))
  dk, dv = _call(flash_keys, tiles, tiles.queries, keys, queries, tuple(map(like, keys[1:])))
  return None, None, _crop(dq, q), _crop(dk, k), _crop(dv, v)


_attend.defvjp(_forward, _backward)


def _slots(tiles, segments, batch):
  """Slots of queries and keys with segments [B, S]."""
  for slots, segment in zip((tiles.q, tiles.k), segments, strict=True):
    more = slots.block.shape[-1] - segment.shape[-1]
    segment = jnp.broadcast_to(segment, (batch, segment.shape[-1]))
    yield slots._replace(segment=jnp.pad(segment, ((0, 0), (0, more))))


def _power(dim) -> int:
  """Triton's arrays have powers of two, its products 16 at least."""
  return max(16, pl.next_power_of_2(dim))


def _pad(leaf, size):
  """[B, H, S, D] or [B, H, S] in whole tiles."""
  widths = [(0, _power(dim) - dim) for dim in leaf.shape[3:]]
  return jnp.pad(leaf, ((0, 0), (0, 0), (0, -leaf.shape[2] % size), *widths))


def _crop(leaf, like):
  return leaf[:, :, :like.shape[2], :like.shape[3]]


def _scores(tiles, dim):
  """Scores [Q, K] of one tile, in logarithms of base two; -inf where the rule forbids."""

  def scores(q_slots, k_slots, q, k, whole):
    scores = _dot(q, k.T) * (dim**-0.5 * math.log2(math.e))
    if whole:
      return scores
    k_slots = k_slots._replace(readable=k_slots.readable != 0)
    return jnp.where(mask.attend(q_slots, k_slots, tiles.reach, tiles.sinks), scores, -jnp.inf)

  return scores


def _dot(a, b):
  return jnp.dot(a, b, preferred_element_type=jnp.float32)


def _read(refs, at=slice(None)):
  return jax.tree.map(lambda ref: ref[at], refs)


def _walk(tiles, visits, others, visit, carry):
  """`carry` after visit(carry, tile of others, whole) of all tiles of the list."""
  index, counts = visits

  def step(whole):
    def one(at, carry):
      return visit(carry, _read(others, pl.ds(index[at] * tiles.size, tiles.size)), whole)
    return one

  carry = jax.lax.fori_loop(0, counts[0], step(True), carry)
  return jax.lax.fori_loop(counts[0], counts[1], step(False), carry)


def _call(kernel, tiles, visits, mine, others, out):
  """kernel(visits, mine, others, *out) for every tile, head and example: it has its own tile of
  `mine` and `out`, and all tiles of `others`."""

  def given(leaf, size=None):  # [S], [B, S], [B, H, S] or [B, H, S, D]
    lead, (slots, *dims) = min(leaf.ndim - 1, 2), leaf.shape[min(leaf.ndim - 1, 2):]
    return pl.BlockSpec(
      (*(None,) * lead, slots if size is None else size, *dims),
      lambda tile, head, example: (
        *(example, head)[:lead], 0 if size is None else tile, *(0,) * len(dims)),
    )

  own = lambda leaf: given(leaf, tiles.size)
  row = lambda leaf: pl.BlockSpec((None, leaf.shape[1]), lambda tile, head, example: (tile, 0))
  batch, heads, _, dim = mine[1].shape
  return pl.pallas_call(
    kernel, out_shape=out, grid=(len(visits.index), heads, batch), interpret=tiles.interpret,
    in_specs=(jax.tree.map(row, visits), jax.tree.map(own, mine), jax.tree.map(given, others)),
    out_specs=jax.tree.map(own, out),
    compiler_params=triton.CompilerParams(  # given, so that no other backend takes the kernel
      num_warps=4 if tiles.size * dim <= 64**2 else 8, num_stages=2,
    ),
  )(visits, mine, others)
