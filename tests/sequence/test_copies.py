"""What the slots of a copy share: where it begins, its level."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.sequence import blocks as blocks_lib
from adiff.sequence import copies


def slots_of(blocks):
  return blocks.slots(np.zeros((blocks.num_tokens, 1)))


def test_every_block_has_a_copy_in_every_stream_but_the_last_one_in_history():
  blocks = blocks_lib.Blocks((1, 3, 2), tuple(range(6)))
  first, lengths = copies.find(slots_of(blocks))
  np.testing.assert_array_equal(first, [0, 1, 4, 6, 7])
  assert lengths == (1, 3, 2, 1, 3)


def test_slots_that_are_not_known_beforehand_are_copies_of_one_length():
  slots = jax.tree.map(jnp.asarray, slots_of(blocks_lib.equal(6, 2)))
  first, lengths = copies.find(slots, 5)
  np.testing.assert_array_equal(first, [0, 2, 4, 6, 8])
  assert lengths == (2,) * 5


@pytest.mark.parametrize('known', [True, False])
def test_levels_one_a_copy_are_those_of_its_slots(known):
  slots = slots_of(blocks_lib.equal(4, 2))
  slots = slots if known else jax.tree.map(jnp.asarray, slots)
  t = jnp.array([[0.3, 0.7, 0.1], [0.2, 0.9, 0.1]])
  np.testing.assert_array_equal(copies.levels(t, slots), np.repeat(t, 2, axis=1))
  one_a_slot = jnp.linspace(0, 1, 12).reshape(2, 6)
  assert copies.levels(one_a_slot, slots) is one_a_slot
