"""One training loss for every regime: draw levels, add noise, pack, denoise, compare."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from adiff.sequence import ask as ask_lib

NUM_LEVELS = 10  # bins of the per-level curve

# (key of levels, key of noise, x0 [B, N, ..], blocks, process, draw) -> (levels [B, K], xt)
Corrupt = Callable[..., tuple[jax.Array, jax.Array]]


def loss(
  denoise: ask_lib.Denoise, key, x0, *, blocks, process, draw, coords, weight=None, documents=None,
  corrupt: Corrupt | None = None, term=None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """(scalar, {name: scalar, [K] or [NUM_LEVELS]}): the process's objective, averaged over tokens.

  x0 [B, N] or [B, N, D] in block order; coords [N, A] in raster order; weight [B, N] or None: 0 for
  tokens that carry no loss (padding, a prompt). Normalised by the weights, not by the noised
  tokens. Curves are nan where a bin is empty. The network is told one level a copy of a block.
  documents: {'segment', 'position'} of packed rows, see Blocks.slots.
  corrupt: what makes levels and noisy tokens; None: `noised`. term: what is added to the loss, an
  objectives.NextToken or None.
  """
  chex.assert_axis_dimension(x0, 1, blocks.num_tokens)
  key_level, key_noise, key_history, key_head = jax.random.split(key, 4)

  # 1. Levels, and noise at them: the working copy, and the history as later blocks read it.
  levels, xt = (corrupt or noised)(key_level, key_noise, x0, blocks, process, draw)
  t = blocks.per_token(levels)
  xh = None
  if blocks.history is not None:
    xh = process.add_noise(key_history, x0, jnp.full_like(t, blocks.history))

  # 2. Both streams are one question.
  x, t_copies = blocks.pack(xt, xh, levels)
  ask = ask_lib.Ask(x, t_copies, blocks.slots(coords, **(documents or {})))

  # 3. The network answers, and 4. its head compares with the clean tokens.
  weight = jnp.ones_like(t) if weight is None else weight.astype(t.dtype)
  carried = jnp.where(process.carries(xt, t), weight, 0)
  h, _ = denoise.trunk(ask)
  total, per_token = denoise.head.loss(
    blocks.unpack(h), key_head, ask, process.loss, carried, x0, xt, t
  )
  total = total / jnp.maximum(jnp.sum(weight), 1)

  scalars = {}
  if term is not None:
    scalars[term.name] = term.nats(denoise.head, h, key_head, ask, x0, weight, documents)
    total = total + term.weight * scalars[term.name]
  value, count = blocks.sum_per_block(per_token * weight), blocks.sum_per_block(weight)
  return total, scalars | {
    'loss': total,
    'loss_per_block': jnp.sum(value, axis=0) / jnp.sum(count, axis=0),
    'loss_per_level': by_level(levels, value, count),
  }


def noised(key_level, key_noise, x0, blocks, process, draw) -> tuple[jax.Array, jax.Array]:
  """(levels [B, K], xt [B, N, ..]): a level a block, and the tokens at it."""
  levels = draw(key_level, (len(x0), blocks.num_blocks))
  return levels, process.add_noise(key_noise, x0, blocks.per_token(levels))


def by_level(levels, value, count) -> jax.Array:
  """[B, K] sums and counts -> [NUM_LEVELS] means over equal bins of the level; nan where a bin is
  empty."""
  bins = jnp.clip((levels * NUM_LEVELS).astype(jnp.int32), 0, NUM_LEVELS - 1)
  one_hot = jax.nn.one_hot(bins, NUM_LEVELS, dtype=value.dtype)
  total, weight = (jnp.sum(one_hot * leaf[..., None], axis=(0, 1)) for leaf in (value, count))
  return jnp.where(weight > 0, total / jnp.where(weight > 0, weight, 1), jnp.nan)
