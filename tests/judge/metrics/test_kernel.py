"""The kernel distance beside its definition, and its lack of bias."""

import itertools

import numpy as np
import pytest

from adiff.judge.metrics import kernel


def test_it_is_the_sum_over_pairs_that_defines_it():
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=(5, 3)), rng.normal(1, 1, size=(4, 3))
  k = lambda x, y: (x @ y / 3 + 1) ** 3
  same = [np.mean([k(x, y) for x, y in itertools.permutations(one, 2)]) for one in (a, b)]
  other = np.mean([k(x, y) for x in a for y in b])
  np.testing.assert_allclose(kernel.distance(a, b), sum(same) - 2 * other)


def test_two_draws_of_one_law_are_at_zero_on_average_however_few():
  rng = np.random.default_rng(1)
  found = [kernel.distance(*rng.normal(size=(2, 6, 4))) for _ in range(500)]
  assert abs(np.mean(found)) < 3 * np.std(found) / 500**0.5
  assert kernel.distance(rng.normal(size=(99, 4)), rng.normal(2, 1, size=(99, 4))) > 5


def test_features_of_two_widths_are_refused():
  with pytest.raises(ValueError, match='take both from one network'):
    kernel.distance(np.ones((3, 2)), np.ones((3, 4)))
