"""Embeddings tell their inputs apart."""

import jax
import jax.numpy as jnp
import numpy as np

from adiff.nn import embed


def test_sinusoids_are_float32_even_of_half_precision_levels():
  waves = embed.sinusoid(jnp.array([0.0, 0.25], jnp.bfloat16), 8)
  assert waves.shape == (2, 8) and waves.dtype == jnp.float32
  np.testing.assert_allclose(waves[0], [1] * 4 + [0] * 4)
  np.testing.assert_allclose(waves[1, 0], np.cos(250.0), atol=1e-4)


def test_levels_a_thousandth_apart_are_told_apart():
  near = embed.sinusoid(jnp.array([0.5, 0.501]), 64)
  assert float(jnp.max(jnp.abs(near[0] - near[1]))) > 0.5


def test_symbols_are_looked_up_and_vectors_projected():
  symbols, vectors = jnp.array([[0, 2]]), jnp.ones((1, 2, 3))
  for x, name in ((symbols, 'symbol'), (vectors, 'vector')):
    model = embed.Token(3, 8, jnp.float32)
    out, variables = model.init_with_output(jax.random.key(0), x)
    assert out.shape == (1, 2, 8) and list(variables['params']) == [name]


def test_no_label_has_a_row_of_its_own():
  model = embed.Label(3, 8, jnp.float32)
  out, _ = model.init_with_output(jax.random.key(0), jnp.array([[-1, 0, 1, 2]]))
  assert len(np.unique(np.asarray(out[0]), axis=0)) == 4


def test_absolute_positions_differ_on_every_axis():
  model = embed.Position(8, jnp.float32)
  coords = jnp.array([[0, 0], [0, 1], [1, 0], [1, 1]])
  out, _ = model.init_with_output(jax.random.key(0), coords)
  assert len(np.unique(np.round(np.asarray(out), 5), axis=0)) == 4
