r"""Masked (absorbing) noise: t *is* the probability that a token is masked; symbol V is the mask.

No schedule: the bound depends only on how often each level is visited (MDLM, arXiv:2406.07524; MD4,
arXiv:2406.04329), so what others call one is the density of levels in training (the draw) and the
grid in sampling (the spacing).

  loss   -log p(x0) <= E_{t ~ U(0, 1)} 1/t sum_{masked} -log p(x0_i | xt)    MDLM eq. 10
  bound  the same integral with exactly k of a block's B tokens masked, k uniform on 1..B, weight
         B / k (LLaDA, arXiv:2502.09992, eq. 14; ARDM, arXiv:2110.02037, eq. 5): no level noise, no
         missing mass below a floor. One token a block: k = B = 1, and the bound is the chain rule.
  step   a masked token is revealed with probability (t - s) / t, drawn from p(x0_i | xt); others
         stay.
"""

import dataclasses

import jax
import jax.numpy as jnp

from adiff.process import base

FLOOR = 1e-3  # of t in the weight 1/t


@dataclasses.dataclass(frozen=True)
class Masked(base.Process):
  """Masking of tokens with `vocab` symbols."""

  vocab: int

  discrete = True
  absorbing = True

  @property
  def num_inputs(self) -> int:
    return self.vocab + 1

  @property
  def num_outputs(self) -> int:
    return self.vocab

  @property
  def mask_id(self) -> int:
    return self.vocab

  def prior(self, key, shape):
    return jnp.full(shape, self.mask_id, jnp.int32)

  def add_noise(self, key, x0, t):
    hidden = base.sampled(jax.random.uniform, key, x0.shape) < t
    return jnp.where(hidden, self.mask_id, x0)

  def complement(self, xt, x0):
    """x0 with exactly those tokens masked that xt shows."""
    return jnp.where(xt == self.mask_id, x0, self.mask_id)

  def x0_hat(self, out, xt, t):
    known = jax.nn.one_hot(xt, self.vocab, dtype=jnp.float32)
    return jnp.where(
      (xt == self.mask_id)[..., None], jax.nn.softmax(out.astype(jnp.float32)), known
    )

  def loss(self, out, x0, xt, t):
    nats = base.cross_entropy(out, x0) / jnp.maximum(t, FLOOR)
    return jnp.where(xt == self.mask_id, nats, 0)

  def carries(self, xt, t):
    return xt == self.mask_id

  def step(self, key, out, xt, t, s):
    key_when, key_what = base.split(key)
    reveal = base.sampled(jax.random.uniform, key_when, xt.shape) * t < t - s
    symbols = base.categorical(key_what, out)
    return jnp.where((xt == self.mask_id) & reveal, symbols, xt)

  def bound_noise(self, key, x0, u, blocks, free):
    count = blocks.sum_per_block(free.astype(jnp.float32))
    masked = jnp.minimum(jnp.floor(u * count) + 1, count)
    hidden = ranks(key, free, blocks) < blocks.per_token(masked).astype(jnp.int32)
    sizes = jnp.asarray(blocks.sizes, jnp.float32)[None]
    return jnp.where(hidden, self.mask_id, x0), blocks.per_token(masked / sizes)

  def bound_known(self, xt, t, blocks, free):
    # k of n free tokens stand for n of B; unknown ones are masked as well
    sizes = jnp.float32(blocks.sizes)[None]
    hidden = (xt == self.mask_id).astype(t.dtype)
    weight = blocks.sum_per_block(free.astype(t.dtype)) / sizes
    return weight, blocks.per_token(blocks.sum_per_block(hidden) / sizes)

  def bound(self, out, x0, xt, t):
    nats = base.cross_entropy(out, x0) / jnp.where(t > 0, t, 1)
    return jnp.where(xt == self.mask_id, nats, 0)


def ranks(key, free, blocks) -> jax.Array:
  """int [B, N]: a token's place in a random order of its block, the free [B, N] tokens first."""
  block = jnp.broadcast_to(jnp.asarray(blocks.block_of_token), free.shape)
  order = jnp.lexsort((jax.random.uniform(key, free.shape), ~free, block), axis=-1)
  return jnp.argsort(order, axis=-1) - blocks.per_token(blocks.first_token[:-1])[None]
