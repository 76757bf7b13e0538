"""One block whose known tokens stand apart from hidden ones (MAR, arXiv:2406.11838, section 3.4).

MAR's encoder sees known tokens alone, its decoder also a mask embedding in every hidden place. Here
both are one network under the one rule of attention: in every call known tokens are block 0 and
hidden ones block 1, so that known tokens read each other, and hidden ones read all.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adiff.nn import embed
from adiff.sequence import ask as ask_lib


def needs(parts: Any) -> None:
  """Raises ValueError where tokens are not known or hidden in one block."""
  if parts.model.apart and (
    not parts.process.by_law or parts.blocks.num_blocks > 1 or len(parts.geometries) > 1
    or parts.model.reach is not None
  ):
    raise ValueError(
      'model.apart tells known vectors from hidden ones in one block; write '
      'process.name=masked_vectors, blocks.name=whole, model.reach=None and no train.block_sizes, '
      'or model.apart=False'
    )


def apart(denoise: ask_lib.Denoise) -> ask_lib.Denoise:
  """The Denoise that is asked about one block, made of one that sees known tokens before it."""

  def trunk(ask):
    slots = jax.tree.map(lambda leaf: leaf if leaf.ndim > 1 else leaf[None], ask.slots)
    coords = slots.coords[None] if slots.coords.ndim == 2 else slots.coords
    hidden = embed.unknown(ask.x)
    slots = slots._replace(
      block=hidden.astype(np.int32), coords=coords, readable=jnp.ones_like(hidden)
    )
    return denoise.trunk(dataclasses.replace(ask, slots=slots))

  return denoise._replace(trunk=trunk)
