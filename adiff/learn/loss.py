"""One training loss for every regime: draw levels, add noise, pack, denoise, unpack, compare."""

import chex
import jax
import jax.numpy as jnp

from adiff.process import base as process_base

NUM_LEVELS = 10  # bins of the per-level curve
# Outputs a token from which the network makes the loss itself: that is then the faster way, were
# all tokens to carry it (a fifth at 1024 outputs, a half at 2048; a loss of a tenth at 256).
MANY = 1024


def loss(
  denoise, key, x0, *, blocks, process, draw, coords, weight=None, documents=None,
  complementary=False, next_token=0.0,
):
  """(scalar, {name: scalar, [K] or [NUM_LEVELS]}): the process's objective, averaged over tokens.

  denoise(x [B, S, ..], t, s, slots) -> (out, cache) is all that is known of the network, which is
  told one level a block and stream. Where outputs are MANY it is told the target as well, and makes
  the loss of those that carry one, see nn/head.py. x0 [B, N] or [B, N, D] in block order; coords
  [N, A] in raster order; weight [B, N] or None: 0 for tokens that carry no loss (padding, a
  prompt). Normalised by the weights, not by the noised tokens. Curves are nan where a bin is empty.
  documents: {'segment', 'position'} of packed rows, see Blocks.slots.
  complementary: the second half of the batch repeats the first, and its noise hides exactly what is
  shown there (LLaDA2.0, arXiv:2512.15745). next_token: weight of the autoregressive loss that the
  outputs of a token-causal history copy carry.
  """
  chex.assert_axis_dimension(x0, 1, blocks.num_tokens)
  key_level, key_noise, key_history = jax.random.split(key, 3)
  drawn = len(x0) // 2 if complementary else len(x0)
  levels = draw(key_level, (drawn, blocks.num_blocks))
  xt = process.add_noise(key_noise, x0[:drawn], blocks.per_token(levels))
  if complementary:
    levels = jnp.concatenate([levels, 1 - levels])
    xt = jnp.concatenate([xt, process.complement(xt, x0[:drawn])])
  t = blocks.per_token(levels)
  xh = None
  if blocks.history is not None:
    xh = process.add_noise(key_history, x0, jnp.full_like(t, blocks.history))
  x, t_runs = blocks.pack(xt, xh, levels)
  told = x, t_runs, t_runs, blocks.slots(coords, **(documents or {}))
  weight = jnp.ones_like(t) if weight is None else weight.astype(t.dtype)
  count = jnp.maximum(jnp.sum(weight), 1)
  if process.num_outputs < MANY or next_token:
    out, _ = denoise(*told)
    per_token = process.loss(blocks.unpack(out), x0, xt, t)
    total = jnp.sum(per_token * weight) / count
  else:
    share = jnp.where(process.carries(xt, t), weight / count, 0)
    (total, per_token), _ = denoise(*told, target=(process.loss, share, x0, xt, t))
  value, count = blocks.per_block(per_token * weight), blocks.per_block(weight)
  scalars = {}
  if next_token:
    scalars['next_token'] = _next_token(out[:, blocks.num_tokens:], x0, weight, documents)
    total = total + next_token * scalars['next_token']
  return total, scalars | {
    'loss': total,
    'loss_per_block': jnp.sum(value, axis=0) / jnp.sum(count, axis=0),
    'loss_per_level': by_level(levels, value, count),
  }


def _next_token(out, x0, weight, documents):
  """-log p(next token) of a token-causal history copy, averaged; the first token of a document has
  none before it."""
  nats = process_base.cross_entropy(out[:, :-1], x0[:, 1:])
  weight = weight[:, 1:]
  if documents:
    segment = documents['segment']
    weight = jnp.where(segment[:, 1:] == segment[:, :-1], weight, 0)
  return jnp.sum(nats * weight) / jnp.maximum(jnp.sum(weight), 1)


def by_level(levels, value, count):
  """[B, K] sums and counts -> [NUM_LEVELS] means over equal bins of the level; nan where a bin is
  empty."""
  bins = jnp.clip((levels * NUM_LEVELS).astype(jnp.int32), 0, NUM_LEVELS - 1)
  one_hot = jax.nn.one_hot(bins, NUM_LEVELS, dtype=value.dtype)
  sums = lambda array: jnp.sum(one_hot * array[..., None], axis=(0, 1))
  total, weight = sums(value), sums(count)
  return jnp.where(weight > 0, total / jnp.where(weight > 0, weight, 1), jnp.nan)
