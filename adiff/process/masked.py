"""Masked (absorbing) noise on symbols: symbol V is the mask; see absorbing.py."""

import dataclasses

import jax
import jax.numpy as jnp

from adiff.process import absorbing, base


@dataclasses.dataclass(frozen=True)
class Masked(absorbing.Absorbing):
  """Masking of tokens with `vocab` symbols; outputs are logits."""

  vocab: int

  discrete = True

  @property
  def num_inputs(self) -> int:
    return self.vocab + 1

  @property
  def num_outputs(self) -> int:
    return self.vocab

  @property
  def mask_id(self) -> int:
    return self.vocab

  def masks(self, shape):
    return jnp.full(shape, self.mask_id, jnp.int32)

  def hidden(self, x):
    return x == self.mask_id

  def nats(self, out, x0):
    return base.cross_entropy(out, x0)

  def sample(self, key, out, wanted):
    return base.categorical(key, out)

  def x0_hat(self, out, xt, t):
    known = jax.nn.one_hot(xt, self.vocab, dtype=jnp.float32)
    return jnp.where(self.hidden(xt)[..., None], jax.nn.softmax(out.astype(jnp.float32)), known)
