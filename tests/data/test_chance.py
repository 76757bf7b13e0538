"""Random numbers of made-up data."""

import numpy as np

from adiff.data import chance


def test_uniform_numbers_are_uniform_and_independent_of_what_else_is_asked():
  many = chance.uniforms(0, 1, np.arange(400), np.arange(5), 7)
  assert many.shape == (400, 5, 7) and len(np.unique(many)) == many.size
  assert abs(many.mean() - 0.5) < 0.01 and abs(many.var() - 1 / 12) < 0.003
  flat = many.reshape(400, -1)
  assert np.abs(np.corrcoef(flat.T) - np.eye(35)).max() < 0.25
  np.testing.assert_array_equal(chance.uniforms(0, 1, [7], [3], 2)[0, 0], many[7, 3, :2])
  assert (chance.uniforms(1, 1, [7], [3], 2) != many[7, 3, :2]).all()
