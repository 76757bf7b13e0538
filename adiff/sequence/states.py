"""States: what a block was before each step of its walk, for networks that read them (ARD, Kim et
al. 2025, arXiv:2504.11295). Every state is a block of its own, at its own level, which reads those
before it by the one rule of attention; all states of a token share its place.

          x1 x2 x3        three states of a block, x1 the noise
      x1   x  .  .
      x2   x  x  .        made of x1 by the first step
      x3   x  x  x
"""

import jax
import jax.numpy as jnp
import numpy as np

from adiff.sequence import blocks as blocks_lib


def state(slots: blocks_lib.Slots, index) -> blocks_lib.Slots:
  """The slots [n] of one block in its state `index`, from 0."""
  block = np.full(slots.block.shape, index, np.int32)
  return slots._replace(block=block, readable=np.ones(block.shape, bool))


def stream(slots: blocks_lib.Slots, num) -> blocks_lib.Slots:
  """The slots [num n] of the first `num` states of one block, one after another."""

  def concatenated(*leaves):
    known = all(isinstance(leaf, np.ndarray) for leaf in leaves)
    return (np if known else jnp).concatenate(leaves)

  return jax.tree.map(concatenated, *(state(slots, index) for index in range(num)))
