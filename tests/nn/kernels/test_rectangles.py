"""Rectangles hold all that is seen, and little else; attention over them is the definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.nn import attention
from adiff.nn.kernels import rectangles
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import mask

GEOMETRIES = {
  'whole': blocks_lib.whole(160),
  'tokens': blocks_lib.tokens(160),
  'many small blocks': blocks_lib.equal(256, 4),
  'few large blocks': blocks_lib.equal(320, 80),
  'a token-causal copy': blocks_lib.Blocks((32,) * 8, tuple(range(256)), 0.0, causal=True),
  'scales': blocks_lib.scales((1, 2, 4, 8, 16)),
}


@pytest.fixture
def nothing_is_small(monkeypatch):
  """Two tiles a stream, and rectangles of any size."""
  monkeypatch.setattr(rectangles, 'SMALL', 1)
  monkeypatch.setattr(rectangles, 'GROUPS', 2)


def slots_of(blocks):
  return blocks.slots(np.zeros((blocks.num_tokens, 1)))


def see(slots, *how):
  return attention.visible(slots, (slots,), *how)


def area(seen):
  """Scores that are computed."""
  size = lambda span: span[1] - span[0]
  return sum(size(r.queries) * size(r.keys) for _, tile in seen.tiles for r in tile)


def test_two_streams_of_many_blocks_cost_a_third_of_all_scores():
  slots = slots_of(blocks_lib.equal(1024, 64))
  assert area(see(slots)) < 0.31 * slots.block.size**2


@pytest.mark.parametrize(('reach', 'sinks'), [(1, 0), (3, 2)])
def test_a_short_reach_saves_scores(reach, sinks):
  slots = slots_of(blocks_lib.equal(512, 16))
  assert area(see(slots, reach, sinks)) < 0.6 * area(see(slots))


def test_the_copies_of_a_block_share_their_keys_where_there_are_many_slots():
  seen = see(slots_of(blocks_lib.equal(1024, 64)))
  assert len(seen.tiles) == rectangles.GROUPS
  for spans, tile in seen.tiles:
    assert len(spans) == 2  # of both streams
    keys = [r.keys for r in tile]
    assert len(set(keys)) == len(keys)  # none is read for one stream and again for the other


def test_what_all_queries_of_a_rectangle_see_is_not_masked():
  slots = slots_of(blocks_lib.equal(1024, 128))
  assert all(allowed is None for masks in see(slots).masks for allowed in masks)


@pytest.mark.parametrize('name', GEOMETRIES)
def test_every_query_is_in_one_tile_and_every_pair_that_is_seen_in_one_rectangle(name):
  slots = slots_of(GEOMETRIES[name])
  seen, allowed = see(slots), mask.attend(slots, slots)
  visits, times = np.zeros(allowed.shape, int), np.zeros(len(allowed), int)
  for (spans, tile), masks in zip(seen.tiles, seen.masks, strict=True):
    index = np.concatenate([np.arange(*span) for span in spans])
    times[index] += 1
    for (queries, _, keys), own in zip(tile, masks, strict=True):
      pairs = np.ix_(index[slice(*queries)], np.arange(*keys))
      np.testing.assert_array_equal(allowed[pairs], True if own is None else own)
      visits[pairs] += 1
  np.testing.assert_array_equal(times, 1)
  np.testing.assert_array_equal(visits[allowed], 1)
  assert visits.max() == 1


@pytest.mark.usefixtures('nothing_is_small')
def test_the_picture_of_the_module_is_what_is_computed():
  names = ['w1', 'w2', 'w3', 'w4', 'h1', 'h2', 'h3']
  seen, lines = see(slots_of(blocks_lib.tokens(4))), []
  for (spans, tile), masks in zip(seen.tiles, seen.masks, strict=True):
    of_tile = [name for span in spans for name in names[slice(*span)]]
    for r, allowed in zip(tile, masks, strict=True):
      pair = f'{" ".join(of_tile[slice(*r.queries)])} x {" ".join(names[slice(*r.keys)])}'
      lines.append(f'{pair}, {"all seen" if allowed is None else "masked"}')
  assert lines == [
    'w1 w2 x w1 w2, masked', 'w1 w2 h1 h2 x h1, masked', 'h1 h2 x h2, masked',
    'w3 w4 x w3 w4, masked', 'w3 w4 h3 x h1 h2, all seen', 'w3 w4 h3 x h3, masked',
  ]
  assert all(line in rectangles.__doc__ for line in lines)


@pytest.mark.usefixtures('nothing_is_small')
def test_keys_that_one_span_alone_sees_are_computed_for_that_span():
  possible = np.array([[1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 1, 1]], bool)
  assert rectangles.cover(possible, [1, 2]) == [
    ((0, 3), (0, 1), True), ((0, 1), (1, 3), True), ((1, 3), (4, 5), True), ((1, 3), (5, 6), False),
  ]


def test_small_rectangles_are_computed_with_their_neighbours():
  possible = np.array([[1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 1, 1]], bool)
  assert rectangles.cover(possible, [1, 2]) == [((0, 3), (0, 6), False)]
  assert rectangles.cover(np.zeros((3, 6), bool), [1, 2]) == []


@pytest.mark.parametrize('name', GEOMETRIES)
def test_the_softmax_over_all_rectangles_is_that_of_the_definition(name):
  slots = slots_of(GEOMETRIES[name])
  q, k, v = jax.random.normal(jax.random.key(0), (3, 2, 2, slots.block.size, 8))
  out = rectangles.attention(q, [(k, v)], see(slots))
  scores = jnp.einsum('bhqd,bhkd->bhqk', q, k) / 8**0.5
  allowed = jnp.asarray(mask.attend(slots, slots))[None, None]
  weights = jax.nn.softmax(jnp.where(allowed, scores, -jnp.inf), axis=-1)
  expected = jnp.einsum('bhqk,bhkd->bhqd', weights, v)
  np.testing.assert_allclose(out, expected, atol=2e-5, rtol=1e-5)
