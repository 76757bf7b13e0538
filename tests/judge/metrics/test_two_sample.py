"""The forest tells different laws apart, and only those."""

import numpy as np
import pytest

from adiff.judge.metrics import two_sample


def cloud(num, seed, shift=0.0):
  return np.random.default_rng(seed).normal(size=(num, 2, 2)) + shift


def test_one_law_is_a_coin_flip_and_two_laws_are_told_apart():
  assert abs(two_sample.forest_accuracy(cloud(300, 0), cloud(200, 1), folds=2) - 0.5) < 0.12
  assert two_sample.forest_accuracy(cloud(100, 0), cloud(100, 1, shift=3), folds=2) > 0.95


def test_the_same_seed_gives_the_same_number():
  values = [two_sample.forest_accuracy(cloud(60, 0), cloud(90, 1), seed=4, folds=2)
            for _ in range(2)]
  assert values[0] == values[1]


def test_copies_score_below_chance():
  assert two_sample.forest_accuracy(cloud(100, 0), cloud(100, 0)) < 0.3


def test_too_few_examples_are_refused():
  with pytest.raises(ValueError, match='more samples'):
    two_sample.forest_accuracy(cloud(3, 0), cloud(90, 1))
