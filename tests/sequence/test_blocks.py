"""Cutting a sequence: sizes, orders, packing, slots."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from adiff.sequence import blocks as blocks_lib


def test_constructors_cut_as_their_names_say():
  assert blocks_lib.whole(6).sizes == (6,)
  assert blocks_lib.tokens(3).sizes == (1, 1, 1)
  assert blocks_lib.equal(6, 2).sizes == (2, 2, 2)
  assert blocks_lib.backwards(6, 2).sizes == (2, 2, 2)
  assert blocks_lib.backwards(6, 2).order == (5, 4, 3, 2, 1, 0)
  assert blocks_lib.scales((1, 2, 4)).sizes == (1, 4, 16)
  assert blocks_lib.frames((3, 2, 2), 1).sizes == (4, 4, 4)
  assert blocks_lib.frames((4, 2), 2).sizes == (4, 4)


def test_cells_are_boxes_in_raster_order():
  cells = blocks_lib.cells((4, 4), (2, 2))
  assert cells.order == (0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15)
  assert blocks_lib.cells((2, 4), (1, 2)).sizes == (2,) * 4


def test_frames_are_cells_that_span_all_other_axes():
  assert blocks_lib.frames((4, 2, 3), 2) == blocks_lib.cells((4, 2, 3), (2, 2, 3))


@pytest.mark.parametrize('make, words', [
  (lambda: blocks_lib.Blocks((2, 2), (0, 1, 2)), 'blocks sum to 4 tokens but the sequence has 3'),
  (lambda: blocks_lib.Blocks((2, 0), (0, 1)), 'positive'),
  (lambda: blocks_lib.Blocks((2,), (0, 0)), 'permutation'),
  (lambda: blocks_lib.whole(2, history=1.0), 'history'),
  (lambda: blocks_lib.equal(6, 4), 'blocks.size=4 does not divide 6'),
  (lambda: blocks_lib.cells((4, 4), (3, 2)), 'does not tile'),
  (lambda: blocks_lib.cells((4, 4), (2,)), 'does not tile'),
])
def test_a_wrong_cut_is_refused_in_words(make, words):
  with pytest.raises(ValueError, match=words):
    make()


def test_per_token_repeats_and_sum_per_block_sums():
  blocks = blocks_lib.Blocks((1, 3), (0, 1, 2, 3))
  np.testing.assert_array_equal(blocks.per_token(jnp.array([[5, 7]])), [[5, 7, 7, 7]])
  np.testing.assert_array_equal(blocks.sum_per_block(jnp.array([[1.0, 2, 3, 4]])), [[1, 9]])


def test_pack_leaves_the_last_history_copy_out_and_unpack_returns_the_working_copy():
  blocks = blocks_lib.Blocks((1, 2), (0, 1, 2), history=0.25)
  xt, xh = jnp.array([[1, 2, 3]]), jnp.array([[10, 20, 30]])
  x, t = blocks.pack(xt, xh, jnp.array([[0.5, 1.0, 1.0]]))
  np.testing.assert_array_equal(x, [[1, 2, 3, 10]])
  np.testing.assert_array_equal(t, [[0.5, 1, 1, 0.25]])
  np.testing.assert_array_equal(blocks.unpack(x), xt)
  assert blocks.num_slots == 4


def test_without_a_history_level_there_is_one_stream():
  blocks = blocks_lib.equal(4, 2, history=None)
  xt, t = jnp.arange(4)[None], jnp.ones((1, 4))
  x, levels = blocks.pack(xt, None, t)
  assert x is xt and levels is t and blocks.num_slots == 4
  assert bool(jnp.all(blocks.slots(np.zeros((4, 1))).readable))


def test_whole_sequences_pay_for_no_history():
  assert blocks_lib.whole(8).num_slots == 8


def test_both_copies_of_a_token_share_its_place_in_the_data():
  blocks = blocks_lib.cells((2, 4), (2, 2))
  coords = np.stack(np.unravel_index(np.arange(8), (2, 4)), -1)
  slots = blocks.slots(coords)
  np.testing.assert_array_equal(slots.coords[:8], coords[list(blocks.order)])
  np.testing.assert_array_equal(slots.coords[8:], slots.coords[:4])
  np.testing.assert_array_equal(slots.stream, [0] * 8 + [1] * 4)
  np.testing.assert_array_equal(slots.readable, [False] * 8 + [True] * 4)
  np.testing.assert_array_equal(slots.block, [0] * 4 + [1] * 4 + [0] * 4)


def test_blocks_are_static_values():
  blocks = blocks_lib.equal(4, 2)
  assert blocks == blocks_lib.equal(4, 2) and hash(blocks) == hash(blocks_lib.equal(4, 2))
  assert blocks != dataclasses.replace(blocks, history=None)
