"""Toy sources: everything said to be exact is checked by enumeration or integration."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.data import toy


@pytest.fixture(scope='module')
def chain():
  return toy.Chain(num_tokens=4, vocab=3, size=20000)


@pytest.fixture(scope='module')
def mixture():
  return toy.Mixture(num_tokens=3, dim=2, components=3, size=20000)


@pytest.fixture(scope='module')
def strings(chain):
  return np.array(list(itertools.product(range(chain.vocab), repeat=chain.num_tokens)))


def test_chain_probabilities_sum_to_one_and_give_the_entropy(chain, strings):
  log_prob = chain.log_prob(strings)
  np.testing.assert_allclose(np.exp(log_prob).sum(), 1, rtol=1e-12)
  np.testing.assert_allclose(-np.sum(np.exp(log_prob) * log_prob), chain.exact['nats'], rtol=1e-12)


def test_the_past_of_a_chain_is_informative(chain, strings):
  probs = np.exp(chain.log_prob(strings))
  marginals = np.stack([probs @ (strings == v) for v in range(chain.vocab)])
  assert marginals.min() > 0.1
  assert chain.exact['nats'] < 0.85 * -np.sum(marginals * np.log(marginals))


def brute_force_posterior(chain, strings, likelihood):
  """p(x0_i = v | evidence) [N, V] from likelihood [all strings, N]; own factor already removed."""
  joint = np.exp(chain.log_prob(strings))[:, None] * likelihood
  posterior = np.stack([np.where(strings == v, joint, 0).sum(0) for v in range(chain.vocab)], -1)
  return posterior / posterior.sum(-1, keepdims=True)


def test_the_masked_posterior_equals_enumeration(chain, strings):
  mask_id = chain.vocab
  xt = np.array([[3, 3, 3, 3], [0, 3, 3, 2], [3, 1, 3, 3], [2, 0, 1, 3], [0, 1, 2, 0]], np.int32)
  posterior = jax.jit(chain.posterior)(jnp.asarray(xt), mask_id)
  assert posterior.shape == (5, 4, 3)
  for row, actual in zip(xt, posterior, strict=True):
    match = np.all((row == mask_id) | (strings == row), 1).astype(float)
    expected = brute_force_posterior(chain, strings, np.repeat(match[:, None], 4, 1))
    np.testing.assert_allclose(actual, expected, atol=2e-6)


def test_the_uniform_posterior_leaves_the_token_itself_out(chain, strings):
  xt = np.array([[0, 1, 2, 0], [2, 2, 1, 0]], np.int32)
  t = np.array([[0.1, 0.9, 0.5, 1.0], [0.0, 0.3, 0.7, 0.2]], np.float32)
  posterior = jax.jit(chain.posterior_uniform)(jnp.asarray(xt), jnp.asarray(t))
  for row, levels, actual in zip(xt, t, posterior, strict=True):
    emission = (1 - levels) * (strings == row) + levels / chain.vocab
    others = np.stack([np.prod(np.delete(emission, i, 1), 1) for i in range(4)], 1)
    expected = brute_force_posterior(chain, strings, others)
    np.testing.assert_allclose(actual, expected, atol=2e-6)


@pytest.mark.parametrize('num_tokens, vocab', [(4, 3), (12, 3), (5, 20)])
def test_chain_samples_pass_their_law_test_and_others_fail(num_tokens, vocab):
  chain = toy.Chain(num_tokens=num_tokens, vocab=vocab, size=40000)
  samples = chain.rows('train', np.arange(chain.size('train')))['tokens']
  assert chain.law_test(samples)['p_value'] > 1e-3
  shuffled = np.random.default_rng(0).permuted(samples, axis=0)
  assert chain.law_test(shuffled)['p_value'] < 1e-6


def test_a_law_test_of_true_samples_is_uniform():
  chain = toy.Chain(num_tokens=8, vocab=4)
  values = [chain.law_test(chain.draw(4000, seed=10 + i))['p_value'] for i in range(200)]
  assert abs(np.mean(values) - 0.5) < 4 * np.sqrt(1 / 12 / 200)
  assert 0.01 < np.mean(np.array(values) < 0.1) < 0.2


def test_a_law_test_with_too_few_samples_is_refused(chain):
  with pytest.raises(ValueError, match='too few'):
    chain.law_test(chain.draw(3, seed=9))


@pytest.mark.parametrize('make', [toy.Chain, toy.Mixture])
def test_splits_are_independent_draws_fixed_by_the_seed(make):
  one, two, other = make(size=800), make(size=800), make(size=800, seed=1)
  assert (one.size('train'), one.size('test')) == (800, 100)
  assert one.fingerprint == two.fingerprint != other.fingerprint
  train, test = (one.rows(s, np.arange(100))['tokens'] for s in one.splits)
  assert train.shape[1] == one.spec.num_tokens
  assert not np.array_equal(train, test)
  with pytest.raises(ValueError, match='train, test'):
    one.rows('valid', np.arange(2))


def test_labels_of_a_mixture_are_its_components_and_a_chain_has_none(mixture, chain):
  rows = mixture.rows('train', np.arange(5000))
  assert rows['tokens'].dtype == np.float32 and rows['label'].dtype == np.int32
  assert mixture.spec.num_classes == 3
  assert np.mean(mixture.posterior(rows['tokens']).argmax(1) == rows['label']) > 0.9
  assert set(chain.rows('train', np.arange(4))['label']) == {-1}


def test_the_density_of_a_mixture_integrates_to_one():
  mixture = toy.Mixture(num_tokens=1, dim=2)
  axis = np.linspace(-4, 4, 401)
  points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 1, 2)
  log_prob = mixture.log_prob(points)
  cell = (axis[1] - axis[0]) ** 2
  np.testing.assert_allclose(np.exp(log_prob).sum() * cell, 1, atol=1e-6)
  nats = -np.sum(np.exp(log_prob) * log_prob) * cell
  assert abs(nats - mixture.exact['nats']) < 5 * mixture.exact['nats_se'] + 1e-6


def test_the_entropy_of_a_mixture_is_what_its_draws_say(mixture):
  nats = -mixture.log_prob(mixture.rows('train', np.arange(20000))['tokens'])
  assert abs(nats.mean() - mixture.exact['nats']) < 4 * nats.std() / np.sqrt(len(nats))
  assert mixture.exact['nats_se'] < 0.005


def test_mixture_samples_pass_their_law_test_and_others_fail(mixture):
  tokens = mixture.rows('train', np.arange(20000))['tokens']
  assert mixture.law_test(tokens)['p_value'] > 1e-3
  assert mixture.law_test(1.1 * tokens)['p_value'] < 1e-6
  shuffled = np.random.default_rng(0).permuted(tokens, axis=0)
  assert mixture.law_test(shuffled)['p_value'] < 1e-6


def test_the_exact_denoiser_equals_importance_weighted_draws(mixture):
  rng = np.random.default_rng(5)
  draws = mixture.draw(2**17, seed=7)[0].astype(np.float64)
  alpha = np.array([[0.8, 0.2, 0.5]], np.float32)
  sigma = np.array([[0.6, 0.9, 0.8]], np.float32)
  xt = alpha[..., None] * draws[:1] + sigma[..., None] * rng.normal(size=(1, 3, 2))
  xt = xt.astype(np.float32)
  actual = jax.jit(mixture.denoise)(xt, alpha, sigma)
  error = (xt - alpha[..., None] * draws) / sigma[..., None]
  weights = np.exp(-0.5 * np.sum(error**2, (1, 2)))
  expected = np.einsum('b,bnd->nd', weights, draws) / weights.sum()
  assert actual.dtype == jnp.float32
  np.testing.assert_allclose(actual[0], expected, atol=0.02)


def test_the_exact_denoiser_returns_clean_tokens_and_the_mean_of_noise(mixture):
  x = mixture.draw(4, seed=3)[0]
  ones, zeros = np.ones((4, 3), np.float32), np.zeros((4, 3), np.float32)
  np.testing.assert_allclose(mixture.denoise(jnp.asarray(x), ones, zeros), x, atol=1e-6)
  weights, means, _ = mixture.law
  mean = np.broadcast_to((weights @ means).reshape(1, 3, 2), x.shape)
  np.testing.assert_allclose(mixture.denoise(jnp.asarray(x), zeros, ones), mean, atol=1e-6)


@pytest.mark.parametrize('make', [lambda: toy.Chain(vocab=1), lambda: toy.Mixture(dim=0)])
def test_a_source_too_small_to_exist_is_refused(make):
  with pytest.raises(ValueError, match='too small'):
    make()
