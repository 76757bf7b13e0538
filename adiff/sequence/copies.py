"""From blocks to slots: a run, the slots of a block in a stream, shares level and condition."""

import jax.numpy as jnp
import numpy as np

from adiff.sequence import blocks as blocks_lib


def runs(slots: blocks_lib.Slots, num=None) -> tuple[np.ndarray, tuple[int, ...]]:
  """(first slot, length) of every run: the slots of a block in a stream, which share their level.

  Slots [S] that are not known when the program is traced are taken as `num` runs of one length.
  """
  size = slots.block.shape[-1]
  if isinstance(slots.block, np.ndarray) and isinstance(slots.stream, np.ndarray):
    block, stream = slots.block.reshape(-1), slots.stream.reshape(-1)
    new = np.append(True, np.diff(block).astype(bool) | np.diff(stream).astype(bool))
    first = np.flatnonzero(new)
  else:
    first = np.arange(0, size, size // num)
  return first, tuple(np.diff(np.append(first, size)).tolist())


def levels(t, slots: blocks_lib.Slots):
  """Levels t [B, S], or [B, R] one a run, as [B, S]."""
  num_slots = slots.block.shape[-1]
  if t.shape[1] == num_slots:
    return t
  lengths = np.asarray(runs(slots, t.shape[1])[1])
  return jnp.repeat(t, lengths, axis=1, total_repeat_length=num_slots)


def condition(cond, slots: blocks_lib.Slots, history_cond=False):
  """Gives every slot its condition: {name: int [B] or [B, K]} -> {name: int [B, S]}.

  -1 stands for "no condition". History slots get it unless history_cond: then the guided and the
  unguided branch read the same history and can share one cache.
  """

  def give(value):
    batch = value.shape[0]
    block = jnp.broadcast_to(slots.block, (batch, slots.block.shape[-1]))
    if value.ndim == 1:
      value = jnp.broadcast_to(value[:, None], block.shape)
    else:
      value = jnp.take_along_axis(value, block, axis=1)
    hidden = jnp.broadcast_to((slots.stream == 1) & (not history_cond), block.shape)
    return jnp.where(hidden, -1, value)

  return {name: give(value) for name, value in cond.items()}
