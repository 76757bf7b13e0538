"""Truncated sampling: temperature, top-k and nucleus, as a cut of the law of symbols.

The cut changes the law that is sampled, never a likelihood, nor which tokens are surest: it is an
argument of the walk, and solvers apply it to the draw alone.
"""

import functools
import numbers
from typing import Any

import jax
import jax.numpy as jnp

from adiff.sample.solvers import base

UNCUT = {'temperature': 1.0, 'top_k': 0, 'top_p': 1.0}
NEVER = -1e30  # logit of a symbol that was cut: softmax gives exactly 0, and sums stay finite


def narrow(*, temperature=1.0, top_k=0, top_p=1.0) -> base.Narrow:
  """`shape_logits` of these numbers; base.uncut where nothing is to be cut (temperature 1, top_k 0,
  top_p 1)."""
  check(temperature, top_k, top_p)
  if (temperature, top_k, top_p) == (1, 0, 1):
    return base.uncut
  return functools.partial(shape_logits, temperature=temperature, top_k=top_k, top_p=top_p)


def shape_logits(logits, *, temperature=1.0, top_k=0, top_p=1.0) -> jax.Array:
  """log of the truncated law, float32 [.., V]; NEVER for symbols that were cut.

  In this order: logits [.., V] are divided by `temperature` (0: only the most likely symbol stays,
  the first of equals); the `top_k` most likely symbols stay (0: all), with those as likely as the
  last of them; and of these, by nucleus (Holtzman et al., arXiv:1904.09751, section 3.1), every
  symbol whose strictly more likely ones have less than `top_p` of the mass: so the one that crosses
  top_p stays, with those as likely. Raises ValueError for values outside these ranges.
  """
  check(temperature, top_k, top_p)
  logits = logits.astype(jnp.float32)
  vocab = logits.shape[-1]
  if temperature == 0:
    best = jax.nn.one_hot(jnp.argmax(logits, axis=-1), vocab, dtype=bool)
    return jnp.where(best, jnp.zeros_like(logits), NEVER)
  logits = (logits - jnp.max(logits, axis=-1, keepdims=True)) / temperature
  if 0 < top_k < vocab:
    last = jax.lax.top_k(logits, top_k)[0][..., -1:]
    logits = jnp.where(logits >= last, logits, NEVER)
  if top_p < 1:
    ranked = jnp.sort(logits, axis=-1, descending=True)
    p = jax.nn.softmax(ranked)
    likelier = jnp.cumsum(p, axis=-1) - p
    last = jnp.min(jnp.where(likelier < top_p, ranked, jnp.inf), axis=-1, keepdims=True)
    logits = jnp.where(logits >= last, logits, NEVER)
  return jnp.maximum(jax.nn.log_softmax(logits), NEVER)


def needs(parts: Any) -> None:
  """Raises ValueError where the config cuts no law, or the law of tokens that are floats."""
  settings = dict(parts.config.truncation)
  check(**settings)
  if settings != UNCUT and not any(kind.discrete for kind in parts.spec.kinds):
    raise ValueError('config.truncation cuts laws of symbols and these tokens are floats; unset it')


def check(temperature, top_k, top_p) -> None:
  """Raises ValueError for numbers that cut no law."""
  if not 0 <= temperature < float('inf'):
    raise ValueError(
      f'temperature must be a finite number >= 0 (1 changes nothing, 0 takes the most likely '
      f'symbol), not {temperature}'
    )
  if not isinstance(top_k, numbers.Integral) or isinstance(top_k, bool) or top_k < 0:
    raise ValueError(f'top_k must be a whole number of symbols, or 0 for all, not {top_k}')
  if not 0 < top_p <= 1:
    raise ValueError(f'top_p must be a mass in (0, 1] (1 cuts nothing), not {top_p}')
