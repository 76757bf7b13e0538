"""What noise is: the interface that training, sampling and likelihood share.

Shapes: x [B, N] int (symbols) or [B, N, D] float, t and s [B, N] levels in [0, 1] (0 clean, 1
noise, s <= t), out [B, N, O] the raw network output. A `key` is one PRNG key, or keys [B, N], one a
token: then a token's noise does not depend on the batch or the window it is computed in.
"""

import abc
import functools
from typing import Any

import jax
import jax.numpy as jnp

from adiff.sequence import blocks as blocks_lib


class Process(abc.ABC):
  """Subclasses are frozen dataclasses, and final."""

  discrete: bool  # symbols, or vectors of floats?
  # what the network embeds of a token: symbols are looked up, floats projected; and what it emits.
  # Of several kinds: a number a kind, ((kind, number), ..)
  num_inputs: int | tuple[tuple[str, int], ...]
  num_outputs: int | tuple[tuple[str, int], ...]
  mask_id: int | None = None  # the symbol that stands for "unknown", where there is one
  absorbing: bool = False  # is a noised token always the mask? Then it is known which are noise
  by_law: bool = False  # is it for heads alone that are a law by themselves? See sequence/head.py
  bin: float | None = None  # step of the lattice that floats lie on, if they do
  has_ode: bool = False  # is there a deterministic step, `move`?
  eta: float = 0.0  # share of fresh noise in `step`, where has_ode; 0: it is `move`

  @property
  def criterion(self) -> Any:
    """What a head compares outputs with clean tokens by: `loss`; of several kinds {kind: it}."""
    return self.loss

  def of(self, kind) -> 'Process':
    """The process of one of the kinds of tokens."""
    del kind
    return self

  @abc.abstractmethod
  def prior(self, key, shape) -> jax.Array:
    """x at level 1, shape (B, N); of several kinds (B, runs), see tokens.py."""

  @abc.abstractmethod
  def add_noise(self, key, x0, t) -> jax.Array:
    """xt ~ q(xt | x0); x0 itself where t == 0."""

  def complement(self, xt, x0) -> jax.Array:
    """x0 with exactly those tokens noised that xt shows; of absorbing noise alone."""
    raise ValueError(f'{type(self).__name__} noise does not show which tokens it hides')

  @abc.abstractmethod
  def x0_hat(self, out, xt, t) -> jax.Array:
    """Expected x0 [B, N, D], or for symbols the probabilities of x0 [B, N, V]."""

  @abc.abstractmethod
  def loss(self, out, x0, xt, t) -> jax.Array:
    """The training objective [B, N], not reduced; 0 where t == 0."""

  def carries(self, xt, t) -> jax.Array:
    """bool [B, N]: where `loss` may be more than 0."""
    return t > 0

  @abc.abstractmethod
  def step(self, key, out, xt, t, s) -> jax.Array:
    """xs: one first-order reverse step t -> s <= t; xt itself where s == t."""

  def reverse(self, x0, xt, t, s) -> tuple[jax.Array, jax.Array]:
    """(mean, deviation [B, N, 1]) of the normal that `step` samples, x0 told; where has_ode."""
    raise ValueError(f'{type(self).__name__} noise has no normal step')

  def scales(self, t) -> tuple[jax.Array, jax.Array]:
    """(alpha, sigma) at t [..] -> [.., 1]; where has_ode."""
    raise ValueError(f'{type(self).__name__} noise has no signal and noise scale')

  def move(self, xt, x0, t, s) -> jax.Array:
    """The deterministic step t -> s with x0 as the estimate; where has_ode."""
    raise ValueError(f'{type(self).__name__} noise has no deterministic step')

  def velocity(self, xt, x0, t) -> jax.Array:
    """dx/dt of the ODE that `move` follows, with x0 as the estimate, where t > 0; where has_ode."""
    raise ValueError(f'{type(self).__name__} noise has no deterministic step')

  def estimate(self, out, xt, t) -> jax.Array:
    """x0_hat as deterministic steps use it; where has_ode."""
    raise ValueError(f'{type(self).__name__} noise has no deterministic step')

  def levels(self, count) -> jax.Array:
    """[count] levels from data to noise, between which likelihoods are measured; where has_ode."""
    raise ValueError(f'{type(self).__name__} noise has no signal and noise scale')

  def reading(self, x0, xt, t) -> jax.Array:
    """-log p(x0 | xt) [B, N] nats at the first of `levels`, where x0 is read; where has_ode."""
    raise ValueError(f'{type(self).__name__} noise has no signal and noise scale')

  @abc.abstractmethod
  def bound_noise(self, key, x0, u, blocks: blocks_lib.Blocks, free) -> tuple[jax.Array, jax.Array]:
    """(xt, t [B, N]) for `bound`, from u [B, K] uniform in [0, 1): the levels that estimate the
    bound best. free [B, N] bool: the others are known, and stay."""

  def bound_known(self, xt, t, blocks: blocks_lib.Blocks, free) -> tuple[jax.Array, jax.Array]:
    """(weight [B, K], levels [B, N] that the network is told) where the tokens that are not free
    [B, N] are known: they are at level 0 in xt, and `bound` is multiplied by the weight."""
    return jnp.ones((len(t), blocks.num_blocks), t.dtype), jnp.where(free, t, 0)

  @abc.abstractmethod
  def bound(self, out, x0, xt, t) -> jax.Array:
    """[B, N] nats, whose mean over `bound_noise`, summed over tokens, is at least -log p(x0)."""

  def beside_levels(self, x0, xt, t) -> jax.Array:
    """[B, N] nats of `bound` that are spent at no level: what its ends cost, control variates."""
    return jnp.zeros(t.shape, jnp.float32)


def sampled(sample, key, shape) -> jax.Array:
  """sample(key, shape) from one key, or from keys that lead `shape`, each making its own part."""

  def of_token(key_of_token):
    return sample(key_of_token, shape[key.ndim:])

  for _ in range(key.ndim):
    of_token = jax.vmap(of_token)
  return of_token(key)


def split(key, num=2) -> list[jax.Array]:
  """jax.random.split for one key or an array of keys: a list of `num`."""
  if key.ndim == 0:
    return list(jax.random.split(key, num))
  part = jax.random.fold_in
  for _ in range(key.ndim):
    part = jax.vmap(part, in_axes=(0, None))
  return [part(key, index) for index in range(num)]


def categorical(key, logits) -> jax.Array:
  """Symbols ~ softmax(logits [.., V]) in float32; low-precision Gumbel noise would act as an
  undeclared temperature."""
  gumbel = functools.partial(jax.random.gumbel, dtype=jnp.float32, mode='high')
  logits = logits.astype(jnp.float32)
  return jnp.argmax(logits + sampled(gumbel, key, logits.shape), axis=-1).astype(jnp.int32)


def cross_entropy(out, x0) -> jax.Array:
  """-log softmax(out)[x0] in float32 nats: out [.., V], x0 [..]."""
  log_p = jax.nn.log_softmax(out.astype(jnp.float32))
  return -jnp.take_along_axis(log_p, x0[..., None], axis=-1)[..., 0]
