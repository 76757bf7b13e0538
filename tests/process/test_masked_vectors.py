"""Vectors that are known or not: what is hidden is what masked symbols would hide."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.process import masked, masked_vectors
from adiff.sequence import blocks as blocks_lib

VECTORS, SYMBOLS = masked_vectors.MaskedVectors(2), masked.Masked(3)
SHAPE = (50, 6)
X0 = jax.random.normal(jax.random.key(0), (*SHAPE, 2))
NAMES = jnp.zeros(SHAPE, jnp.int32)
BLOCKS = blocks_lib.Blocks((2, 4), (0, 1, 2, 3, 4, 5))


def keys():
  return jax.random.split(jax.random.key(4), SHAPE)


def law(key, wanted):
  return jnp.full((*SHAPE, 2), 7.0)


def test_a_hidden_token_says_nothing_and_the_others_stay_as_they_are():
  t = jnp.full(SHAPE, 0.4)
  xt = np.asarray(VECTORS.add_noise(jax.random.key(1), X0, t))
  hidden = np.asarray(VECTORS.hidden(xt))
  assert np.isnan(xt[hidden]).all() and 0.3 < hidden.mean() < 0.5
  np.testing.assert_array_equal(xt[~hidden], X0[~hidden])
  symbols = SYMBOLS.add_noise(jax.random.key(1), NAMES, t)
  np.testing.assert_array_equal(hidden, SYMBOLS.hidden(symbols))


def test_bounds_and_complements_hide_what_those_of_symbols_hide():
  free = jnp.ones(SHAPE, bool).at[:, 1].set(False)
  u = jax.random.uniform(jax.random.key(3), (SHAPE[0], 2))
  (vectors, t), (symbols, same) = (
    process.bound_noise(jax.random.key(2), x0, u, BLOCKS, free)
    for process, x0 in ((VECTORS, X0), (SYMBOLS, NAMES))
  )
  np.testing.assert_array_equal(VECTORS.hidden(vectors), SYMBOLS.hidden(symbols))
  np.testing.assert_array_equal(t, same)
  other = VECTORS.complement(vectors, X0)
  np.testing.assert_array_equal(VECTORS.hidden(other), ~VECTORS.hidden(vectors))
  known = VECTORS.bound_known(vectors, t, BLOCKS, free)
  for one, of_symbols in zip(known, SYMBOLS.bound_known(symbols, t, BLOCKS, free), strict=True):
    np.testing.assert_array_equal(one, of_symbols)


def test_a_step_reveals_hidden_tokens_by_their_law_and_what_they_cost_is_weighted_by_one_over_t():
  t, s = jnp.full(SHAPE, 0.8), jnp.full(SHAPE, 0.2)
  xs = np.asarray(VECTORS.step(keys(), law, VECTORS.masks(SHAPE), t, s))
  hidden = np.isnan(xs[..., 0])
  assert 0.1 < hidden.mean() < 0.4 and np.all(xs[~hidden] == 7)
  xt = jnp.where(jnp.asarray(hidden)[..., None], jnp.nan, X0)
  cost = VECTORS.loss(jnp.ones(SHAPE), X0, xt, t)
  np.testing.assert_allclose(cost, np.where(hidden, 1 / 0.8, 0), rtol=1e-6)
  np.testing.assert_array_equal(VECTORS.step(keys(), law, X0, t, s), X0)


def test_the_noise_of_small_steps_is_gaussian_and_checked_as_such():
  assert VECTORS.small.has_ode and VECTORS.small.eta == 1.0
  with pytest.raises(ValueError, match='prediction=v'):
    masked_vectors.MaskedVectors(2, prediction='eps')
