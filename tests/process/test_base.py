"""Noise with one key, or with a key for every token."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.process import base, gaussian, masked, uniform

PROCESSES = {
  'gaussian': gaussian.Gaussian(2, eta=1.0, clip=0.0),
  'masked': masked.Masked(3),
  'uniform': uniform.Uniform(3),
}
EVERY = pytest.mark.parametrize('process', PROCESSES.values(), ids=PROCESSES.keys())
SHAPE = (4, 5)


def token_keys(seed=0):
  return jax.random.split(jax.random.key(seed), SHAPE)


def clean(process):
  if process.discrete:
    return jax.random.randint(jax.random.key(9), SHAPE, 0, 3)
  return jax.random.normal(jax.random.key(9), (*SHAPE, 2))


@EVERY
def test_at_level_zero_nothing_is_added_and_at_one_nothing_is_left(process):
  x0 = clean(process)
  np.testing.assert_array_equal(process.add_noise(jax.random.key(1), x0, jnp.zeros(SHAPE)), x0)
  x1 = process.add_noise(jax.random.key(1), x0, jnp.ones(SHAPE))
  other = x0[::-1]
  np.testing.assert_allclose(
    x1, process.add_noise(jax.random.key(1), other, jnp.ones(SHAPE)), atol=1e-6
  )


@EVERY
def test_a_step_to_the_same_level_changes_nothing(process):
  t = jnp.linspace(0, 1, 5)[None].repeat(4, 0)
  xt = process.add_noise(jax.random.key(1), clean(process), t)
  out = jax.random.normal(jax.random.key(2), (*SHAPE, process.num_outputs))
  np.testing.assert_array_equal(process.step(token_keys(), out, xt, t, t), xt)


@EVERY
def test_the_noise_of_a_token_depends_on_its_key_alone(process):
  keys, t = token_keys(), jnp.full(SHAPE, 0.7)
  xt = process.add_noise(jax.random.key(1), clean(process), t)
  out = jax.random.normal(jax.random.key(2), (*SHAPE, process.num_outputs))
  s = jnp.full(SHAPE, 0.3)
  part = (slice(1, 3), slice(2, 4))
  step = jax.jit(process.step)
  whole = step(keys, out, xt, t, s)
  cut = step(token_keys()[part], out[part], xt[part], t[part], s[part])
  np.testing.assert_allclose(cut, whole[part], atol=1e-6)
  prior = process.prior(token_keys(1), SHAPE)
  np.testing.assert_array_equal(process.prior(token_keys(1)[part], (2, 2)), prior[part])


@EVERY
def test_a_token_at_level_zero_costs_nothing(process):
  x0 = clean(process)
  t = jnp.zeros(SHAPE).at[:, 2].set(0.5)
  xt = process.add_noise(jax.random.key(1), x0, t)
  cost = process.loss(jnp.ones((*SHAPE, process.num_outputs)), x0, xt, t)
  assert np.all(np.asarray(cost)[:, [0, 1, 3, 4]] == 0) and np.all(np.isfinite(cost))


def test_one_key_and_many_keys_sample_the_same_law():
  once = base.sampled(jax.random.normal, jax.random.key(0), (50, 100))
  many = base.sampled(jax.random.normal, jax.random.split(jax.random.key(1), (50, 100)), (50, 100))
  assert once.shape == many.shape == (50, 100)
  np.testing.assert_allclose([np.std(once), np.std(many)], 1, atol=0.05)


def test_split_keys_differ_from_each_other_and_from_token_to_token():
  parts = base.split(token_keys())
  data = np.concatenate([jax.random.key_data(part).reshape(-1, 2) for part in parts])
  assert len(np.unique(data, axis=0)) == 2 * 20


def test_symbols_are_sampled_with_the_probabilities_of_the_logits():
  probs = np.array([0.1, 0.2, 0.7])
  logits = jnp.broadcast_to(jnp.log(jnp.asarray(probs, jnp.float32)), (20_000, 3))
  symbols = np.asarray(base.categorical(jax.random.key(0), logits))
  share = np.bincount(symbols, minlength=3) / 20_000
  np.testing.assert_allclose(share, probs, atol=0.015)  # 4 standard errors


@pytest.mark.parametrize('name', ['masked', 'uniform'])
def test_noise_on_symbols_has_no_ode_and_says_so(name):
  process, t = PROCESSES[name], jnp.ones(SHAPE)
  assert not process.has_ode
  x = clean(process)
  for call in (lambda: process.scales(t), lambda: process.move(x, x, t, t),
               lambda: process.estimate(x, x, t)):
    with pytest.raises(ValueError, match=type(process).__name__):
      call()


@EVERY
def test_only_absorbing_noise_has_a_complement(process):
  x = clean(process)
  if process.absorbing:
    assert process.complement(x, x).shape == x.shape
  else:
    with pytest.raises(ValueError, match=type(process).__name__):
      process.complement(x, x)


def test_cross_entropy_is_minus_the_log_probability():
  out = jnp.log(jnp.array([[0.25, 0.75]]))
  np.testing.assert_allclose(base.cross_entropy(out, jnp.array([1])), [-np.log(0.75)], rtol=1e-6)
