"""One linear map, in float32 at least."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.nn.heads import linear
from adiff.process import base as process_base

H = jax.random.normal(jax.random.key(0), (2, 5, 4))
X0 = jax.random.randint(jax.random.key(1), (2, 5), 0, 3)
PARAMS = {
  'kernel': jax.random.normal(jax.random.key(2), (4, 3)),
  'bias': jax.random.normal(jax.random.key(3), (3,)),
}


def head(params=PARAMS):
  return linear.Linear(params, jnp.dtype('float32'))


def test_outputs_are_the_linear_map_of_the_features():
  expected = np.asarray(H) @ np.asarray(PARAMS['kernel']) + np.asarray(PARAMS['bias'])
  np.testing.assert_allclose(head().read(H, None), expected, rtol=1e-5, atol=1e-6)


def test_a_network_begins_with_outputs_that_know_nothing():
  np.testing.assert_array_equal(head(linear.Linear().init(None, 4, 3)).read(H, None), 0)


@pytest.mark.parametrize('dtype', ['bfloat16', 'float32'])
def test_features_of_half_precision_are_read_in_float32(dtype):
  out = head().read(H.astype(dtype), None)
  assert out.dtype == jnp.float32
  exact = head().read(H.astype(dtype).astype(jnp.float32), None)
  np.testing.assert_array_equal(out, exact)


def test_the_loss_is_the_weighted_sum_of_the_objective():
  weight = jnp.arange(10.0).reshape(2, 5)
  total, value = head().loss(H, None, None, process_base.cross_entropy, weight, X0)
  expected = process_base.cross_entropy(head().read(H, None), X0)
  np.testing.assert_allclose(value, expected, rtol=1e-6)
  np.testing.assert_allclose(total, np.sum(weight * expected), rtol=1e-5)
