"""The first-order solver is the process's own step."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.process import gaussian, masked, uniform
from adiff.sample.solvers import first_order


@pytest.mark.parametrize(
  'process', [gaussian.Gaussian(2, clip=0.0), masked.Masked(3), uniform.Uniform(3)]
)
def test_it_makes_the_step_of_the_process_with_the_call_it_is_given(process):
  shape = (2, 3)
  keys = lambda: jax.random.split(jax.random.key(0), shape)
  x = process.prior(jax.random.key(1), shape)
  t, s = jnp.ones(shape), jnp.full(shape, 0.5)
  out = jax.random.normal(jax.random.key(2), (*shape, process.num_outputs))

  def never(*_):
    raise AssertionError('one call a step')

  solver = first_order.FirstOrder()
  solver.needs(types.SimpleNamespace(process=process))
  xs, memory = solver.step(never, out, process, keys(), x, t, s, solver.init(x))
  np.testing.assert_array_equal(xs, process.step(keys(), out, x, t, s))
  assert memory == () and solver.calls == 1
