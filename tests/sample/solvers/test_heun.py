"""Heun's method: its trajectory by hand, what it asks, and what it leaves alone. (Its order:
identities.)"""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.process import gaussian, masked
from adiff.sample.solvers import first_order, heun

SHAPE = (1, 4)
T, S = jnp.array([[1.0, 0.8, 0.5, 0.5]]), jnp.array([[0.7, 0.5, 0.5, 0.0]])


def kept(t):
  """alpha^2 of schedule linear."""
  return np.exp(-0.1 * t - 9.95 * t**2)


# t -> (alpha, sigma) and t -> their derivatives, in float64.
BY_HAND = {
  'flow': (lambda t: (1 - t, t), lambda t: (-1.0, 1.0)),
  'cosine': (
    lambda t: (np.cos(np.pi / 2 * t), np.sin(np.pi / 2 * t)),
    lambda t: (-np.pi / 2 * np.sin(np.pi / 2 * t), np.pi / 2 * np.cos(np.pi / 2 * t)),
  ),
  'linear': (lambda t: (np.sqrt(kept(t)), np.sqrt(1 - kept(t))), lambda t: (
    -(0.05 + 9.95 * t) * np.sqrt(kept(t)),
    (0.05 + 9.95 * t) * kept(t) / np.sqrt(1 - kept(t)),
  )),
}


def guess(x, t):
  """An x0_hat that curves."""
  return np.tanh(x) * (1 - t / 2) + 0.2 * np.sin(5 * t)


def trajectory(schedule, x, grid):
  """Karras et al. 2022, algorithm 1, with s(t) = alpha and sigma(t) = sigma / alpha."""
  scales, rates = BY_HAND[schedule]
  found = []
  for t, s in zip(grid[:-1], grid[1:], strict=True):

    def slope(x, t):
      (alpha, sigma), (d_alpha, d_sigma) = scales(t), rates(t)
      x0 = guess(x, t)
      return d_alpha * x0 + d_sigma * (x - alpha * x0) / sigma

    if s == 0:  # Euler's step in sigma / alpha, at whose end there is no noise
      x = guess(x, t)
    else:
      first = slope(x, t)
      x = x + (s - t) / 2 * (first + slope(x + (s - t) * first, s))
    found.append(x)
  return np.stack(found)


@pytest.mark.parametrize('spacing', [1.0, 2.0])
@pytest.mark.parametrize('schedule', BY_HAND)
def test_the_trajectory_is_that_of_the_cited_algorithm_in_float64(schedule, spacing):
  grid = np.linspace(1, 0, 9) ** spacing
  x = np.random.default_rng(0).normal(size=(1, 4, 1))
  with jax.enable_x64(True):
    process = gaussian.Gaussian(1, schedule=schedule, prediction='x0', clip=0.0)
    solver = heun.Heun()

    def call(x, t, s):
      return jnp.tanh(x) * (1 - t[..., None] / 2) + 0.2 * jnp.sin(5 * t[..., None])

    def row(x, now):
      t, s = (jnp.full((1, 4), level) for level in now)
      x, _ = solver.step(call, call(x, t, s), process, None, x, t, s, ())
      return x, x

    _, found = jax.lax.scan(row, jnp.asarray(x), (jnp.asarray(grid[:-1]), jnp.asarray(grid[1:])))
  np.testing.assert_allclose(found, trajectory(schedule, x, grid), rtol=1e-11, atol=1e-11)


def step(process, call, t=T, s=S):
  x = jax.random.normal(jax.random.key(0), (*SHAPE, 1))
  solver = heun.Heun()
  keys = jax.random.split(jax.random.key(1), SHAPE)
  return x, solver.step(call, call(x, t, s), process, keys, x, t, s, solver.init(x))[0]


def test_symbols_are_refused():
  with pytest.raises(ValueError, match='first_order'):
    heun.Heun().needs(types.SimpleNamespace(process=masked.Masked(3)))
  heun.Heun().needs(types.SimpleNamespace(process=gaussian.Gaussian(1, clip=0.0)))


@pytest.mark.parametrize('schedule', gaussian.SCHEDULES)
def test_tokens_of_several_levels_step_side_by_side_and_stay_where_nothing_moves(schedule):
  process = gaussian.Gaussian(1, schedule=schedule, prediction='x0', clip=0.0)
  t, s = jnp.array([[1.0, 0.8, 0.5, 0.0]]), jnp.array([[0.7, 0.0, 0.5, 0.0]])
  x, moved = step(process, lambda x, t, s: jnp.full_like(x, 0.3), t, s)
  assert np.all(np.isfinite(moved))
  np.testing.assert_array_equal(moved[0, 2:], x[0, 2:])
  np.testing.assert_allclose(moved[0, 1], 0.3, rtol=1e-6)


@pytest.mark.parametrize('schedule', gaussian.SCHEDULES)
def test_one_step_from_noise_to_data_is_the_estimate(schedule):
  process = gaussian.Gaussian(1, schedule=schedule, prediction='x0', clip=0.0)
  ones = jnp.ones(SHAPE)
  _, moved = step(process, lambda x, t, s: jnp.full_like(x, 0.3), ones, 0 * ones)
  np.testing.assert_allclose(moved, 0.3, atol=1e-6)


def test_it_says_that_it_asks_once_in_the_last_step_and_other_solvers_always():
  np.testing.assert_array_equal(first_order.FirstOrder().asks(S), np.ones(SHAPE))
  np.testing.assert_array_equal(heun.Heun().asks(S), [[2, 2, 2, 1]])
