"""Draws: how noisy each block is in training.

A draw maps (key, (B, K)) to levels [B, K]. It is stratified over the whole batch x blocks and then
permuted: each level is visited equally often, and no example or block is always the easy one (ARDM,
arXiv:2110.02037, permutes for the same reason).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Draw = Callable[[jax.Array, tuple[int, int]], jax.Array]


def _stratified(quantile, shared=False) -> Draw:
  """The draw whose levels are quantile(u), u stratified over batch x blocks, then permuted; shared:
  one u an example."""

  def draw(key, shape):
    key_jitter, key_order = jax.random.split(key)
    count = shape[0] if shared else shape[0] * shape[1]
    u = (jnp.arange(count, dtype=jnp.float32) + jax.random.uniform(key_jitter, (count,))) / count
    u = jax.random.permutation(key_order, u)
    u = jnp.broadcast_to(u[:, None], shape) if shared else u.reshape(shape)
    return quantile(u)

  return draw


def uniform(low=0.0, high=1.0, *, shared=False) -> Draw:
  """Uniform in [low, high]."""
  return _stratified(lambda u: low + (high - low) * u, shared)


def clipped(low, high, *, shared=False) -> Draw:
  """Uniform in a window inside (0, 1): lower gradient variance in training (BD3-LM, section 5).
  Never for likelihoods."""
  if not 0 <= low < high <= 1:
    raise ValueError(f'a clipped window needs 0 <= low < high <= 1, not low={low}, high={high}')
  return uniform(low, high, shared=shared)


def logit_normal(mean=0.0, std=1.0, *, shared=False) -> Draw:
  """sigmoid(normal(mean, std)) (Esser et al. 2024, arXiv:2403.03206, section 3.1)."""
  tiny = jnp.finfo(jnp.float32).eps
  return _stratified(
    lambda u: jax.nn.sigmoid(mean + std * jax.scipy.special.ndtri(jnp.clip(u, tiny, 1 - tiny))),
    shared,
  )


def ones() -> Draw:
  """All noise, always: with masked tokens, the chain rule of an autoregressive model."""
  return lambda key, shape: jnp.ones(shape, jnp.float32)


def atoms(draw: Draw, *, zero=0.0, one=0.0) -> Draw:
  """`draw`, but level 0 with probability `zero` and level 1 with probability `one`.

  With history None the past is met at level 0 in sampling, so training must show level 0 to the
  network.
  """
  if zero < 0 or one < 0 or zero + one > 1:
    raise ValueError(
      f'atoms need zero >= 0, one >= 0 and zero + one <= 1, not zero={zero}, one={one}'
    )

  def with_atoms(key, shape):
    key_level, key_atom = jax.random.split(key)
    which = uniform()(key_atom, shape)
    level = draw(key_level, shape)
    return jnp.where(which < zero, 0.0, jnp.where(which > 1 - one, 1.0, level))

  return with_atoms
