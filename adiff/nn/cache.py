"""Keys and values of finished blocks: an argument and a result of the network's call.

A cache has *places*, one a token, in the order in which tokens were finished. What a query sees of
it is attend(q, cache.slots): there is no second rule. Empty places have a segment of their own.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adiff.sequence import blocks as blocks_lib

EMPTY = -1  # the segment of a place that holds nothing


class Cache(NamedTuple):
  """Keys are stored as they are read, rotated and heads first: rotation at every call would take a
  tenth of a rollout. To move them, rotate by the difference (rotary.py: rotations add)."""

  k: tuple[jax.Array, ...]  # [B, H, C, D] of every layer
  v: tuple[jax.Array, ...]  # as k
  slots: blocks_lib.Slots  # [C] who is in each place
  # int32 [] how many have been written; with a reach, more than there are places. Where it is known
  # when the program is traced, an array of the host, no place is empty, and what is written makes
  # places of its own.
  length: jax.Array | np.ndarray


def empty(batch, heads, places, size, *, depth, dtype, axes) -> Cache:
  """`places` empty places of `depth` layers, for `batch` examples, heads of `size` features and
  positions on `axes` axes."""

  def zeros(*more, dtype=jnp.int32):  # each leaf its own: they may be donated
    return jnp.zeros((places, *more), dtype)

  slots = blocks_lib.Slots(
    block=zeros(), stream=zeros(), readable=jnp.zeros(places, bool), segment=zeros() + EMPTY,
    coords=zeros(axes, dtype=jnp.float32), rank=zeros(),
  )
  # Or XLA, as it compiles, makes all scores of the first block against what it knows is empty.
  slots = jax.lax.optimization_barrier(slots)

  def layers():
    return tuple(jnp.zeros((batch, heads, places, size), dtype) for _ in range(depth))

  return Cache(layers(), layers(), slots, jnp.int32(0))


def num_places(cache: Cache) -> int:
  """C, the places of a cache, filled or not."""
  return cache.slots.segment.shape[-1]


def begun(fresh, slots: blocks_lib.Slots, keep) -> Cache:
  """A cache of the first `keep` of the fresh (keys, values) of every layer and slots, and no other
  place; its length is known."""
  k, v = (tuple(new[:, :, :keep] for new in layers) for layers in zip(*fresh, strict=True))
  slots = jax.tree.map(lambda leaf: leaf[:keep], _stored(slots))
  return Cache(k, v, slots, np.asarray(keep, np.int32))


def _stored(slots):
  """Slots as a cache has them: without tokens, whatever numbers positions are."""
  return slots._replace(token=None, coords=slots.coords.astype(jnp.float32))


def joined(cache: Cache, more: Cache) -> Cache:
  """The cache with the places of `more` behind its own."""

  def behind(axis):

    def concatenated(*leaves):
      known = all(isinstance(leaf, np.ndarray) for leaf in leaves)
      return (np if known else jnp).concatenate(leaves, axis)

    return concatenated

  k, v = jax.tree.map(behind(2), (cache.k, cache.v), (more.k, more.v))
  return Cache(k, v, jax.tree.map(behind(0), cache.slots, more.slots), cache.length)


def append(cache: Cache, fresh, slots: blocks_lib.Slots, keep, *, reach=None, sinks=0) -> Cache:
  """Writes the first `keep` of the fresh (keys, values) of every layer and slots behind the filled
  places. With a reach a full cache is a ring: it writes over its oldest places, those of the first
  `sinks` blocks excepted."""
  if isinstance(cache.length, np.ndarray):
    more = joined(cache, begun(fresh, slots, keep))
    return more._replace(length=np.asarray(cache.length + keep, np.int32))
  if reach is None:

    def put(old, new, axis):
      return jax.lax.dynamic_update_slice_in_dim(old, new, cache.length, axis)
  else:
    places = num_places(cache)
    pinned = jnp.sum((cache.slots.segment != EMPTY) & (cache.slots.block < sinks))
    index = cache.length + jnp.arange(keep)
    index = jnp.where(index < places, index, pinned + (index - pinned) % (places - pinned))

    def put(old, new, axis):
      return old.at[(slice(None),) * axis + (index,)].set(new)

  def write(old, new):
    return put(old, new[:len(old), :, :keep], 2)

  k, v = (
    tuple(map(write, old, new))
    for old, new in zip((cache.k, cache.v), zip(*fresh, strict=True), strict=True)
  )
  slots = _stored(slots)
  slots = jax.tree.map(lambda old, new: put(old, new[:keep], 0), cache.slots, slots)
  return Cache(k, v, slots, cache.length + keep)


def shortened(cache: Cache, places) -> Cache:
  """The cache with at most the first `places` places filled, an int or an array []."""
  gone = jnp.arange(num_places(cache)) >= places
  slots = cache.slots._replace(
    segment=jnp.where(gone, EMPTY, cache.slots.segment),
    readable=jnp.where(gone, False, cache.slots.readable),
  )
  return cache._replace(slots=slots, length=jnp.minimum(cache.length, places).astype(jnp.int32))
