"""Likelihoods in nats: exact for autoregression, upper bounds on -log p(x0) for the rest.

The chain rule over blocks, -log p(x0) = sum_k -log p(block k | clean blocks before it), holds when
the history is clean, so every model is evaluated with a clean history copy, however it was trained.
Each block's term is the process's own bound, estimated at levels stratified over batch x blocks.
With masked tokens the bound belongs to a sampler that reveals so many random tokens in each call
(ARDM, arXiv:2110.02037, section 3): one at a time unless `reveals` says otherwise. Where every
block is revealed in one call, as in autoregression and in next-scale prediction, it is no estimate
but the likelihood itself.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adiff.sequence import ask as ask_lib
from adiff.sequence import draw as draw_lib
from adiff.sequence import tokens as tokens_lib


class Sample(NamedTuple):
  """One unbiased sample of a bound, by block."""

  nats: jax.Array  # [B, K]
  level: jax.Array  # [B, K] at which the network was asked
  spent: jax.Array  # [B, K], those of the nats that lie at the level; the rest lies at none


def bound(
  denoise: ask_lib.Denoise, key, x0, *, blocks, process, coords, reveals=None, known=None,
  documents=None,
) -> Sample:
  """A sample of the bound. denoise, coords and documents as in `loss`.

  reveals: for absorbing noise, how many of a block's tokens each call of the sampler reveals, a
  tuple a block that sums to its size; None, for all or for a block: one at a time.
  known: bool [B, N] or None: tokens that are conditioned on (a prompt, padding) and cost nothing;
  where x0 is the mask there, the token is unknown: neither conditioned on nor counted.
  """
  assert x0.shape[1] == blocks.num_tokens, (x0.shape, blocks.num_tokens)
  if reveals is not None and known is not None:
    raise ValueError('a bound with known tokens reveals one at a time; pass reveals=None')
  blocks = dataclasses.replace(blocks, history=0.0)
  free = jnp.ones(x0.shape[:2], bool) if known is None else ~known
  key_level, key_noise, key_head = jax.random.split(key, 3)
  u = draw_lib.uniform()(key_level, (x0.shape[0], blocks.num_blocks))
  u, weight = (u, 1) if reveals is None else _at_calls(u, reveals, blocks.sizes)
  noised, t = process.bound_noise(key_noise, x0, u, blocks, free)
  shown = t  # the levels that the network is told
  if known is not None:
    noised = tokens_lib.pick(free, noised, x0)
    weight, shown = process.bound_known(noised, t, blocks, free)
  x, t_slots = blocks.pack(noised, x0, shown)
  ask = ask_lib.Ask(x, t_slots, blocks.slots(coords, **(documents or {})))
  h, _ = denoise.trunk(ask)
  out = denoise.head.bound(blocks.unpack(h), key_head, ask, x0)
  nats = jnp.where(free, process.bound(out, x0, noised, t), 0)
  spent = jnp.where(free, nats - process.beside_levels(x0, noised, t), 0)
  return Sample(
    blocks.sum_per_block(nats) * weight, t[:, blocks.first_token[:-1]],
    blocks.sum_per_block(spent) * weight,
  )


def _at_calls(u, reveals, sizes):
  """u [B, K] at which as many tokens are masked as before a random call, and the weight that makes
  the bound there that of all calls; of a block that nothing is said of as it was, and 1."""
  said = np.array([own is not None for own in reveals])
  reveals = [(size,) if own is None else own for own, size in zip(reveals, sizes, strict=True)]
  for own, size in zip(reveals, sizes, strict=True):
    if min(own) < 1 or sum(own) != size:
      raise ValueError(f'reveals {own} must be positive and sum to the block size {size}')
  calls = np.array([len(own) for own in reveals])
  revealed, hidden = (np.zeros((len(sizes), calls.max()), np.float32) for _ in range(2))
  for k, own in enumerate(reveals):
    revealed[k, :len(own)], hidden[k, :len(own)] = own, np.cumsum(own[::-1])[::-1]
  call = jnp.minimum((u * jnp.float32(calls)[None]).astype(jnp.int32), calls[None] - 1)
  revealed, hidden = (
    jnp.take_along_axis(jnp.asarray(table)[None], call[..., None], 2)[..., 0]
    for table in (revealed, hidden)
  )
  sizes = jnp.asarray(sizes, jnp.float32)[None]
  weight = revealed * jnp.float32(calls)[None] / sizes
  return jnp.where(said, (hidden - 0.5) / sizes, u), jnp.where(said, weight, 1)


def is_exact(blocks, process, reveals=None) -> bool:
  """Is the bound the likelihood itself, without noise? (Each block revealed in one call.)"""
  reveals = [None] * len(blocks.sizes) if reveals is None else reveals
  one_call = all(
    size == 1 if own is None else len(own) == 1
    for own, size in zip(reveals, blocks.sizes, strict=True)
  )
  return one_call and process.absorbing and not process.by_law


def interval(values) -> tuple[np.ndarray, np.ndarray]:
  """(mean, half width of its 95% interval) over the leading axis; values are independent
  examples. Of one example the width is nan."""
  values = np.asarray(values, np.float64)
  if len(values) == 1:
    return values[0], np.full(values.shape[1:], np.nan)
  return values.mean(0), 1.96 * values.std(0, ddof=1) / np.sqrt(len(values))


def total(nats, *, dims) -> dict[str, float]:
  """Nats an example and bits per dimension, each with its 95% interval, of the nats [n] of examples
  with `dims` values each."""
  (mean, half), to_bits = interval(nats), 1 / (dims * np.log(2))
  return {
    'nats': float(mean), 'ci95': float(half),
    'bits_per_dim': float(mean * to_bits), 'bits_ci95': float(half * to_bits),
  }


def summary(nats, level, spent, *, dims, num_levels=10) -> dict:
  """A report of what `Sample` has, each [n, samples, K] here.

  Returns nats an example with its 95% interval, bits per dimension, the same per block, and the
  nats an example that each bin of the level spends: of all bins together all that lie at levels.
  """
  per_example = np.asarray(nats, np.float64).mean(axis=1)
  block, block_ci = interval(per_example)
  edges = np.linspace(0, 1, num_levels + 1)
  bins = np.clip((np.asarray(level) * num_levels).astype(int), 0, num_levels - 1)
  shares = np.asarray(spent, np.float64) / (len(nats) * np.shape(nats)[1])
  curve = np.bincount(bins.ravel(), shares.ravel(), minlength=num_levels).tolist()
  return {
    **total(per_example.sum(axis=1), dims=dims),
    'per_block': block.tolist(),
    'per_block_ci95': block_ci.tolist(),
    'per_level': {'edges': edges.tolist(), 'values': curve},
    'num_examples': len(nats),
    'samples_per_example': int(np.shape(nats)[1]),
  }
