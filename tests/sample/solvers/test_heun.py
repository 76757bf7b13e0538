"""Heun's method: what it needs, and what it leaves alone. (Its order: identities.)"""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.process import gaussian, masked
from adiff.sample.solvers import heun

SHAPE = (1, 4)
T, S = jnp.array([[1.0, 0.8, 0.5, 0.5]]), jnp.array([[0.7, 0.5, 0.5, 0.0]])


def step(process, call):
  x = jax.random.normal(jax.random.key(0), (*SHAPE, 1))
  solver = heun.Heun()
  keys = jax.random.split(jax.random.key(1), SHAPE)
  return x, solver.step(call, call(x, T, S), process, keys, x, T, S, solver.init(x))[0]


def test_symbols_are_refused():
  with pytest.raises(ValueError, match='first_order'):
    heun.Heun().needs(types.SimpleNamespace(process=masked.Masked(3)))
  heun.Heun().needs(types.SimpleNamespace(process=gaussian.Gaussian(1, clip=0.0)))


def test_with_a_constant_estimate_it_is_the_exact_move():
  process = gaussian.Gaussian(1, prediction='x0', clip=0.0)
  x, moved = step(process, lambda x, t, s: jnp.full_like(x, 0.3))
  np.testing.assert_allclose(
    moved, process.move(x, jnp.full_like(x, 0.3), T, S), rtol=1e-5, atol=1e-6
  )


def test_it_averages_the_estimates_at_both_ends_and_stays_where_nothing_moves():
  process = gaussian.Gaussian(1, prediction='x0', clip=0.0)
  x, moved = step(process, lambda x, t, s: jnp.broadcast_to(t[..., None], x.shape))
  middle = ((T + S) / 2)[..., None]
  np.testing.assert_allclose(moved, process.move(x, middle, T, S), rtol=1e-5, atol=1e-6)
  assert moved[0, 2, 0] == x[0, 2, 0]
