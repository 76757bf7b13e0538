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


def test_a_new_state_counts_zero_and_averages_what_it_starts_from():
  made = state.create(jax.random.key(0), init_params, optax.adam(1e-3))
  assert made.step.dtype == jnp.int32 and made.step.shape == () and int(made.step) == 0
  chex.assert_trees_all_equal(made.ema, made.params)


@pytest.mark.parametrize('wrap', [lambda fn: fn, jax.jit])
def test_no_two_leaves_share_a_buffer_so_the_state_can_be_donated(wrap):
  made = wrap(lambda: state.create(jax.random.key(0), init_params, optax.adam(1e-3)))()
  step = jax.jit(lambda s: s.replace(step=s.step + 1), donate_argnums=0)
  assert int(step(made).step) == 1


def test_the_state_is_known_by_shape_without_computing():
  abstract = jax.eval_shape(
    lambda key: state.create(key, init_params, optax.adam(1e-3)), jax.random.key(0)
  )
  assert abstract.ema['kernel'].shape == (4, 3)


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
