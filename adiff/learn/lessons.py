"""Lessons: (key, batch) -> batch, inside the update, after micro-batching. batch has 'tokens'
[B, N, ..] in block order, and what its rows have besides: 'label' and other conditions, 'segment',
'position', 'weight', 'given', 'history' (tokens as later blocks read them, if they are others).
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

Lesson = Callable[[jax.Array, dict[str, jax.Array]], dict[str, jax.Array]]


@dataclasses.dataclass(frozen=True)
class RandomLength:
  """A `share` of the rows ends at a random token: what follows is padding (LLaDA,
  arXiv:2502.09992)."""

  share: float

  def __call__(self, key, batch):
    size, num_tokens = batch['tokens'].shape[:2]
    key_which, key_where = jax.random.split(key)
    end = jax.random.randint(key_where, (size, 1), 1, num_tokens + 1)
    end = jnp.where(jax.random.uniform(key_which, (size, 1)) < self.share, end, num_tokens)
    kept = jnp.arange(num_tokens)[None] < end
    zeros, ones = jnp.zeros(kept.shape, jnp.int32), jnp.ones(kept.shape, jnp.float32)
    return {
      **batch,
      'segment': jnp.where(kept, batch.get('segment', zeros), -1),
      'weight': jnp.where(kept, batch.get('weight', ones), 0),
    }


@dataclasses.dataclass(frozen=True, eq=False)
class Given:
  """A `share` of the rows shows some tokens as they are, at level 0 and without loss: then what is
  made beside a prompt or around a hole follows the conditional law, in blocks of any size. Which
  tokens, one of five ways a row:

    scattered  each at a rate of the row's own        prefix  the first ones, in block order
    blocks     whole blocks, at such a rate           box     those of a box of places
                                                      hole    all but those of a box

  block_of_token int [N], coords int [N, A], kind_of_token int [N] (a box is one of the places of
  one kind, any of them; None: there is one), all in block order. Walk and bound show given tokens
  so; but the bound of masked tokens tells a block one level, as the other rows do.
  """

  share: float
  block_of_token: np.ndarray
  coords: np.ndarray
  kind_of_token: np.ndarray | None = None

  def __call__(self, key, batch):
    size, num_tokens = batch['tokens'].shape[:2]
    key_which, key_way, key_rate, key_token, key_box = jax.random.split(key, 5)
    rate = jax.random.uniform(key_rate, (size, 1))
    chance = jax.random.uniform(key_token, (size, num_tokens))
    box = self._box(key_box, size)
    ways = jnp.stack([
      chance < rate, chance[:, self.block_of_token] < rate,
      jnp.arange(num_tokens)[None] < (rate * num_tokens).astype(jnp.int32), box, ~box,
    ])
    way = jax.random.randint(key_way, (1, size, 1), 0, len(ways))
    given = jnp.take_along_axis(ways, way, axis=0)[0]
    given &= jax.random.uniform(key_which, (size, 1)) < self.share
    weight = batch.get('weight', jnp.ones(given.shape, jnp.float32))
    return {**batch, 'given': given, 'weight': jnp.where(given, 0, weight)}

  def _box(self, key, size):
    """bool [size, N]: the tokens of a kind whose coords lie in a random box."""
    if self.kind_of_token is None:
      return self._box_of(slice(None), key, size)
    kinds = self.kind_of_token == np.unique(self.kind_of_token)[:, None]
    boxes = jnp.stack([
      own[None] & self._box_of(own, jax.random.fold_in(key, index), size)
      for index, own in enumerate(kinds)
    ])
    which = jax.random.randint(jax.random.fold_in(key, len(kinds)), (1, size, 1), 0, len(kinds))
    return jnp.take_along_axis(boxes, which, axis=0)[0]

  def _box_of(self, own, key, size):
    """bool [size, N]: the tokens in a random box of the places of some tokens, `own`."""
    least, most = self.coords[own].min(0), self.coords[own].max(0)
    corners = jax.random.uniform(key, (2, size, 1, len(least)), minval=0.0)
    corners = jnp.floor(corners * (most - least + 1)[None, None, None].astype(corners.dtype))
    low, high = (f(corners, axis=0).astype(jnp.int32) for f in (jnp.min, jnp.max))
    place = (self.coords - least)[None]
    return jnp.all((low <= place) & (place <= high), axis=-1)


@dataclasses.dataclass(frozen=True, eq=False)
class Requantised:
  """What later blocks read of codes is partly other ones, and the codes to make are those that make
  up for it: a generator then corrects its own mistakes (Infinity's self-correction, Han et al.
  2024, arXiv:2412.04431, section 3.3). In each row at a rate of its own, up to `most`.

  requantise: (tokens [B, N], key, share [B, N]) -> (tokens, shown), see codec.base.Codec.
  """

  most: float
  requantise: Callable

  def __call__(self, key, batch):
    tokens = batch['tokens']
    key_rate, key_which = jax.random.split(key)
    rate = self.most * jax.random.uniform(key_rate, (len(tokens), 1))
    tokens, shown = self.requantise(tokens, key_which, jnp.broadcast_to(rate, tokens.shape))
    return {**batch, 'tokens': tokens, 'history': shown}


@dataclasses.dataclass(frozen=True, eq=False)
class Moved:
  """Pictures are moved as their law allows: half of them mirrored left to right, each shifted by up
  to `crop` pixels, its edges repeated.

  layout: int [H, W, C], which value of an example's tokens [N * D] each value of the picture is.
  """

  layout: np.ndarray
  flip: bool
  crop: int

  def __call__(self, key, batch):
    tokens, places = batch['tokens'], self.layout.reshape(-1)
    key_flip, key_crop = jax.random.split(key)
    flat = tokens.reshape(len(tokens), -1)
    pictures = flat[:, places].reshape(-1, *self.layout.shape)
    if self.flip:
      mirrored = jax.random.bernoulli(key_flip, 0.5, (len(pictures), 1, 1, 1))
      pictures = jnp.where(mirrored, pictures[:, :, ::-1], pictures)
    if self.crop:
      offset = jax.random.randint(key_crop, (len(pictures), 2), 0, 2 * self.crop + 1)
      pictures = jax.vmap(self._shifted)(offset, pictures)
    flat = pictures.reshape(flat.shape)[:, np.argsort(places)]
    return {**batch, 'tokens': flat.reshape(tokens.shape)}

  def _shifted(self, offset, picture):
    """A picture [H, W, C] from an offset [2] in its wider self on."""
    around = (self.crop, self.crop)
    wide = jnp.pad(picture, (around, around, (0, 0)), 'edge')
    return jax.lax.dynamic_slice(wide, (*offset, 0), picture.shape)


def documents(batch) -> dict[str, jax.Array] | None:
  """What Blocks.slots must know of packed rows; None where rows are not packed."""
  return {name: batch[name] for name in ('segment', 'position') if name in batch} or None
