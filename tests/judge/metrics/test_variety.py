"""Entropy of classes, and birthdays among examples whose number is known."""

import numpy as np
import pytest

from adiff.judge.metrics import variety


def test_entropy_is_that_of_the_shares():
  np.testing.assert_allclose(variety.class_entropy(np.arange(10), 10), np.log(10))
  assert variety.class_entropy(np.zeros(7, int), 10) == 0
  np.testing.assert_allclose(variety.class_entropy(np.array([0, 0, 0, 1]), 2),
                             -0.75 * np.log(0.75) - 0.25 * np.log(0.25))


@pytest.mark.parametrize('share', [1.0, 0.5, 0.25])
def test_support_is_the_share_of_examples_that_are_made(share):
  rng, points = np.random.default_rng(0), np.random.default_rng(1).normal(size=(400, 3))
  real = points[rng.integers(0, 400, 2000)]
  made = points[rng.integers(0, int(400 * share), 2000)]
  assert abs(variety.support(real, made) / share - 1) < 0.1


def test_samples_of_which_no_two_are_close_have_no_number_and_one_alone_is_refused():
  assert variety.support(np.arange(50.0)[:, None], 100 * np.arange(50.0)[:, None]) is None
  with pytest.raises(ValueError, match='give two or more of each'):
    variety.support(np.ones((1, 2)), np.ones((5, 2)))
