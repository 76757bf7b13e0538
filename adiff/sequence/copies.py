"""Copies: the slots of a block in a stream. They share their level and their condition, so what is
made of those (a modulation, an embedding) is made once a copy and dealt out to its slots."""

import jax
import jax.numpy as jnp
import numpy as np

from adiff.sequence import blocks as blocks_lib


def find(slots: blocks_lib.Slots, num=None) -> tuple[np.ndarray, tuple[int, ...]]:
  """(first slot [M], lengths) of every copy, in the order of slots.

  Slots [S] that are not known when the program is traced are taken as `num` copies of one length.
  """
  size = slots.block.shape[-1]
  if isinstance(slots.block, np.ndarray) and isinstance(slots.stream, np.ndarray):
    block, stream = slots.block.reshape(-1), slots.stream.reshape(-1)
    starts = np.append(True, np.diff(block).astype(bool) | np.diff(stream).astype(bool))
    first = np.flatnonzero(starts)
  else:
    first = np.arange(0, size, size // num)
  return first, tuple(np.diff(np.append(first, size)).tolist())


def levels(t, slots: blocks_lib.Slots) -> jax.Array:
  """Levels t [B, S], or [B, M] one a copy, as [B, S]."""
  num_slots = slots.block.shape[-1]
  if t.shape[1] == num_slots:
    return t
  lengths = np.asarray(find(slots, t.shape[1])[1])
  return jnp.repeat(t, lengths, axis=1, total_repeat_length=num_slots)

