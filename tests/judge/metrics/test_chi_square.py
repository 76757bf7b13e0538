"""The chi-square test is calibrated, and pools what is rare."""

import numpy as np
import pytest

from adiff.judge.metrics import chi_square


def test_counts_as_expected_have_no_distance():
  assert chi_square.goodness_of_fit(np.array([50, 30, 20]), np.array([0.5, 0.3, 0.2])) == (0, 2)


def test_the_statistic_is_the_textbook_one():
  statistic, dof = chi_square.goodness_of_fit(np.array([60, 40]), np.array([0.5, 0.5]))
  np.testing.assert_allclose((statistic, dof), (4, 1))
  np.testing.assert_allclose(chi_square.verdict(statistic, dof)['p_value'], 0.0455, atol=1e-4)


def test_rare_cells_are_pooled_until_five_are_expected():
  probs = np.array([0.9, 0.02, 0.02, 0.06])  # of 100: 2 + 2 are too few, so the 6 joins them
  statistic, dof = chi_square.goodness_of_fit(np.array([90, 4, 0, 6]), probs)
  np.testing.assert_allclose((statistic, dof), (0, 1), atol=1e-12)


def test_too_few_samples_are_refused():
  with pytest.raises(ValueError, match='too few'):
    chi_square.verdict(0.0, 0)
