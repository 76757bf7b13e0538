"""The cache: places are written in order, a ring writes over the oldest, nothing empty is seen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.nn import cache as cache_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import mask

BLOCKS = blocks_lib.equal(12, 2, history=None)
SLOTS = BLOCKS.token_slots(np.arange(12)[:, None])


def empty(places, depth=2):
  return cache_lib.empty(
    3, 2, places, 4, depth=depth, dtype=jnp.dtype('float32'), axes=1
  )


def fresh(tokens, depth=2):
  """(keys, values) of every layer: a key is 100 layer + token, a value minus that."""
  tokens = jnp.asarray(tokens, jnp.float32).reshape(1, 1, -1, 1)
  keys = [jnp.broadcast_to(100 * i + tokens, (3, 2, tokens.size, 4)) for i in range(depth)]
  return [(k, -k) for k in keys]


def written(cache, first, num, more=0, **how):
  """The cache after `num` tokens from `first` on, with `more` behind them in the same call."""
  tokens = np.arange(first, first + num + more)
  slots = jax.tree.map(lambda leaf: jnp.asarray(leaf)[tokens], SLOTS)
  return jax.jit(lambda cache: cache_lib.append(cache, fresh(tokens), slots, num, **how))(cache)


def held(cache):
  """The tokens that the filled places hold, place by place; every leaf must agree on them."""
  tokens = np.asarray(cache.slots.coords)[:, 0]
  for layer, (k, v) in enumerate(zip(cache.k, cache.v, strict=True)):
    filled = np.asarray(cache.slots.segment) != cache_lib.EMPTY
    expected = np.broadcast_to((100 * layer + tokens)[:, None], k.shape[2:])[filled]
    np.testing.assert_array_equal(k[0, 0][filled], expected)
    np.testing.assert_array_equal(v[2, 1][filled], -expected)
  np.testing.assert_array_equal(np.asarray(cache.slots.block)[filled], tokens[filled] // 2)
  return tokens[filled].tolist()


def test_an_empty_cache_is_seen_by_nobody():
  cache = empty(5)
  assert cache_lib.num_places(cache) == 5 and int(cache.length) == 0
  assert held(cache) == []
  assert not np.any(mask.attend(SLOTS, cache.slots))


def test_the_kept_tokens_are_written_behind_the_filled_places_and_no_others():
  cache = written(empty(7), 0, 2, more=4)
  assert held(cache) == [0, 1] and int(cache.length) == 2
  cache = written(cache, 2, 4)
  assert held(cache) == [0, 1, 2, 3, 4, 5] and int(cache.length) == 6
  np.testing.assert_array_equal(cache.slots.segment, [0] * 6 + [cache_lib.EMPTY])
  allowed = mask.attend(SLOTS, cache.slots)
  np.testing.assert_array_equal(allowed[:, :6], mask.attend(SLOTS, SLOTS)[:, :6])
  assert not np.any(allowed[:, 6])


@pytest.mark.parametrize('sinks, expected', [
  (0, [6, 7, 8, 9, 4, 5]),
  (1, [0, 1, 6, 7, 8, 9]),
  (2, [0, 1, 2, 3, 8, 9]),
])
def test_with_a_reach_a_full_cache_is_a_ring_that_keeps_its_sinks(sinks, expected):
  cache = empty(6)
  for first in range(0, 10, 2):
    cache = written(cache, first, 2, more=1, reach=2, sinks=sinks)
  assert held(cache) == expected
  assert int(cache.length) == 10


def test_without_a_full_ring_a_reach_changes_nothing():
  plain, ring = (written(written(empty(6), 0, 2), 2, 4, **how) for how in ({}, {'reach': 1}))
  jax.tree.map(np.testing.assert_array_equal, plain, ring)


def test_joined_caches_have_the_places_of_both_and_go_on_where_the_first_one_was():
  cache = cache_lib.joined(written(empty(4), 0, 4), empty(3))
  assert cache_lib.num_places(cache) == 7 and held(cache) == [0, 1, 2, 3]
  assert held(written(cache, 4, 2)) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize('places', [0, 2, 5, 9])
def test_a_shortened_cache_has_forgotten_what_it_held_behind(places):
  cache = written(empty(7), 0, 6)
  short = jax.jit(cache_lib.shortened)(cache, places)
  assert held(short) == list(range(min(places, 6)))
  assert int(short.length) == min(places, 6) and short.length.dtype == cache.length.dtype
  assert not np.any(mask.attend(SLOTS, short.slots)[:, places:])
  if places == 2:
    assert held(written(short, 2, 2)) == [0, 1, 2, 3]
