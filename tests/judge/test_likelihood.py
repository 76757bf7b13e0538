"""Bounds in nats: exact where they can be, and their report."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.data import chain as chain_lib
from adiff.judge import likelihood, paths
from adiff.process import gaussian, masked, uniform
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import copies

COORDS = np.arange(6)[:, None]
X0 = jax.random.randint(jax.random.key(7), (16, 6), 0, 3)


ZERO_LOGITS = ask_lib.from_outputs(lambda ask: jnp.zeros((*ask.x.shape[:2], 3)))


def bound(blocks, process=None, denoise=ZERO_LOGITS, key=0, x0=X0, reveals=None):
  process = process or masked.Masked(3)
  return likelihood.bound(
    denoise, jax.random.key(key), x0, blocks=blocks, process=process, coords=COORDS,
    reveals=reveals,
  )


@pytest.mark.parametrize('size', [1, 2, 6])
def test_a_network_that_knows_nothing_costs_log_v_a_token_without_any_noise(size):
  # k of B tokens masked at weight B / k: the bound of a constant is the constant.
  nats, *_ = bound(blocks_lib.equal(6, size))
  np.testing.assert_allclose(nats, size * np.log(3), rtol=1e-5)


def test_every_number_of_masked_tokens_is_equally_often_met():
  _, level, _ = bound(blocks_lib.equal(6, 2), x0=jnp.zeros((64, 6), jnp.int32))
  values, counts = np.unique(np.asarray(level), return_counts=True)
  np.testing.assert_array_equal(values, [0.5, 1.0])
  np.testing.assert_array_equal(counts, [96, 96])  # stratified: exactly half


def chain_posterior(chain):
  return ask_lib.from_outputs(
    lambda ask: jnp.log(jnp.maximum(chain.posterior(ask.x, chain.vocab), 1e-30)))


@pytest.mark.parametrize('reveals', [
  (4,), (1, 3), *(pytest.param(r, marks=pytest.mark.soak) for r in ((2, 2), (3, 1), (1, 1, 1, 1)))])
def test_revealing_tokens_together_costs_what_enumeration_says(reveals):
  chain = chain_lib.Chain(num_tokens=4)
  x0 = jnp.asarray(chain.sample(512, seed=3))
  expected, orders = 0, list(itertools.permutations(range(4)))
  posterior = jax.jit(lambda known: chain.posterior(known, chain.vocab))
  for order in orders:
    known = np.full(x0.shape, chain.vocab)
    for n, done in zip(reveals, np.cumsum([0, *reveals]), strict=False):
      now = list(order[done:done + n])
      own = np.take_along_axis(np.asarray(posterior(known)), np.asarray(x0)[..., None], -1)[..., 0]
      expected -= np.log(own[:, now]).sum(1).mean() / len(orders)
      known[:, now] = np.asarray(x0)[:, now]
  once = jax.jit(lambda key: likelihood.bound(
    chain_posterior(chain), key, x0, blocks=blocks_lib.whole(4), process=masked.Masked(3),
    coords=COORDS[:4], reveals=(reveals,))[0].mean())
  nats = np.array([once(jax.random.key(i)) for i in range(200)])
  assert abs(nats.mean() - expected) < 4 * nats.std() / 200**0.5 + 1e-4


def test_blocks_revealed_in_one_call_have_a_likelihood_without_noise():
  values = [bound(blocks_lib.equal(6, 3), key=key, reveals=((3,), (3,)))[0] for key in range(2)]
  np.testing.assert_array_equal(*values)
  np.testing.assert_allclose(values[0], 3 * np.log(3), rtol=1e-5)


def test_a_block_of_which_no_reveals_are_told_is_bounded_as_without_any():
  blocks = blocks_lib.equal(6, 3)
  (nats, levels, _), (alone, other, _) = (
    bound(blocks, reveals=own) for own in (((3,), None), None)
  )
  assert (levels[:, 0] > 0.8).all() and not (other[:, 0] > 0.8).all()
  np.testing.assert_allclose(nats[:, 0], 3 * np.log(3), rtol=1e-5)
  np.testing.assert_array_equal(levels[:, 1], other[:, 1])
  np.testing.assert_array_equal(nats[:, 1], alone[:, 1])


@pytest.mark.parametrize('size', [1, 2, 4])
def test_the_exact_denoiser_gives_every_order_the_same_probability(size):
  chain, blocks = chain_lib.Chain(num_tokens=4), blocks_lib.equal(4, size)
  x0 = chain.sample(64, seed=3)
  denoise = tiny.exact_masked(chain, blocks, masked.Masked(3))
  for seed in range(3):
    nats = paths.by_order(
      denoise, jax.random.key(seed), jnp.asarray(x0), blocks=blocks, process=masked.Masked(3),
      coords=COORDS[:4])
    np.testing.assert_allclose(nats.sum(1), -chain.log_prob(x0), rtol=1e-4)


def conditional_nats(chain, x0, known):
  """-log p(tokens | known tokens) by enumeration."""
  strings = np.array(list(itertools.product(range(3), repeat=4)))
  p = np.exp(chain.log_prob(strings))
  match = np.all((strings[None] == x0[:, None]) | ~known[:, None], axis=-1)
  return np.log(match @ p) - chain.log_prob(x0)


def test_known_tokens_are_conditioned_on():
  chain, blocks, process = chain_lib.Chain(num_tokens=4), blocks_lib.whole(4), masked.Masked(3)
  x0 = chain.sample(16, seed=3)
  known = np.random.default_rng(0).random((16, 4)) < 0.5
  exact = conditional_nats(chain, x0, known)
  how = dict(blocks=blocks, process=process, coords=COORDS[:4], known=jnp.asarray(known))
  denoise = chain_posterior(chain)
  nats = paths.by_order(denoise, jax.random.key(0), jnp.asarray(x0), **how)
  np.testing.assert_allclose(nats[:, 0], exact, atol=1e-4)
  once = jax.jit(lambda key: likelihood.bound(denoise, key, jnp.asarray(x0), **how)[0][:, 0])
  bounds = np.array([once(jax.random.key(i)) for i in range(400)])
  error = np.abs(bounds.mean(0) - exact)
  assert np.all(error < 4 * bounds.std(0) / 20 + 1e-4)
  assert np.all(bounds[:, known.all(1)] == 0)


def test_reveals_that_do_not_sum_to_the_block_are_refused():
  with pytest.raises(ValueError, match='block size 3'):
    bound(blocks_lib.equal(6, 3), reveals=((3,), (2,)))


def test_only_one_masked_token_a_block_is_the_likelihood_itself():
  assert likelihood.is_exact(blocks_lib.tokens(6), masked.Masked(3))
  assert not likelihood.is_exact(blocks_lib.equal(6, 2), masked.Masked(3))
  assert likelihood.is_exact(blocks_lib.equal(6, 2), masked.Masked(3), ((2,),) * 3)
  assert not likelihood.is_exact(blocks_lib.equal(6, 2), masked.Masked(3), ((2,), (1, 1), (2,)))
  assert not likelihood.is_exact(blocks_lib.equal(6, 2), masked.Masked(3), ((2,), None, (2,)))
  assert not likelihood.is_exact(blocks_lib.tokens(6), uniform.Uniform(3))
  assert not likelihood.is_exact(blocks_lib.tokens(6), gaussian.Gaussian(1, clip=0.0))


@pytest.mark.parametrize('history', [0.3, None])
def test_every_model_is_evaluated_with_a_clean_history(history):
  def telling(ask):
    assert ask.x.shape[1] == 10
    t = copies.levels(ask.t, ask.slots)
    row = jnp.sum(ask.x, axis=1).astype(t.dtype)[:, None, None] * jnp.arange(3.0)[None, None]
    return t[..., None] * row

  denoise, clean = ask_lib.from_outputs(telling), blocks_lib.equal(6, 2)
  other = dataclasses.replace(clean, history=history)
  np.testing.assert_array_equal(bound(clean, denoise=denoise)[0], bound(other, denoise=denoise)[0])


def test_what_levels_spend_of_a_normal_is_where_its_error_is_and_adds_up_to_the_integral():
  variance, dim = 0.1, 16
  process = gaussian.Gaussian(dim, clip=0.0, prediction='x0')

  def best(ask):
    alpha, sigma = process.scales(ask.t)
    gain = variance * alpha / (variance * alpha**2 + sigma**2)
    return gain * ask.x

  x0 = jnp.sqrt(variance) * jax.random.normal(jax.random.key(1), (4096, 1, dim))
  nats, level, spent = (np.asarray(one)[:, None] for one in likelihood.bound(
    ask_lib.from_outputs(best), jax.random.key(0), x0, blocks=blocks_lib.whole(1, history=None),
    process=process, coords=COORDS[:1],
  ))
  curve = np.array(likelihood.summary(nats, level, spent, dims=dim)['per_level']['values'])
  low, high = process.log_snr
  snr = np.exp(np.linspace(low, high, 10_001))
  integral = 0.5 * dim * (high - low) * np.mean(variance * snr / (variance * snr + 1))
  np.testing.assert_allclose(curve.sum(), integral, rtol=0.02)
  assert curve[0] > 0.7 * integral and curve[-1] < 0.01 * integral
  assert (np.diff(curve) < 0).all()


def test_an_interval_is_the_mean_and_196_standard_errors():
  values = np.random.default_rng(0).normal(3, 2, 10_000)
  mean, half = likelihood.interval(values)
  np.testing.assert_allclose(mean, values.mean())
  np.testing.assert_allclose(half, 1.96 * 2 / 100, rtol=0.05)


def test_the_summary_counts_examples_once_and_samples_inside_them():
  nats = np.ones((5, 3, 2)) * np.arange(1, 6)[:, None, None]
  level = np.full((5, 3, 2), 0.25)
  report = likelihood.summary(nats, level, nats / 2, dims=6)
  assert report['nats'] == 6 and report['per_block'] == [3, 3]
  np.testing.assert_allclose(report['bits_per_dim'], 1 / np.log(2))
  np.testing.assert_allclose(report['ci95'], 1.96 * np.std([2, 4, 6, 8, 10], ddof=1) / 5**0.5)
  assert report['num_examples'] == 5 and report['samples_per_example'] == 3
  np.testing.assert_allclose(report['per_level']['values'], np.where(np.arange(10) == 2, 3, 0))


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('shape', [(1,), (1, 3)])
def test_one_example_has_a_mean_and_no_interval(shape):
  mean, width = likelihood.interval(np.ones(shape))
  assert np.all(mean == 1) and np.all(np.isnan(width)) and np.shape(mean) == np.shape(width)
