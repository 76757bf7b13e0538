"""Fréchet distance and Inception Score against closed forms."""

import numpy as np
import pytest
from scipy import linalg

from adiff.judge.metrics import frechet


def random_covariance(rng, dims, rank):
  factor = rng.normal(size=(dims, rank))
  return factor @ factor.T / rank


def test_the_distance_of_isotropic_gaussians_is_their_closed_form():
  mean = np.array([1.0, -2.0, 0.5])
  value = frechet.gaussian_frechet(mean, 4 * np.eye(3), 0 * mean, 9 * np.eye(3))
  np.testing.assert_allclose(value, 5.25 + 3 * (2 - 3) ** 2)


def test_the_distance_equals_the_textbook_formula_with_a_matrix_root():
  rng = np.random.default_rng(0)
  a, b = random_covariance(rng, 6, 20), random_covariance(rng, 6, 20)
  mean = rng.normal(size=6)
  expected = mean @ mean + np.trace(a + b - 2 * linalg.sqrtm(a @ b).real)
  np.testing.assert_allclose(frechet.gaussian_frechet(mean, a, 0 * mean, b), expected)


def test_singular_covariances_and_identical_sets_give_zero():
  rng = np.random.default_rng(1)
  features = rng.normal(size=(20, 3)) @ rng.normal(size=(3, 40))
  assert abs(frechet.frechet(features, features[::-1])) < 1e-6
  assert abs(frechet.frechet(features[:, :1], features[:, :1])) < 1e-9


def test_a_shifted_set_is_its_squared_shift_away_in_either_direction():
  features = np.random.default_rng(2).normal(size=(50, 4))
  np.testing.assert_allclose(frechet.frechet(features, features + 3), 36, rtol=1e-9)
  np.testing.assert_allclose(frechet.frechet(features + 3, features), 36, rtol=1e-9)


def test_the_inception_score_runs_from_one_to_the_number_of_classes():
  np.testing.assert_allclose(frechet.inception_score(np.eye(10)), 10)
  np.testing.assert_allclose(frechet.inception_score(np.eye(10)[[3, 3]]), 1)
  np.testing.assert_allclose(frechet.inception_score(np.full((5, 10), 0.1)), 1)


def test_features_of_different_width_are_refused():
  with pytest.raises(ValueError, match='one classifier'):
    frechet.frechet(np.zeros((4, 3)), np.zeros((4, 2)))
  with pytest.raises(ValueError, match='n, m >= 2'):
    frechet.frechet(np.zeros((1, 3)), np.zeros((4, 3)))
