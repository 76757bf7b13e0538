"""Entropies of soft codes, which keep a codebook in use (Yu et al. 2023, arXiv:2310.05737).

A feature z takes code v with probability p_v(z), the softmax of -|z - e_v|^2 / temperature. Each
feature should be sure of its code and all codes should be used: mean H(p(z)) is to be small,
H(mean p(z)) large. Both in nats.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Entropies(NamedTuple):
  """Two scalars, in nats."""

  each: jax.Array  # mean of a feature's entropy
  mean: jax.Array  # entropy of the mean of all features

  def loss(self, diversity) -> jax.Array:
    """each - diversity * mean."""
    return self.each - diversity * self.mean


def of_logits(logits) -> Entropies:
  """logits [n, V], of softmax over all codes."""
  log_p = jax.nn.log_softmax(logits)
  p = jnp.exp(log_p)
  return Entropies(-jnp.mean(jnp.sum(p * log_p, -1)), _entropy(jnp.mean(p, 0)))


def of_bits(logits, group) -> Entropies:
  """logits [n, d] of bits that are independent given the feature: softmax over the 2^d codes.

  `each` is a sum over bits. `mean` is exact for d <= group, and costs n 2^d products but n 2^(d/2)
  memory, as a code's probability is that of its first half times that of its second. For more bits
  it is the sum over groups of so many, an upper bound (Zhao et al. 2024, arXiv:2406.07548, has
  groups of one).
  """
  p = jax.nn.sigmoid(logits)
  each = jnp.sum(p * jax.nn.softplus(-logits) + (1 - p) * jax.nn.softplus(logits), -1)
  starts = range(0, logits.shape[1], group)
  return Entropies(jnp.mean(each), sum(_of_group(p[:, at:at + group]) for at in starts))


def _of_group(p):
  """Entropy of the mean law of a few bits [n, d]."""
  first, second = _joint(p[:, :p.shape[1] // 2]), _joint(p[:, p.shape[1] // 2:])
  mean = jnp.matmul(first.T, second, precision=jax.lax.Precision.HIGHEST) / len(p)
  return _entropy(mean.reshape(-1))


def _joint(p):
  """Probabilities of bits [n, d] -> of their 2^d codes [n, 2^d]."""
  codes = jnp.ones_like(p, shape=(len(p), 1))
  for bit in range(p.shape[1]):
    one = p[:, bit:bit + 1]
    codes = jnp.concatenate([codes * (1 - one), codes * one], -1)
  return codes


def _entropy(p):
  return -jnp.sum(p * jnp.log(jnp.maximum(p, 1e-30)))
