"""As many tokens as are surely almost independent (EB-sampler, Ben-Hamu et al. 2025,
arXiv:2505.24857, eq. 9).

Revealing a set of tokens at once errs by what they say about each other, at most the sum of their
entropies less the largest. Tokens are taken in order of entropy while that bound holds.
"""

import dataclasses

import jax.numpy as jnp

from adiff.sample.solvers import unmasking
from adiff.sequence import values


@dataclasses.dataclass(frozen=True)
class EntropyBound(unmasking.Unmasking):
  """Reveals the longest prefix whose error is at most `bound` nats a call; 0.0: one token a call
  (and those without entropy), of the exact law."""

  bound: values.NotNegative = 0.1

  def __post_init__(self):
    values.check_fields(self, 'solver')

  def select(self, key, probs, eligible, t, s):
    nats = -jnp.sum(probs * jnp.log(jnp.where(probs > 0, probs, 1)), axis=-1)
    nats = jnp.where(eligible, jnp.maximum(nats, 0), jnp.inf)
    order = jnp.argsort(nats, axis=1)
    # In ascending order the largest of a prefix is its last: the error is the sum before it.
    total = jnp.cumsum(jnp.take_along_axis(nats, order, axis=1), axis=1)
    error = jnp.concatenate([jnp.zeros_like(total[:, :1]), total[:, :-1]], axis=1)
    return jnp.take_along_axis(error, jnp.argsort(order, axis=1), axis=1) <= self.bound
