"""What is given and weighs nothing is only read: its working copy, which would be denoised for
nobody, is not computed."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from adiff.sequence import ask as ask_lib
from adiff.sequence import tokens as tokens_lib


def count(blocks, weights: dict[str, float]) -> int:
  """How many first blocks weigh nothing, {kind: weight}, and have a history copy to be read in."""
  free = [weights.get(kind, 1.0) == 0 for kind in blocks.kind_of_block]
  return 0 if blocks.history is None else int(np.argmin([*free, False]))


def leave_out(denoise: ask_lib.Denoise, blocks, num) -> ask_lib.Denoise:
  """The network that computes no working copy of the first `num` of the blocks, of training rows
  (Blocks.pack); their features are zeros."""
  first = int(blocks.first_token[num])

  def trunk(ask):
    num_slots, slots = ask.x.shape[1], ask.slots
    x = tokens_lib.cut(ask.x, first, tokens_lib.between(ask.x.runs, first, num_slots))
    t, s = (
      level if level is None else level[:, first if level.shape[1] == num_slots else num:]
      for level in (ask.t, ask.s)
    )
    coords = slots.coords[..., first:, :]
    slots = jax.tree.map(lambda leaf: leaf[..., first:], slots._replace(coords=None))
    hint = {name: value[:, first:] for name, value in ask.hint.items()}
    h, cache = denoise.trunk(dataclasses.replace(
      ask, x=x, t=t, s=s, slots=slots._replace(coords=coords), hint=hint
    ))
    return jnp.pad(h, ((0, 0), (first, 0), (0, 0))), cache

  return denoise._replace(trunk=trunk)
