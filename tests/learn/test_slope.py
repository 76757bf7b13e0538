"""How fast something changes along the path, by a derivative and by a difference."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from adiff.learn import slope
from adiff.sequence import blocks as blocks_lib

SETTING = SimpleNamespace(blocks=blocks_lib.equal(4, 2))
T = np.array([[0.3, 0.7], [1.0, 0.05]])
X, VELOCITY = np.random.default_rng(0).normal(size=(2, 2, 4, 3))


def smooth(x, t):
  return jnp.sin(x) * SETTING.blocks.per_token(t)[..., None] ** 2


def along(function, width, least=0.0):
  return np.asarray(slope.along(
    SETTING, function, jnp.asarray(X), jnp.asarray(T), jnp.asarray(VELOCITY), width=width,
    least=least,
  ))


def test_the_derivative_is_that_along_the_path():
  t = np.repeat(T, 2, 1)[..., None]
  wanted = np.cos(X) * VELOCITY * t**2 + np.sin(X) * 2 * t
  np.testing.assert_allclose(along(smooth, 0.0), wanted, atol=1e-6)


def test_a_difference_nears_the_derivative_with_the_square_of_its_width():
  inside = np.repeat(T < 1, 2, 1)
  exact = along(smooth, 0.0)[inside]
  far, near = (np.abs(along(smooth, width)[inside] - exact).max() for width in (0.08, 0.04))
  assert near < 0.01 and far / near == pytest.approx(4, rel=0.2)


def test_a_difference_does_not_see_ripples_that_a_derivative_is_full_of():
  def rippled(x, t):
    return smooth(x, t) + 0.003 * jnp.sin(1000 * SETTING.blocks.per_token(t))[..., None]

  error = [np.abs(along(rippled, width) - along(smooth, 0.0)).max() for width in (0.0, 0.04)]
  assert error[0] > 1 and error[1] < 0.25


def test_a_difference_stays_between_the_least_level_and_noise():
  seen = []

  def seeing(x, t):
    seen.append(np.asarray(t))
    return x

  found = along(seeing, 0.2, least=np.array([[0.3, 0.65], [1.0, 0.0]]))
  after, before = seen
  np.testing.assert_allclose(before, [[0.3, 0.65], [1.0, 0.0]], atol=1e-6)
  np.testing.assert_allclose(after, [[0.4, 0.8], [1.0, 0.15]], atol=1e-6)
  still = np.repeat(before == after, 2, 1)
  np.testing.assert_allclose(found[~still], VELOCITY[~still], rtol=1e-5)
  assert not found[still].any()
