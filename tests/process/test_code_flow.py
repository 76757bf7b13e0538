"""The flow from noise to symbols, against what is known of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from adiff.process import code_flow

CODES = np.array([[-1.1], [0.2], [0.9]])
LAW = np.array([0.5, 0.2, 0.3])


def quantile(u, t):
  """Where the mixture of the path at level t has mass u below it, by bisection."""
  low, high = np.full_like(u, -9.0), np.full_like(u, 9.0)
  for _ in range(80):
    middle = (low + high) / 2
    below = sum(p * special.ndtr((middle - (1 - t) * c) / t) for p, c in zip(LAW, CODES[:, 0]))
    low, high = np.where(below < u, middle, low), np.where(below < u, high, middle)
  return middle


def test_on_a_line_noise_keeps_its_quantile_to_a_millionth_and_becomes_the_symbol_that_holds_it():
  u = (np.arange(100) + 0.5) / 100
  noise = special.ndtri(u)
  with jax.enable_x64(True):
    logits, codes = jnp.log(jnp.asarray(LAW)), jnp.asarray(CODES)
    logits = jnp.broadcast_to(logits, (100, 3))
    x = jnp.asarray(noise)[:, None]
    there = code_flow.path(logits, x, codes, 256, last=0.1)[:, 0]
    np.testing.assert_allclose(there, quantile(u, 0.1), atol=1e-6)
    few = code_flow.path(logits, x, codes, 16, last=0.1)[:, 0]
    np.testing.assert_allclose(few, there, atol=2e-3)
    found = code_flow.symbols(logits + 3, x, codes, 16)  # logits need no norm
  np.testing.assert_array_equal(found, np.searchsorted(np.cumsum(LAW), u))


@pytest.mark.parametrize(('vocab', 'dim'), [
  (7, 4), pytest.param(3, 1, marks=pytest.mark.soak), pytest.param(40, 2, marks=pytest.mark.soak),
])
def test_normal_noise_is_mapped_to_symbols_of_the_law(vocab, dim):
  law = np.random.default_rng(vocab).dirichlet(np.ones(vocab)) * 0.9 + 0.1 / vocab
  noise = code_flow.noise(jax.random.split(jax.random.key(0), 4096), dim)
  logits = jnp.broadcast_to(jnp.log(jnp.asarray(law, jnp.float32)), (4096, vocab))
  codes = code_flow.vectors(vocab, dim)
  found = jax.jit(code_flow.symbols, static_argnums=3)(logits, noise, codes, 16)
  counts = np.bincount(found, minlength=vocab)
  assert stats.chisquare(counts, law * 4096).pvalue > 1e-3


def test_vectors_are_always_the_same_and_of_unit_scale():
  codes = code_flow.vectors(16, 4)
  np.testing.assert_allclose(codes.mean(0), 0, atol=1e-6)
  np.testing.assert_allclose(np.mean(codes**2), 1, rtol=1e-6)
  np.testing.assert_array_equal(codes, code_flow.vectors.__wrapped__(16, 4))
