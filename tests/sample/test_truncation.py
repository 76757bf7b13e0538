"""Truncated logits against their definition, written out slowly."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.sample import truncation


def slow(logits, temperature, top_k, top_p):
  """The truncated law of one row of logits [V], in float64."""
  if temperature == 0:
    return np.eye(len(logits))[np.argmax(logits)]
  p = np.exp((logits - logits.max()) / temperature)
  if top_k:
    stay = [np.sum(logits > one) < top_k for one in logits]
    p = np.where(stay, p, 0)
  p /= p.sum()
  stay = [p[logits > one].sum() < top_p for one in logits]
  p = np.where(stay, p, 0)
  return p / p.sum()


SETTINGS = [
  (0.7, 0, 1.0), (1.0, 3, 1.0), (1.0, 0, 0.8), (1.5, 5, 0.6), (0.3, 100, 0.95), (1.0, 1, 1.0),
  (1.0, 0, 1e-9), (0.0, 3, 0.5),
]


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize('temperature, top_k, top_p', SETTINGS)
def test_the_law_is_that_of_the_definition(temperature, top_k, top_p, dtype):
  # bfloat16 rounds, so rows have ties.
  logits = (2 * jax.random.normal(jax.random.key(0), (8, 5, 11))).astype(dtype)
  found = truncation.shape_logits(logits, temperature=temperature, top_k=top_k, top_p=top_p)
  assert found.dtype == jnp.float32 and np.all(np.isfinite(found))
  rows = np.asarray(logits.astype(jnp.float32), np.float64)
  expected = np.apply_along_axis(slow, -1, rows, temperature, top_k, top_p)
  law = np.asarray(jax.nn.softmax(found))
  np.testing.assert_array_equal(law == 0, expected == 0)
  np.testing.assert_allclose(law, expected, rtol=1e-5)
  np.testing.assert_allclose(np.exp(np.asarray(found, np.float64)), law, rtol=1e-5)  # normalised


def kept(logits, **settings):
  found = truncation.shape_logits(jnp.asarray(logits, jnp.float32), **settings)
  return np.flatnonzero(np.asarray(jax.nn.softmax(found))).tolist()


def test_equals_stay_together_and_the_symbol_that_crosses_stays():
  assert kept([2.0, 1, 1, 1, 0], top_k=2) == [0, 1, 2, 3]
  half, quarter = np.log(0.5), np.log(0.25)
  assert kept([half, quarter, quarter], top_p=0.4) == [0]
  assert kept([half, quarter, quarter], top_p=0.6) == [0, 1, 2]
  assert kept([0.0, 0.0], top_p=0.1) == [0, 1]
  assert kept([0.0, 1, 1], temperature=0) == [1]  # but the most likely symbol is one


def test_extreme_logits_and_temperatures_stay_finite():
  logits = jnp.array([[1e30, -1e30, 0.0], [-jnp.inf, 0.0, -jnp.inf], [3e38, 3e38, -3e38]])
  for settings in ({'temperature': 1e-20}, {'top_p': 0.5}, {'top_k': 2}, {'temperature': 1e20}):
    found = truncation.shape_logits(logits, **settings)
    assert np.all(np.isfinite(found)), settings
    np.testing.assert_allclose(jnp.sum(jax.nn.softmax(found), axis=-1), 1, rtol=1e-6)


def test_a_truncated_network_differs_in_its_logits_alone():
  def network(x, t, s, slots, cache=None, commit=0):
    return x, (slots, cache, commit)

  x = jax.random.normal(jax.random.key(0), (2, 3, 7))
  out, rest = truncation.truncate(network, top_k=2)(x, None, None, 'slots', 'cache', 4)
  np.testing.assert_array_equal(out, truncation.shape_logits(x, top_k=2))
  assert rest == ('slots', 'cache', 4)
  assert truncation.truncate(network, temperature=0.5)(x, None, None, 'slots')[1][1:] == (None, 0)


def test_nothing_to_cut_is_the_network_itself():
  network = lambda *arguments: arguments
  assert truncation.truncate(network) is network
  assert truncation.truncate(network, temperature=1, top_k=0, top_p=1) is network


@pytest.mark.parametrize('settings', [
  *({'temperature': value} for value in (-1, math.inf, math.nan)),
  *({'top_k': value} for value in (-1, 2.5, True)),
  *({'top_p': value} for value in (0, 1.1, math.nan)),
])
def test_nonsense_is_refused(settings):
  with pytest.raises(ValueError, match=next(iter(settings))):
    truncation.truncate(lambda *arguments: arguments, **settings)
  with pytest.raises(ValueError, match=next(iter(settings))):
    truncation.shape_logits(jnp.zeros(3), **settings)
