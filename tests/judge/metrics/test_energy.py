"""The energy distance against its closed form."""

import math

import numpy as np
import pytest

from adiff.judge.metrics import energy


def test_of_one_law_it_is_nothing_and_of_shifted_normals_what_the_formula_says():
  rng = np.random.default_rng(0)
  x, y = rng.normal(size=(2, 2000, 1, 1))
  x, y = ((one - one.mean()) / one.std() for one in (x, y))
  assert abs(energy.distance(x, y)) < 5e-3
  # X - Y is N(1, 2), X - X' N(0, 2): E|N(m, s^2)| is that of a folded normal.
  folded = lambda m, s: s * math.sqrt(2 / math.pi) * math.exp(-(m**2) / (2 * s**2)) + m * math.erf(
    m / (s * math.sqrt(2)))
  wanted = 2 * folded(1, math.sqrt(2)) - 2 * folded(0, math.sqrt(2))
  assert abs(energy.distance(x, y + 1) - wanted) < 0.03


def test_a_single_example_has_no_distance():
  with pytest.raises(ValueError, match='two of each'):
    energy.distance(np.zeros((1, 2)), np.zeros((3, 2)))
