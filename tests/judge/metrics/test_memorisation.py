"""Copies of training examples are seen."""

import numpy as np
import pytest

from adiff.judge.metrics import memorisation


def some(num, seed):
  return np.random.default_rng(seed).integers(0, 17, (num, 4, 4, 1)).astype(np.uint8)


def test_the_nearest_training_example_of_a_copy_is_its_original():
  train = some(700, 0)
  index, gap = memorisation.nearest(train[[5, 690, 3]], train)
  np.testing.assert_array_equal(index, [5, 690, 3])
  np.testing.assert_array_equal(gap, 0)


def test_distances_of_unsigned_images_do_not_wrap_around():
  _, gap = memorisation.nearest(np.zeros((1, 2), np.uint8), np.full((1, 2), 3, np.uint8))
  np.testing.assert_allclose(gap, np.sqrt(18))


def test_copies_are_far_below_one_and_fresh_samples_are_at_one():
  train, test = some(600, 0), some(200, 1)
  assert memorisation.nn_ratio(train[:200], train, test) == 0
  noisy = np.minimum(train[:200] + 1, 16)
  assert memorisation.nn_ratio(noisy, train, test) < 0.5
  assert abs(memorisation.nn_ratio(some(200, 2), train, test) - 1) < 0.05


def test_a_test_set_of_copies_is_refused():
  train = some(20, 0)
  with pytest.raises(ValueError, match='duplicates'):
    memorisation.nn_ratio(train, train, train)
