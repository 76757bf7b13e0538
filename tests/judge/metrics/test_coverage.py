"""Precision, recall, density, coverage on sets whose answer is known."""

import numpy as np
import pytest

from adiff.judge.metrics import coverage


def cloud(num, seed, shift=0.0):
  return np.random.default_rng(seed).normal(size=(num, 3)) + shift


def test_identical_sets_are_precise_recalled_and_covered():
  scores = coverage.scores(cloud(60, 0), cloud(60, 0))
  assert scores['precision'] == scores['recall'] == scores['coverage'] == 1
  assert scores['density'] > 1


def test_distant_sets_score_zero():
  assert set(coverage.scores(cloud(60, 0), cloud(60, 1, shift=50)).values()) == {0.0}


def test_one_repeated_mode_is_precise_but_covers_little():
  real = np.concatenate([cloud(600, 0), cloud(600, 1, shift=50)])
  scores = coverage.scores(real, cloud(600, 2))
  assert scores['precision'] > 0.9
  assert scores['recall'] < 0.55
  assert scores['coverage'] < 0.55


def test_points_on_a_line_give_the_numbers_counted_by_hand():
  real, fake = np.array([[0.0], [1.0], [3.0]]), np.array([[0.5], [9.0], [2.5], [8.0]])
  scores = coverage.scores(real, fake, k=1)
  # Balls: real 1, 1, 2 around 0, 1, 3; fake 2, 1, 2, 1 around 0.5, 9, 2.5, 8.
  assert scores == {'precision': 0.5, 'recall': 1.0, 'density': 3 / 4, 'coverage': 1.0}


def test_too_few_points_are_refused():
  with pytest.raises(ValueError, match='smaller k'):
    coverage.scores(cloud(5, 0), cloud(60, 1))


def test_a_point_on_the_rim_of_a_ball_is_in_it():
  scores = coverage.scores(np.array([[0.0], [1.0]]), np.array([[2.0], [3.0]]), k=1)
  # Balls of radius 1 around 0, 1 and 2, 3: the real 1 and the fake 2 lie on each other's rims.
  assert scores == {'precision': 0.5, 'recall': 0.5, 'density': 0.5, 'coverage': 0.5}
