"""Lessons: (key, batch) -> batch, inside the update, after micro-batching. batch has 'tokens'
[B, N, ..] in block order, and what its rows have besides: 'label', 'segment', 'position', 'weight'.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

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


def documents(batch) -> dict[str, jax.Array] | None:
  """What Blocks.slots must know of packed rows; None where rows are not packed."""
  return {name: batch[name] for name in ('segment', 'position') if name in batch} or None
