"""Memories: what a network makes of rows that a user gives, once for all calls.

  symbols [B, L]       -> embedding, position, layers of an encoder that is trained along
  floats [B, L, C]     -> projection: somebody's encoder made them
  null row | rows      -> norm -> keys and values of every layer, for cross.py

The null row is learned, one a memory, and seen by all slots: where nothing is given, it is what is
read. It makes dropping a memory a matter of its mask.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from adiff.nn import attention, block, embed, norm, rotary
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import conditions


class Memory(nn.Module):
  """Keys of all memories of a network; `of`: the Denoiser they are for."""

  of: object

  @nn.compact
  def __call__(self, cond):
    """{name: value of examples} -> the same with every Memory as a Recall: its keys are (keys,
    values) [layers, B, H, 1 + L, D], the null row first."""
    of, dtype = self.of, jnp.dtype(self.of.dtype)
    shape = of.depth, 2, of.heads, of.width // of.heads
    keys_of = nn.DenseGeneral(shape, use_bias=False, dtype=dtype, name='keys')
    norm_rows, norm_k = (norm.Norm(dtype, name=name) for name in ('norm_rows', 'norm_k'))
    found = dict(cond)
    for name, kind in of.memories.items():
      rows, given = (self._symbols if kind.whole else self._floats)(name, kind, cond[name])
      null = self.param(f'null_{name}', nn.initializers.normal(1.0), (1, 1, of.width), jnp.float32)
      null = jnp.broadcast_to(null.astype(dtype), (len(rows), 1, of.width))
      both = keys_of(norm_rows(jnp.concatenate([null, rows], axis=1)))
      k, v = jnp.moveaxis(both, (2, 3, 4), (0, 1, 3)).swapaxes(0, 1)
      found[name] = conditions.Recall((norm_k(k), v), given)
    return found

  def _floats(self, name, kind, value):
    """(rows [B, L, W], which are given [B, L]) of floats [B, L, C], nan where there are none."""
    given = ~jnp.any(jnp.isnan(value), axis=-1)
    value = jnp.where(given[..., None], value, 0).astype(self.of.dtype)
    dense = nn.Dense(self.of.width, dtype=jnp.dtype(self.of.dtype), name=f'rows_{name}')
    return dense(value), given

  def _symbols(self, name, kind, value):
    """As _floats, of symbols [B, L], -1 where there are none."""
    of, dtype = self.of, jnp.dtype(self.of.dtype)
    given, length = value >= 0, value.shape[1]
    blocks = blocks_lib.whole(length, history=None)
    slots = blocks.slots(np.arange(length)[:, None], segment=jnp.where(given, 0, -1))
    rows = embed.Token(kind.vocab, of.width, dtype, name=f'token_{name}')(jnp.maximum(value, 0))
    rows = rows + embed.Position(of.width, dtype, name=f'position_{name}')(slots.coords)
    shared = block.Shared(
      jnp.zeros((len(rows), 1, 6 * of.width), dtype),
      rotary.turns(slots.coords, of.width // of.heads, base=of.rotary_base),
      attention.visible(slots, (slots,)),
    )
    for layer in range(of.encoder):
      encode = block.Block(
        of.width, of.heads, of.mlp_ratio, 0.0, dtype, (length,), name=f'encoder_{name}_{layer}'
      )
      rows, _ = encode(rows, block.Own(), shared)
    return rows, given
