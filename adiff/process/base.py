"""What noise is: the interface that training, sampling and likelihood share.

Shapes: x [B, N] int (symbols) or [B, N, D] float, t and s [B, N] levels in [0, 1] (0 clean, 1
noise, s <= t), out [B, N, O] the raw network output. A `key` is one PRNG key, or keys [B, N], one a
token: then a token's noise does not depend on the batch or the window it is computed in.
"""

import abc

import jax
import jax.numpy as jnp

from adiff.sequence import blocks as blocks_lib


class Process(abc.ABC):
  """Subclasses are frozen dataclasses, and final."""

  # What the network embeds (symbols are looked up, floats are projected) and emits per token.
  discrete: bool
  num_inputs: int
  num_outputs: int
  # Does the bound visit numbers of hidden tokens rather than levels?
  counts: bool = False

  @abc.abstractmethod
  def prior(self, key, shape):
    """x at level 1, shape (B, N)."""

  @abc.abstractmethod
  def add_noise(self, key, x0, t):
    """xt ~ q(xt | x0); x0 itself where t == 0."""

  @abc.abstractmethod
  def x0_hat(self, out, xt, t):
    """Expected x0 [B, N, D], or for symbols the probabilities of x0 [B, N, V]."""

  @abc.abstractmethod
  def loss(self, out, x0, xt, t):
    """The training objective [B, N], not reduced; 0 where t == 0."""

  def carries(self, xt, t):
    """bool [B, N]: where `loss` may be more than 0."""
    return t > 0

  @abc.abstractmethod
  def step(self, key, out, xt, t, s):
    """xs: one first-order reverse step t -> s <= t; xt itself where s == t."""

  @abc.abstractmethod
  def bound_noise(self, key, x0, u, blocks: blocks_lib.Blocks, free):
    """(xt, t [B, N]) for `bound`, from u [B, K] uniform in [0, 1): the levels that estimate the
    bound best. free [B, N] bool: the others are known, and stay."""

  @abc.abstractmethod
  def bound(self, out, x0, xt, t):
    """[B, N] nats: averaged over `bound_noise` and summed over tokens, an upper bound on -log
    p(x0)."""


def draw(sample, key, shape):
  """sample(key, shape) from one key, or from keys that lead `shape`, each making its own part."""
  if key.ndim == 0:
    return sample(key, shape)
  one = lambda k: sample(k, shape[key.ndim:])
  for _ in range(key.ndim):
    one = jax.vmap(one)
  return one(key)


def split(key, num=2):
  """jax.random.split for one key or an array of keys: a list of `num`."""
  if key.ndim == 0:
    return list(jax.random.split(key, num))
  part = jax.random.fold_in
  for _ in range(key.ndim):
    part = jax.vmap(part, in_axes=(0, None))
  return [part(key, index) for index in range(num)]


def categorical(key, logits):
  """Symbols ~ softmax(logits [.., V]) in float32; low-precision Gumbel noise would act as an
  undeclared temperature."""
  logits = logits.astype(jnp.float32)
  gumbel = draw(
    lambda k, shape: jax.random.gumbel(k, shape, jnp.float32, mode='high'), key, logits.shape
  )
  return jnp.argmax(logits + gumbel, axis=-1).astype(jnp.int32)


def cross_entropy(out, x0):
  """-log softmax(out)[x0] in float32 nats: out [.., V], x0 [..]."""
  log_p = jax.nn.log_softmax(out.astype(jnp.float32))
  return -jnp.take_along_axis(log_p, x0[..., None], axis=-1)[..., 0]
