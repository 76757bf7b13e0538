"""The two-step method: its memory, per token. (Its order: identities.)"""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.process import gaussian, uniform
from adiff.sample.solvers import multistep

PROCESS = gaussian.Gaussian(1, prediction='x0', clip=0.0)
SOLVER = multistep.Multistep()
KEYS = jax.random.split(jax.random.key(1), (1, 2))


def step(x, out, t, s, memory):
  t, s = (jnp.broadcast_to(jnp.asarray(level, jnp.float32), (1, 2)) for level in (t, s))
  return SOLVER.step(None, out, PROCESS, KEYS, x, t, s, memory)


def test_symbols_are_refused():
  with pytest.raises(ValueError, match='first_order'):
    SOLVER.needs(types.SimpleNamespace(process=uniform.Uniform(3)))


def test_the_first_step_is_of_first_order_and_the_next_extrapolates_in_log_snr():
  x = jax.random.normal(jax.random.key(0), (1, 2, 1))
  first, second = jnp.full_like(x, 0.2), jnp.full_like(x, 0.5)
  level = lambda value: jnp.full((1, 2), value)
  at_half, memory = step(x, first, 0.75, 0.5, SOLVER.init(x))
  np.testing.assert_allclose(
    at_half, PROCESS.move(x, first, level(0.75), level(0.5)), rtol=1e-5, atol=1e-6
  )
  end, _ = step(at_half, second, 0.5, 0.25, memory)
  half_log_snr = lambda t: np.log(1 / np.tan(np.pi / 2 * t))
  before, now = half_log_snr(0.5) - half_log_snr(0.75), half_log_snr(0.25) - half_log_snr(0.5)
  ahead = 0.5 + now / (2 * before) * (0.5 - 0.2)
  expected = PROCESS.move(at_half, jnp.full_like(x, ahead), level(0.5), level(0.25))
  np.testing.assert_allclose(end, expected, rtol=1e-4, atol=1e-5)


def test_tokens_remember_their_own_past_alone():
  x = jax.random.normal(jax.random.key(0), (1, 2, 1))
  # The second token has not started when the first makes its first step.
  waiting, memory = step(x, jnp.full_like(x, 0.2), [[0.75, 1.0]], [[0.5, 1.0]], SOLVER.init(x))
  assert waiting[0, 1, 0] == x[0, 1, 0]
  moved, _ = step(waiting, jnp.full_like(x, 0.5), [[0.5, 0.9]], [[0.25, 0.5]], memory)
  fresh, _ = step(waiting, jnp.full_like(x, 0.5), [[0.5, 0.9]], [[0.25, 0.5]], SOLVER.init(x))
  np.testing.assert_allclose(moved[0, 1], fresh[0, 1], rtol=1e-6)
  assert moved[0, 0, 0] != fresh[0, 0, 0]


def test_steps_at_both_ends_are_finite():
  x = jax.random.normal(jax.random.key(0), (1, 2, 1))
  x, memory = step(x, jnp.ones_like(x), 1.0, 0.5, SOLVER.init(x))
  x, memory = step(x, jnp.ones_like(x), 0.5, 0.0, memory)
  np.testing.assert_allclose(x, 1, atol=1e-5)
