"""Gradients of a batch that is worked on in parts, one after another."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def split(batch, num) -> Any:
  """Leaves [B, ..] -> [num, B / num, ..]: interleaved, so that every device keeps rows of every
  part."""
  return jax.tree.map(
    lambda leaf: jnp.swapaxes(leaf.reshape(-1, num, *leaf.shape[1:]), 0, 1), batch
  )


def averaged(
  gradient: Callable, params, extra, batch, key, num
) -> tuple[Any, Any, dict[str, jax.Array]]:
  """(gradients, extra, scalars) of a batch in `num` equal parts, each with a key of its own: means
  of the gradients, a tree like params, and of the scalars; extra goes from one part to the next.

  gradient: (params, extra, rows, key) -> (gradients, extra, scalars) of a part.
  """
  if num == 1:
    return gradient(params, extra, batch, jax.random.fold_in(key, 0))

  def add(carried, numbered):
    total, extra = carried
    part, rows = numbered
    grads, extra, scalars = gradient(params, extra, rows, jax.random.fold_in(key, part))
    return (jax.tree.map(jnp.add, total, grads), extra), scalars

  zeros = jax.tree.map(jnp.zeros_like, params)
  numbered = jnp.arange(num), split(batch, num)
  (total, extra), scalars = jax.lax.scan(add, (zeros, extra), numbered)
  mean = jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), scalars)
  return jax.tree.map(lambda leaf: leaf / num, total), extra, mean
