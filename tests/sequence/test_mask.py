"""The attention rule beyond its picture: segments, readability, reach. (Pictures: identities.)"""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from adiff.sequence import blocks as blocks_lib
from adiff.sequence import mask


def slots(block, stream=None, readable=None, segment=None):
  block = np.asarray(block, np.int32)
  zeros = np.zeros_like(block)
  return blocks_lib.Slots(
    block=jnp.asarray(block),
    stream=jnp.asarray(zeros if stream is None else stream),
    readable=jnp.asarray(np.ones(block.shape, bool) if readable is None else readable),
    segment=jnp.asarray(zeros if segment is None else segment),
    coords=jnp.zeros((*block.shape, 1), jnp.int32),
    rank=jnp.asarray(zeros),
  )


def test_a_token_causal_history_copy_reads_its_own_block_up_to_itself():
  blocks = blocks_lib.equal(4, 2)
  causal = mask.picture(dataclasses.replace(blocks, causal=True))
  assert causal.shape == (8, 8)  # the last block's copy is there too
  np.testing.assert_array_equal(causal[4:, 4:], np.tril(np.ones((4, 4), bool)))
  np.testing.assert_array_equal(causal[:4, :6], mask.picture(blocks)[:4])  # work reads as ever
  assert not causal[4:, :4].any() and not causal[:4, 6:].any()


def test_segments_never_see_each_other():
  two = slots([0, 1, 0, 1], segment=[0, 0, 1, 1])
  expected = np.kron(np.eye(2, dtype=bool), np.tril(np.ones((2, 2), bool)))
  np.testing.assert_array_equal(mask.attend(two, two), expected)


def test_unreadable_slots_are_read_by_their_own_block_alone():
  some = slots([0, 0, 1], readable=[True, False, True])
  np.testing.assert_array_equal(mask.attend(some, some), [[1, 1, 0], [1, 1, 0], [1, 0, 1]])


def test_every_slot_reads_itself_whatever_the_rest(regime):
  picture = mask.picture(regime.blocks)
  assert picture.shape == (regime.blocks.num_slots,) * 2
  assert np.all(np.diag(picture))


def test_a_quarter_of_the_score_pairs_is_allowed_with_equal_blocks():
  # Working copy reads L^2 / 2 pairs and a block more, history as much: L^2 of (2 L)^2 in all.
  blocks = blocks_lib.equal(64, 4)
  assert np.sum(mask.picture(blocks)) == 64**2


def test_reach_limits_the_past_and_sinks_stay_visible():
  row = slots(range(5))
  near = np.asarray(mask.attend(row, row, reach=1))
  np.testing.assert_array_equal(near, np.tril(np.ones((5, 5), bool)) & ~np.tri(5, 5, -2, bool))
  sunk = np.asarray(mask.attend(row, row, reach=1, sinks=1))
  np.testing.assert_array_equal(sunk[:, 0], True)
  np.testing.assert_array_equal(sunk[:, 1:], near[:, 1:])


def test_reach_zero_reads_the_own_block_alone_and_none_reads_all_of_them():
  row = slots([0, 0, 1, 1, 2])
  own = np.equal.outer([0, 0, 1, 1, 2], [0, 0, 1, 1, 2])
  np.testing.assert_array_equal(mask.attend(row, row, reach=0), own)
  everything = mask.attend(row, row, reach=None)
  np.testing.assert_array_equal(everything, mask.attend(row, row, reach=2))
  assert not np.array_equal(everything, own)
  sunk = np.asarray(mask.attend(row, row, reach=0, sinks=1))
  np.testing.assert_array_equal(sunk[:, :2], True)
  np.testing.assert_array_equal(sunk[:, 2:], own[:, 2:])


def test_slots_may_differ_from_example_to_example():
  both = slots([[0, 1], [1, 0]])
  batch = np.asarray(mask.attend(both, both))
  assert batch.shape == (2, 2, 2)
  np.testing.assert_array_equal(batch[1], batch[0].T)


@pytest.mark.parametrize('reach', [None, 1])
def test_queries_and_keys_may_be_different_slots(reach):
  q, k = slots([2]), slots([0, 1, 2, 3])
  expected = [[reach is None, True, True, False]]
  np.testing.assert_array_equal(mask.attend(q, k, reach), expected)


def test_a_picture_is_drawn_as_text():
  assert mask.ascii_art([[True, False], [True, True]]) == 'x .\nx x'
