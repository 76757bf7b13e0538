"""Copies of training examples are seen."""

import functools

import numpy as np
import pytest
from scipy.spatial import distance

from adiff.judge.metrics import chunks, memorisation


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


@pytest.mark.parametrize('dtype', [np.uint8, np.float64])
def test_the_products_of_matrices_find_what_distances_find(dtype, monkeypatch):
  monkeypatch.setattr(chunks, 'slices', functools.partial(chunks.slices, values=1000))
  rng = np.random.default_rng(0)
  samples, train = ((255 * rng.random((num, 5, 5))).astype(dtype) for num in (70, 300))
  matrix = distance.cdist(samples.reshape(70, -1), train.reshape(300, -1))
  index, gap = memorisation.nearest(samples, train)
  np.testing.assert_array_equal(index, matrix.argmin(1))
  np.testing.assert_allclose(gap, matrix.min(1), rtol=1e-14)


def test_copies_are_far_below_one_and_fresh_samples_are_at_one():
  train, gap = some(600, 0), memorisation.typical_gap(some(200, 1), some(600, 0))
  assert memorisation.nn_ratio(train[:200], train, gap) == 0
  noisy = np.minimum(train[:200] + 1, 16)
  assert memorisation.nn_ratio(noisy, train, gap) < 0.5
  assert abs(memorisation.nn_ratio(some(200, 2), train, gap) - 1) < 0.05


def test_a_test_set_of_copies_is_refused():
  train = some(20, 0)
  with pytest.raises(ValueError, match='duplicates'):
    memorisation.typical_gap(train, train)
