"""Gaussian latents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.nn.quantisers import vae
from adiff.sequence import spec as spec_lib


def features(channels, shape=(64, 3, 5)):
  return jax.random.normal(jax.random.key(0), (*shape, channels)) + 0.3


def nats(mean, std):
  """KL from N(mean, std^2) to N(0, 1) in float64, on a grid."""
  x = np.linspace(-60, 60, 20001)

  def log_density(mean, std):
    return -0.5 * ((x - mean) / std) ** 2 - np.log(std * np.sqrt(2 * np.pi))

  own = log_density(mean, std)
  return np.sum(np.exp(own) * (own - log_density(0, 1))) * (x[1] - x[0])


def value_and_gradient(of, z):
  """Of the loss."""
  loss = lambda z: of({}, {}, z, jax.random.key(3), True).losses['kl']
  return jax.jit(jax.value_and_grad(loss))(z)


@pytest.mark.parametrize('noise', [None, 0.5])
def test_the_loss_is_the_divergence_from_the_prior_summed_over_channels(noise):
  of = vae.Vae(dim=2, kl=0.1, noise=noise)
  z = features(of.num_channels, (2, 3))
  loss, _ = value_and_gradient(of, z)
  mean, log_variance = np.asarray(of.posterior(z), np.float64)
  pairs = zip(mean.reshape(-1), np.exp(log_variance.reshape(-1) / 2), strict=True)
  each = np.reshape([nats(*pair) for pair in pairs], (6, 2))
  np.testing.assert_allclose(loss, 0.1 * each.mean(0).sum(), rtol=1e-5)


def test_channels_below_the_free_nats_cost_those_and_have_no_gradient():
  z = features(4) * np.float32([[[[0.1, 2.0, 0.1, 0.1]]]])
  loss, gradient = value_and_gradient(vae.Vae(dim=2, kl=1.0, free=0.5), z)
  mean, variance = np.asarray(z)[..., 1], np.exp(np.asarray(z)[..., 3])
  nats = (mean**2 + variance - 1 - np.log(variance)) / 2
  assert nats.mean() > 0.5
  np.testing.assert_allclose(loss, 0.5 + nats.mean(), rtol=1e-5)
  assert not np.any(gradient[..., 0::2]) and np.all(gradient[..., 1] != 0)


@pytest.mark.parametrize('noise', [None, 0.5])
def test_training_samples_the_posterior_and_codes_are_its_mean(noise):
  of = vae.Vae(dim=2, noise=noise)
  z = features(of.num_channels, (4000, 1))
  mean, log_variance = of.posterior(z)
  sampled = jax.jit(of, static_argnums=4)({}, {}, z, jax.random.key(3), True)
  scaled = np.asarray((sampled.z - mean) * jnp.exp(-log_variance / 2))
  assert abs(scaled.mean()) < 0.05 and abs(scaled.std() - 1) < 0.03
  plain = of({}, {}, z, jax.random.key(3), False)
  np.testing.assert_array_equal(plain.z, mean)
  assert plain.losses == {} and of.kind == spec_lib.Vectors(2)
  for made in (sampled, plain):
    np.testing.assert_array_equal(of.dequantise({}, {}, made.codes, (1,)), made.z)
  np.testing.assert_array_equal(of.codes_of({}, {}, z), plain.codes)


def test_an_encoder_that_runs_away_is_kept_finite():
  z = np.array([[[1e4] * 4, [-1e4] * 4]], np.float32)
  value, gradient = value_and_gradient(vae.Vae(dim=2), z)
  assert np.isfinite(value) and np.isfinite(gradient).all()


def test_vectors_are_not_corrupted():
  with pytest.raises(ValueError, match='are vectors, which nothing replaces'):
    vae.Vae().corrupt(jax.random.key(3), jnp.zeros((1, 2, 4)), 0.5)
