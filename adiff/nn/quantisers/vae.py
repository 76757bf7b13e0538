"""Gaussian latents (Kingma and Welling 2013, arXiv:1312.6114).

Tokens are vectors z ~ N(mean, std^2), drawn to the prior N(0, 1) by

  loss = kl * sum_c max(free, mean over examples and places of KL_c),
  KL_c = (mean_c^2 + std_c^2 - 1 - log std_c^2) / 2   in nats,

where a channel that tells less than `free` nats a token costs the same (free bits, Kingma et al.
2016, arXiv:1606.04934). The encoder makes the mean and log std^2, or, with `noise`, the mean alone:
std is that number, and the prior keeps the means from outgrowing it. Codes are the mean; in
training z is sampled.
"""

import dataclasses

import jax
import jax.numpy as jnp

from adiff.nn.quantisers import base
from adiff.sequence import spec as spec_lib
from adiff.sequence import values

LOG_VARIANCE = (-30.0, 20.0)  # beyond, exp and the KL leave float32


@dataclasses.dataclass(frozen=True)
class Vae(base.Quantiser):
  """Vectors of `dim` floats."""

  dim: values.Count = 4
  kl: values.NotNegative = 1e-3  # weight; of the order of the reconstruction's variance
  free: values.NotNegative = 0.0  # nats a channel and token that cost nothing more
  noise: values.Positive | None = None  # deviation of all latents; None: the encoder's

  def __post_init__(self):
    super().__post_init__()

  @property
  def num_channels(self):
    return self.dim if self.noise is not None else 2 * self.dim

  @property
  def kind(self):
    return spec_lib.Vectors(self.dim)

  def __call__(self, params, extra, z, key, train):
    mean, log_variance = self.posterior(z)
    if not train:
      return base.Quantised(mean, self.codes_of(params, extra, z), {}, extra)
    sampled = mean + jnp.exp(log_variance / 2) * jax.random.normal(key, mean.shape)
    nats = (mean**2 + jnp.exp(log_variance) - 1 - log_variance) / 2
    nats = jnp.mean(nats, tuple(range(z.ndim - 1)))
    losses = {'kl': self.kl * jnp.sum(jnp.maximum(nats, self.free))}
    codes = jax.lax.stop_gradient(base.flat(sampled, 1))
    return base.Quantised(sampled, codes, losses, extra)

  def codes_of(self, params, extra, z):
    return jax.lax.stop_gradient(base.flat(self.posterior(z)[0], 1))

  def dequantise(self, params, extra, codes, grid):
    return codes.reshape(len(codes), *grid, self.dim)

  def corrupt(self, key, codes, share):
    raise ValueError('the codes of quantiser vae are vectors, which nothing replaces; take noise')

  def posterior(self, z):
    """Features [.., num_channels] -> (mean, log std^2), both [.., dim]."""
    self.check(z)
    if self.noise is not None:
      return z, jnp.full_like(z, 2 * jnp.log(self.noise))
    mean, log_variance = jnp.split(z, 2, axis=-1)
    return mean, jnp.clip(log_variance, *LOG_VARIANCE)
