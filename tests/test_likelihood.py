"""Bounds in nats: exact where they can be, and their report."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff import blocks as blocks_lib
from adiff import likelihood
from adiff.process import gaussian, masked, uniform

COORDS = np.arange(6)[:, None]
X0 = jax.random.randint(jax.random.key(7), (16, 6), 0, 3)


def zero_logits(x, t, s, slots):
  return jnp.zeros((*x.shape[:2], 3)), None


def bound(blocks, process=None, denoise=zero_logits, key=0, x0=X0):
  process = process or masked.Masked(3)
  return likelihood.bound(
    denoise, jax.random.key(key), x0, blocks=blocks, process=process, coords=COORDS
  )


@pytest.mark.parametrize('size', [1, 2, 6])
def test_a_network_that_knows_nothing_costs_log_v_a_token_without_any_noise(size):
  # k of B tokens masked at weight B / k: the bound of a constant is the constant.
  nats, _ = bound(blocks_lib.equal(6, size))
  np.testing.assert_allclose(nats, size * np.log(3), rtol=1e-5)


def test_every_number_of_masked_tokens_is_equally_often_met():
  _, level = bound(blocks_lib.equal(6, 2), x0=jnp.zeros((64, 6), jnp.int32))
  values, counts = np.unique(np.asarray(level), return_counts=True)
  np.testing.assert_array_equal(values, [0.5, 1.0])
  np.testing.assert_array_equal(counts, [96, 96])  # stratified: exactly half


def test_only_one_masked_token_a_block_is_the_likelihood_itself():
  assert likelihood.is_exact(blocks_lib.tokens(6), masked.Masked(3))
  assert not likelihood.is_exact(blocks_lib.equal(6, 2), masked.Masked(3))
  assert not likelihood.is_exact(blocks_lib.tokens(6), uniform.Uniform(3))
  assert not likelihood.is_exact(blocks_lib.tokens(6), gaussian.Gaussian(1))


@pytest.mark.parametrize('history', [0.3, None])
def test_every_model_is_evaluated_with_a_clean_history(history):
  def telling(x, t, s, slots):
    assert x.shape[1] == 10
    row = jnp.sum(x, axis=1).astype(t.dtype)[:, None, None] * jnp.arange(3.0)[None, None]
    return t[..., None] * row, None

  clean = blocks_lib.equal(6, 2)
  other = dataclasses.replace(clean, history=history)
  np.testing.assert_array_equal(bound(clean, denoise=telling)[0], bound(other, denoise=telling)[0])


def test_an_interval_is_the_mean_and_196_standard_errors():
  values = np.random.default_rng(0).normal(3, 2, 10_000)
  mean, half = likelihood.interval(values)
  np.testing.assert_allclose(mean, values.mean())
  np.testing.assert_allclose(half, 1.96 * 2 / 100, rtol=0.05)


def test_the_summary_counts_examples_once_and_samples_inside_them():
  nats = np.ones((5, 3, 2)) * np.arange(1, 6)[:, None, None]
  level = np.full((5, 3, 2), 0.25)
  report = likelihood.summary(nats, level, dims=6)
  assert report['nats'] == 6 and report['per_block'] == [3, 3]
  np.testing.assert_allclose(report['bits_per_dim'], 1 / np.log(2))
  np.testing.assert_allclose(report['ci95'], 1.96 * np.std([2, 4, 6, 8, 10], ddof=1) / 5**0.5)
  assert report['num_examples'] == 5 and report['samples_per_example'] == 3
  assert report['per_level']['values'][2] == 3 and report['per_level']['values'][0] is None
