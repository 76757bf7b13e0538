"""A mixture of logistics over ordered symbols: the published law, whatever its parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import papers
import pytest

from adiff.nn.heads import logistics
from adiff.process import masked
from adiff.run import build
from configs import base

VOCAB, COMPONENTS = 17, 3
mass = jax.jit(logistics.log_mass, static_argnums=3)
gradient_of = jax.jit(jax.grad(lambda law: jnp.sum(logistics.log_mass(*law, VOCAB))))


def mixture(seed, log_scale):
  """(weights up to their sum, means, logarithms of scales) [20, K] in float32."""
  rng = np.random.default_rng(seed)
  shape = 20, COMPONENTS
  weight, mean = rng.normal(size=shape), 1.5 * rng.normal(size=shape)
  log_scale = log_scale + rng.normal(size=shape) / 3
  return [part.astype(np.float32) for part in (weight, mean, log_scale)]


@pytest.mark.parametrize('log_scale', [-3.0, -1.0, 1.0])
def test_the_mass_of_every_symbol_is_the_papers_in_float64(log_scale):
  weight, mean, scales = mixture(0, log_scale)
  found = np.exp(np.asarray(mass(weight, mean, scales, VOCAB)).astype(np.float64))
  share = np.exp(weight.astype(np.float64))
  share /= share.sum(-1, keepdims=True)
  expected = [
    [papers.discretised_logistics(*law, value, VOCAB) for value in range(VOCAB)]
    for law in zip(share, mean.astype(np.float64), np.exp(scales.astype(np.float64)), strict=True)
  ]
  np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-12)


@pytest.mark.parametrize('log_scale', [-12.0, -6.0, 0.0, 4.0])
def test_laws_sum_to_one_and_have_gradients_however_narrow_or_wide_they_are(log_scale):
  law = mixture(1, log_scale)
  found = mass(*law, VOCAB)
  np.testing.assert_allclose(jax.nn.logsumexp(found, axis=-1), 0, atol=1e-5)
  assert np.all(np.isfinite(found))
  assert all(np.all(np.isfinite(leaf)) for leaf in gradient_of(law))


def test_a_law_far_from_a_symbol_keeps_its_logarithm_where_sigmoids_round_to_one():
  one = lambda value: np.full((1, 1), value, np.float32)
  found = mass(one(0.0), one(-40.0), one(0.0), 3)[0]
  # sigmoid(b) - sigmoid(a) of [-0.5, 0.5], far right of the mean: exp(-39.5) - exp(-40.5)
  expected = np.log(np.exp(np.float64(-39.5)) - np.exp(np.float64(-40.5)))
  np.testing.assert_allclose(found[1], expected, rtol=1e-6)


def test_it_begins_as_one_law_whose_components_differ_and_descends():
  head = logistics.Logistics(vocab=VOCAB, components=COMPONENTS)
  params, process = head.init(None, 4, VOCAB), masked.Masked(VOCAB)
  h = jax.random.normal(jax.random.key(0), (2, 6, 4))
  x0 = jax.random.randint(jax.random.key(1), (2, 6), 0, VOCAB)
  xt, ones = jnp.full((2, 6), process.mask_id), jnp.ones((2, 6))

  def loss(params):
    bound = head.bind(params, jnp.float32)
    return bound.loss(h, None, None, process.loss, ones, x0, xt, ones)[0]

  value, gradient = jax.jit(jax.value_and_grad(loss))(params)
  out = head.bind(params, jnp.float32).read(h, None)
  np.testing.assert_allclose(out - out[:1, :1], 0, atol=1e-6)
  assert len(np.unique(np.asarray(gradient['bias'])[:COMPONENTS])) == COMPONENTS
  moved = jax.tree.map(lambda leaf, step: leaf - 0.003 * step, params, gradient)
  assert loss(moved) < value


def test_floats_are_refused_in_words():
  c = base.get_config()
  base.choose(c, 'data', 'mixture')
  base.choose(c, 'process', 'gaussian')
  base.choose(c, 'head', 'logistics')
  with pytest.raises(ValueError, match='laws of ordered symbols'):
    build.build(c)
