r"""What masking shares, whatever a token is: t *is* the probability that it is hidden.

No schedule: the bound depends only on how often each level is visited (MDLM, arXiv:2406.07524; MD4,
arXiv:2406.04329), so what others call one is the density of levels in training (the draw) and the
grid in sampling (the spacing).

  loss   -log p(x0) <= E_{t ~ U(0, 1)} 1/t sum_{hidden} -log p(x0_i | xt)    MDLM eq. 10
  bound  the same integral with exactly k of a block's B tokens hidden, k uniform on 1..B, weight
         B / k (LLaDA, arXiv:2502.09992, eq. 14; ARDM, arXiv:2110.02037, eq. 5): no level noise, no
         missing mass below a floor. One token a block: k = B = 1, and the bound is the chain rule.
  step   a hidden token is revealed with probability (t - s) / t, sampled from p(x0_i | xt); others
         stay.
"""

import abc

import jax
import jax.numpy as jnp

from adiff.process import base
from adiff.sequence import tokens as tokens_lib

FLOOR = 1e-3  # of t in the weight 1/t


class Absorbing(base.Process):
  """Masking; what a token is, and what its outputs say of it, is for subclasses to tell."""

  absorbing = True

  @abc.abstractmethod
  def masks(self, shape) -> jax.Array:
    """Tokens of shape (B, N), all of them hidden."""

  @abc.abstractmethod
  def hidden(self, x) -> jax.Array:
    """bool [B, N]: which tokens are."""

  @abc.abstractmethod
  def nats(self, out, x0) -> jax.Array:
    """[B, N]: what hidden tokens cost."""

  @abc.abstractmethod
  def sample(self, key, out, wanted) -> jax.Array:
    """Tokens of the law that `out` is, like x0; key [B, N], one a token. Where they are not wanted
    [B, N] they may be anything."""

  def prior(self, key, shape):
    return self.masks(shape)

  def add_noise(self, key, x0, t):
    hidden = base.sampled(jax.random.uniform, key, x0.shape[:2]) < t
    return self._hide(hidden, x0)

  def complement(self, xt, x0):
    """x0 with exactly those tokens hidden that xt shows."""
    return self._hide(~self.hidden(xt), x0)

  def _hide(self, which, x0):
    return tokens_lib.pick(which, self.masks(x0.shape[:2]).astype(x0.dtype), x0)

  def loss(self, out, x0, xt, t):
    return jnp.where(self.hidden(xt), self.nats(out, x0) / jnp.maximum(t, FLOOR), 0)

  def carries(self, xt, t):
    return self.hidden(xt)

  def step(self, key, out, xt, t, s):
    key_when, key_what = base.split(key)
    reveal = base.sampled(jax.random.uniform, key_when, t.shape) * t < t - s
    wanted = self.hidden(xt) & reveal
    return tokens_lib.pick(wanted, self.sample(key_what, out, wanted), xt)

  def bound_noise(self, key, x0, u, blocks, free):
    count = blocks.sum_per_block(free.astype(jnp.float32))
    hidden = jnp.minimum(jnp.floor(u * count) + 1, count)
    which = ranks(key, free, blocks) < blocks.per_token(hidden).astype(jnp.int32)
    sizes = jnp.asarray(blocks.sizes, jnp.float32)[None]
    return self._hide(which, x0), blocks.per_token(hidden / sizes)

  def bound_known(self, xt, t, blocks, free):
    # k of n free tokens stand for n of B; unknown ones are hidden as well
    sizes = jnp.float32(blocks.sizes)[None]
    hidden = self.hidden(xt).astype(t.dtype)
    weight = blocks.sum_per_block(free.astype(t.dtype)) / sizes
    return weight, blocks.per_token(blocks.sum_per_block(hidden) / sizes)

  def bound(self, out, x0, xt, t):
    return jnp.where(self.hidden(xt), self.nats(out, x0) / jnp.where(t > 0, t, 1), 0)


def ranks(key, free, blocks) -> jax.Array:
  """int [B, N]: a token's place in a random order of its block, the free [B, N] tokens first."""
  block = jnp.broadcast_to(jnp.asarray(blocks.block_of_token), free.shape)
  order = jnp.lexsort((jax.random.uniform(key, free.shape), ~free, block), axis=-1)
  return jnp.argsort(order, axis=-1) - blocks.per_token(blocks.first_token[:-1])[None]
