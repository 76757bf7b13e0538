"""Entropies of soft codes: factors against all codes of a small vocabulary."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.nn.quantisers import entropy

BITS = 5
SIGNS = 1 - 2.0 * (np.arange(2**BITS)[:, None] >> np.arange(BITS) & 1)  # [V, d]


def logits(scale=1.5):
  return (scale * np.random.default_rng(0).normal(size=(7, BITS)) + 0.5).astype(np.float32)


def law(logits):
  """float64 [n, V]: softmax over all codes of logits of bits."""
  exponents = np.asarray(logits, np.float64) @ SIGNS.T / 2
  p = np.exp(exponents - exponents.max(-1, keepdims=True))
  return p / p.sum(-1, keepdims=True)


def nats(p):
  return -np.sum(p * np.log(np.where(p > 0, p, 1)), -1)


def brute(logits):
  return entropy.of_logits(logits @ jnp.asarray(SIGNS.T / 2, jnp.float32))


def test_entropies_of_softmax_are_those_of_its_probabilities():
  found = jax.jit(brute)(logits())
  np.testing.assert_allclose(found.each, nats(law(logits())).mean(), rtol=1e-5)
  np.testing.assert_allclose(found.mean, nats(law(logits()).mean(0)), rtol=1e-5)
  np.testing.assert_allclose(found.loss(0.5), found.each - 0.5 * found.mean, rtol=1e-6)


@pytest.mark.parametrize('scale', [0.1, 1.5, 40.0])
def test_factors_give_the_entropies_of_all_codes_and_their_gradient(scale):
  factors = lambda z: entropy.of_bits(z, BITS)
  both = [jax.jit(jax.value_and_grad(lambda z, of=of: sum(of(z)))) for of in (factors, brute)]
  (ours, to_ours), (theirs, to_theirs) = (one(logits(scale)) for one in both)
  np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(to_ours, to_theirs, rtol=1e-4, atol=1e-6)


def test_groups_of_bits_bound_the_entropy_of_the_mean_from_above():
  groups = (1, 2, 3, BITS)
  *found, exact = jax.jit(lambda z: [entropy.of_bits(z, group) for group in groups])(logits())
  p = law(logits()).mean(0)
  for group, one in zip(groups[:-1], found, strict=True):
    np.testing.assert_allclose(one.each, exact.each, rtol=1e-6)
    marginals = 0
    for start in range(0, BITS, group):
      own = SIGNS[:, start:start + group]
      same = [np.all(own == code, -1) for code in np.unique(own, axis=0)]
      marginals += nats(np.array([p[one].sum() for one in same]))
    np.testing.assert_allclose(one.mean, marginals, rtol=1e-5)
    assert one.mean > exact.mean + 1e-3
