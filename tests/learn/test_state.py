"""The training state and the average of the parameters."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adiff.learn import state


def init_params(key):
  return {'kernel': jax.random.normal(key, (4, 3)), 'low': jnp.ones((3,), jnp.bfloat16)}


def made(key):
  return state.create({'net': init_params(key)}, {'net': optax.adam(1e-3)})


def test_a_new_state_counts_zero_and_averages_what_it_starts_from():
  new = made(jax.random.key(0))
  assert new.step.dtype == jnp.int32 and new.step.shape == () and int(new.step) == 0
  chex.assert_trees_all_equal(new.ema, new.params)


@pytest.mark.parametrize('wrap', [lambda fn: fn, jax.jit])
def test_no_two_leaves_share_a_buffer_so_the_state_can_be_donated(wrap):
  new = wrap(lambda: made(jax.random.key(0)))()
  step = jax.jit(lambda s: s.replace(step=s.step + 1), donate_argnums=0)
  assert int(step(new).step) == 1


def test_the_state_is_known_by_shape_without_computing():
  abstract = jax.eval_shape(made, jax.random.key(0))
  assert abstract.ema['net']['kernel'].shape == (4, 3)


def test_a_role_without_an_optimiser_has_parameters_and_no_state_of_one():
  params = {'net': init_params(jax.random.key(0)), 'frozen': init_params(jax.random.key(1))}
  new = state.create(params, {'net': optax.adam(1e-3)})
  assert set(new.params) == set(new.ema) == {'net', 'frozen'} and set(new.opt) == {'net'}


def test_the_decay_warms_up_to_its_limit():
  assert float(state.ema_decay(0, 0.999)) == pytest.approx(0.1)
  assert float(state.ema_decay(jnp.int32(90), 0.999)) == pytest.approx(0.91)
  assert float(state.ema_decay(10**6, 0.999)) == pytest.approx(0.999)


def test_the_average_of_a_constant_is_that_constant_and_keeps_its_dtype():
  params = init_params(jax.random.key(1))
  ema = jax.tree.map(jnp.zeros_like, params)
  update = jax.jit(lambda ema, n: state.update_ema(ema, params, step=n, decay=0.9))
  first = update(ema, jnp.int32(0))
  np.testing.assert_allclose(first['kernel'], 0.9 * params['kernel'], rtol=1e-6)
  for n in range(200):
    ema = update(ema, jnp.int32(n))
  np.testing.assert_allclose(ema['kernel'], params['kernel'], rtol=1e-6)
  assert ema['low'].dtype == jnp.bfloat16
