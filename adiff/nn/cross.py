"""Cross-attention: how slots read what a user gives as a Memory.

  h = h + out(softmax(q(norm(h)) k / sqrt(D)) v)

behind the self-attention of every layer, neither modulated nor gated by levels, `out` zero at first
(PixArt-alpha, arXiv:2310.00426, section 2.3). Keys are made once for all calls, in memory.py; the
first of them is of a learned row that everybody sees, so that no softmax is empty.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from adiff.nn import attention, layout, norm


class Cross(nn.Module):
  """What slots add of the rows they read; heads and norms as in self-attention."""

  width: int
  heads: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x, keys, given: attention.Seen):
    """x [B, T, W] -> [B, T, W]; keys: (keys, values) [P, H, R, D] of P examples, which serve B / P
    times as many in turn."""
    dense = lambda shape, name, **how: nn.DenseGeneral(
      shape, use_bias=False, dtype=self.dtype, name=name, **how
    )
    h = norm.Norm(self.dtype, name='norm_cross')(x)
    q = layout.slots_of_heads(dense((self.heads, self.width // self.heads), 'cross_q')(h))
    q = norm.Norm(self.dtype, name='norm_cross_q')(q)
    rows = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 1, 2), tuple(keys))
    h = layout.slots_of_heads(attention.attention(q, [rows], given))
    out = dense(self.width, 'cross_out', axis=(-2, -1), kernel_init=nn.initializers.zeros)
    return out(h)
