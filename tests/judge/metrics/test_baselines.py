"""Trivial generators have the moments of what they were fitted to."""

import numpy as np
import pytest

from adiff.data import digits
from adiff.judge.metrics import baselines


@pytest.fixture(scope='module')
def train():
  found = digits.Digits().examples('train', slice(None))
  return found['example'], found['label']


def test_a_mixture_gives_shuffled_images_of_the_same_kind_and_mean(train):
  images, _ = train
  samples = baselines.gaussian_mixture(images, 2000, components=4)
  assert samples.shape == (2000, 8, 8, 1) and samples.dtype == np.uint8
  assert samples.max() == 16
  np.testing.assert_allclose(samples.mean(0), images.mean(0), atol=1.0)
  halves = samples.reshape(2, 1000, -1).mean(1)
  np.testing.assert_allclose(halves[0], halves[1], atol=1.5)
  np.testing.assert_array_equal(
      samples, baselines.gaussian_mixture(images, 2000, components=4))


def test_class_gaussians_follow_the_means_of_their_class(train):
  images, labels = train
  samples, names = baselines.class_gaussians(images, labels, 200)
  np.testing.assert_array_equal(np.bincount(names), np.full(10, 200))
  for label in range(10):
    real, fake = images[labels == label].mean(0), samples[names == label].mean(0)
    assert np.abs(real - fake).mean() < 0.5


def test_counts_may_differ_by_class_and_one_label_is_one_gaussian(train):
  images, labels = train
  samples, names = baselines.class_gaussians(images, labels > 4, [3, 5])
  assert names.tolist() == [0] * 3 + [1] * 5 and len(samples) == 8
  assert len(baselines.class_gaussians(images, 0 * labels, 7)[0]) == 7


def test_values_stay_within_the_levels_asked_for():
  train = np.random.default_rng(0).integers(0, 2, (50, 3, 1)) * 3
  samples, _ = baselines.class_gaussians(train, np.zeros(50, int), 500, levels=4)
  assert set(np.unique(samples)) == {0, 1, 2, 3}


def test_too_few_examples_are_refused(train):
  with pytest.raises(ValueError, match='lower components'):
    baselines.gaussian_mixture(train[0][:9], 5, components=10)
  with pytest.raises(ValueError, match='needs two'):
    baselines.class_gaussians(train[0][:1], train[1][:1], 5)
