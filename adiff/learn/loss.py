"""One training loss for every regime: draw levels, add noise, pack, denoise, compare."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from adiff.sequence import ask as ask_lib
from adiff.sequence import tokens as tokens_lib

NUM_LEVELS = 10  # bins of the per-level curve

# (key of levels, key of noise, x0 [B, N, ..], blocks, process, draw) -> (levels [B, K], xt)
Corrupt = Callable[..., tuple[jax.Array, jax.Array]]


class Mean(NamedTuple):
  """A mean, or a curve of means, in two parts: sums and weights [], [K] or [NUM_LEVELS]. Parts of a
  batch add up; means of them do not, where the parts hold unequal numbers of tokens."""

  total: jax.Array
  count: jax.Array


def loss(
  denoise: ask_lib.Denoise, key, x0, *, blocks, process, draw, coords, weight=None, documents=None,
  given=None, history=None, corrupt: Corrupt | None = None, term=None,
  whole: dict[str, jax.Array] | None = None,
) -> tuple[jax.Array, dict[str, Mean]]:
  """(scalar, {name: Mean}): the process's objective, averaged over tokens, and what is logged.

  x0 [B, N] or [B, N, D], or both (tokens.py), in block order; coords [N, A] in raster order;
  weight [B, N] or None: 0 for tokens that carry no loss (padding, a prompt). Normalised by the
  weights, not by the noised tokens. The network is told one level a copy of a block.
  documents: {'segment', 'position'} of packed rows, see Blocks.slots.
  history: tokens as x0 that later blocks read instead of x0, or None; see lessons.Requantised.
  given: bool [B, N] or None: tokens without weight that are shown as they are, at level 0; then the
  network is told one level a token.
  corrupt: what makes levels and noisy tokens; None: `noised`. term: what is added to the loss, an
  objectives.NextToken or None.
  whole: `counts` of the batch of which these rows are a part; the scalars of its parts, and their
  gradients, add up to the batch's. None: the rows are all of it.
  """
  assert x0.shape[1] == blocks.num_tokens, (x0.shape, blocks.num_tokens)
  key_level, key_noise, key_history, key_head = jax.random.split(key, 4)

  # 1. Levels, and noise at them: the working copy, and the history as later blocks read it.
  levels, xt = (corrupt or noised)(key_level, key_noise, x0, blocks, process, draw)
  t = blocks.per_token(levels)
  xh = None
  if blocks.history is not None:
    past = x0 if history is None else history
    xh = process.add_noise(key_history, past, blocks.past(t.shape, t.dtype))

  # 2. Both streams are one question.
  if given is not None:
    xt = tokens_lib.pick(given, x0, xt)
  x, t_copies = blocks.pack(xt, xh, levels if given is None else jnp.where(given, 0, t))
  ask = ask_lib.Ask(x, t_copies, blocks.slots(coords, **(documents or {})))

  # 3. The network answers, and 4. its head compares with the clean tokens.
  weights = _weights(t, weight, documents, term)
  weight, own = weights['loss'], jax.tree.map(jnp.sum, weights)
  carried = jnp.where(process.carries(xt, t), weight, 0)
  h, _ = denoise.trunk(ask)
  total, per_token = denoise.head.loss(
    blocks.unpack(h), key_head, ask, process.criterion, carried, x0, xt, t
  )
  means = {'loss': Mean(total, own['loss'])}
  if term is not None:
    nats = term.nats(denoise.head, h, key_head, ask, x0, weights[term.name])
    means[term.name] = Mean(nats, own[term.name])

  # 5. One division, by all weights of the batch.
  over = own if whole is None else whole
  share = _scalar({name: Mean(mean.total, over[name]) for name, mean in means.items()}, term)
  return share, means | curves(per_token, weight, levels, blocks)


def curves(per_token, weight, levels, blocks) -> dict[str, Mean]:
  """{name: Mean} of losses [B, N] over blocks and over levels [B, K]."""
  value, count = blocks.sum_per_block(per_token * weight), blocks.sum_per_block(weight)
  return {
    'loss_per_block': Mean(jnp.sum(value, axis=0), jnp.sum(count, axis=0)),
    'loss_per_level': by_level(levels, value, count),
  }


def _weights(like, weight, documents, term) -> dict[str, jax.Array]:
  """{name: weights [B, ..]} of the means that the loss is made of, as floats like `like` [B, N]."""
  weight = jnp.ones_like(like) if weight is None else weight.astype(like.dtype)
  return {'loss': weight} | ({} if term is None else {term.name: term.weights(weight, documents)})


def counts(shape, weight=None, documents=None, term=None) -> dict[str, jax.Array]:
  """{name: []}, what `loss` divides by, of a batch of shape (B, N): see its `whole`. Those of the
  parts of a batch add up."""
  return jax.tree.map(jnp.sum, _weights(jnp.zeros(shape), weight, documents, term))


def _scalar(means, term) -> jax.Array:
  """The loss [] of its Means."""
  total = _value(means['loss'])
  return total if term is None else total + term.weight * _value(means[term.name])


def _value(mean: Mean) -> jax.Array:
  """0 where nothing carries weight, but nan in a curve."""
  some = mean.count > 0
  nothing = 0 if mean.count.ndim == 0 else jnp.nan
  return jnp.where(some, mean.total / jnp.where(some, mean.count, 1), nothing)


def scalars(means: dict[str, Mean], term=None) -> dict[str, jax.Array]:
  """{name: scalar or curve} to be logged of the Means of a batch, those of its parts added up.
  Curves are nan where a bin is empty."""
  return {name: _value(mean) for name, mean in means.items()} | {'loss': _scalar(means, term)}


def noised(key_level, key_noise, x0, blocks, process, draw) -> tuple[jax.Array, jax.Array]:
  """(levels [B, K], xt [B, N, ..]): a level a block, and the tokens at it."""
  levels = draw(key_level, (len(x0), blocks.num_blocks))
  return levels, process.add_noise(key_noise, x0, blocks.per_token(levels))


def by_level(levels, value, count) -> Mean:
  """[B, K] sums and counts -> [NUM_LEVELS] over equal bins of the level."""
  bins = jnp.clip((levels * NUM_LEVELS).astype(jnp.int32), 0, NUM_LEVELS - 1)
  one_hot = jax.nn.one_hot(bins, NUM_LEVELS, dtype=value.dtype)
  return Mean(*(jnp.sum(one_hot * leaf[..., None], axis=(0, 1)) for leaf in (value, count)))
