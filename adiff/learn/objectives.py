"""Variations of the loss that are more than a way to prepare a batch."""

import dataclasses

import jax
import jax.numpy as jnp

from adiff.process import base as process_base


def complementary(key_level, key_noise, x0, blocks, process, draw) -> tuple[jax.Array, jax.Array]:
  """(levels [B, K], xt [B, N]) of a batch whose second half repeats the first: what hides a token
  in one shows it in the other (LLaDA2.0, arXiv:2512.15745). A loss.Corrupt, for absorbing noise."""
  first = x0[:len(x0) // 2]
  levels = draw(key_level, (len(first), blocks.num_blocks))
  xt = process.add_noise(key_noise, first, blocks.per_token(levels))
  hidden = process.complement(xt, first)
  return jnp.concatenate([levels, 1 - levels]), jnp.concatenate([xt, hidden])


@dataclasses.dataclass(frozen=True)
class NextToken:
  """Adds `weight` times the autoregressive loss that the outputs of a token-causal history copy
  carry (Blocks.causal): -log p(next token), averaged; the first token of a document has none before
  it."""

  weight: float
  name = 'next_token'  # of the scalar

  def weights(self, weight, documents) -> jax.Array:
    """[B, N - 1] of all tokens but the first; arguments as in loss.loss."""
    weight = weight[:, 1:]
    if not documents:
      return weight
    segment = documents['segment']
    return jnp.where(segment[:, 1:] == segment[:, :-1], weight, 0)

  def nats(self, head, h, key, ask, x0, weight) -> jax.Array:
    """Sum of weight * nats []; weight: `weights`, h [B, S, W] of both streams, the rest as in
    loss.loss."""
    history = h[:, x0.shape[1]:-1]
    return head.loss(history, key, ask, process_base.cross_entropy, weight, x0[:, 1:])[0]


def doubled(batch) -> dict[str, jax.Array]:
  """The batch behind itself, as `complementary` wants it."""
  return jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), batch)
