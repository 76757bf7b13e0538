"""Everything said to be exact of a mixture is checked by integration or exact samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.data import mixture as mixture_lib


@pytest.fixture(scope='module')
def mixture():
  return mixture_lib.Mixture(num_tokens=3, dim=2, components=3, size=20000)


def test_labels_of_a_mixture_are_its_components(mixture):
  examples = mixture.examples('train', np.arange(5000))
  assert examples['example'].dtype == np.float32 and examples['label'].dtype == np.int32
  assert mixture.facts.conds['label'].num == 3
  assert np.mean(mixture.posterior(examples['example']).argmax(1) == examples['label']) > 0.9


def test_the_density_of_a_mixture_integrates_to_one():
  mixture = mixture_lib.Mixture(num_tokens=1, dim=2)
  axis = np.linspace(-4, 4, 401)
  points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 1, 2)
  log_prob = mixture.log_prob(points)
  cell = (axis[1] - axis[0]) ** 2
  np.testing.assert_allclose(np.exp(log_prob).sum() * cell, 1, atol=1e-6)
  nats = -np.sum(np.exp(log_prob) * log_prob) * cell
  assert abs(nats - mixture.exact['nats']) < 5 * mixture.exact['nats_se'] + 1e-6


def test_the_entropy_of_a_mixture_is_what_its_samples_say(mixture):
  nats = -mixture.log_prob(mixture.examples('train', np.arange(20000))['example'])
  assert abs(nats.mean() - mixture.exact['nats']) < 4 * nats.std() / np.sqrt(len(nats))
  assert mixture.exact['nats_se'] < 0.005


def test_mixture_samples_pass_their_law_test_and_others_fail(mixture):
  tokens = mixture.examples('train', np.arange(20000))['example']
  assert mixture.law_test(tokens)['p_value'] > 1e-3
  assert mixture.law_test(1.1 * tokens)['p_value'] < 1e-6
  shuffled = np.random.default_rng(0).permuted(tokens, axis=0)
  assert mixture.law_test(shuffled)['p_value'] < 1e-6


def test_the_exact_denoiser_equals_importance_weighted_samples(mixture):
  rng = np.random.default_rng(5)
  samples = mixture.sample(2**17, seed=7)[0].astype(np.float64)
  alpha = np.array([[0.8, 0.2, 0.5]], np.float32)
  sigma = np.array([[0.6, 0.9, 0.8]], np.float32)
  xt = alpha[..., None] * samples[:1] + sigma[..., None] * rng.normal(size=(1, 3, 2))
  xt = xt.astype(np.float32)
  actual = jax.jit(mixture.denoise)(xt, alpha, sigma)
  error = (xt - alpha[..., None] * samples) / sigma[..., None]
  weights = np.exp(-0.5 * np.sum(error**2, (1, 2)))
  expected = np.einsum('b,bnd->nd', weights, samples) / weights.sum()
  assert actual.dtype == jnp.float32
  np.testing.assert_allclose(actual[0], expected, atol=0.02)


def test_the_exact_denoiser_returns_clean_tokens_and_the_mean_of_noise(mixture):
  x = mixture.sample(4, seed=3)[0]
  ones, zeros = np.ones((4, 3), np.float32), np.zeros((4, 3), np.float32)
  np.testing.assert_allclose(mixture.denoise(jnp.asarray(x), ones, zeros), x, atol=1e-6)
  weights, means, _ = mixture.law
  mean = np.broadcast_to((weights @ means).reshape(1, 3, 2), x.shape)
  np.testing.assert_allclose(mixture.denoise(jnp.asarray(x), zeros, ones), mean, atol=1e-6)


def test_a_mixture_too_small_to_exist_is_refused():
  with pytest.raises(ValueError, match='too small'):
    mixture_lib.Mixture(dim=0)


def test_a_grid_of_components_is_counted_and_its_labels_can_be_kept_back():
  grid = mixture_lib.Mixture(1, 2, 25, size=64, grid=True, labelled=False)
  _, means, std = grid.law
  apart = np.sqrt(((means[:, None] - means[None]) ** 2).sum(-1))
  np.testing.assert_allclose(apart[apart > 0].min(), 0.5)
  np.testing.assert_allclose(std, 0.02)
  assert grid.facts.conds == {} and set(grid.examples('train', np.arange(9))['label']) == {-1}
  found = grid.law_test(grid.sample(4096, seed=5)[0])
  assert found['p_value'] > 1e-3 and found['modes']['covered'] == 25
  assert 0.98 < found['modes']['share'] < 0.995  # 1 - exp(-9 / 2)
  one = np.tile(means[7] + 0.03, (4096, 1)).reshape(-1, 1, 2)
  one[::2] += 0.2  # between components
  assert grid.law_test(one)['modes'] == {'covered': 1, 'of': 25, 'share': 0.5}
  with pytest.raises(ValueError, match='components=25'):
    mixture_lib.Mixture(1, 2, 24, grid=True)
