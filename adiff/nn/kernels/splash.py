"""Attention on a TPU: the splash kernel that ships with jax, which leaves out forbidden tiles.

Splash attention is flash attention (Dao et al. 2022, arXiv:2205.14135) over the tiles of a mask
that is known when the program is traced. It has no forward-mode derivative.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas.ops.tpu.splash_attention import (
  splash_attention_kernel,
  splash_attention_mask,
)

LANES, TILE = 128, 512


class Splash(NamedTuple):
  """A kernel, and the segments of queries and keys ([S] or [B, S]) where the mask leaves them to
  the running program, else None."""

  kernel: Any
  segments: tuple | None

  def __call__(self, q, k, v):
    """softmax(q k / sqrt(D)) v under the mask: [B, H, S, D] each -> [B, H, Q, D]."""
    batch, _, num_queries, dim = q.shape
    pad = lambda leaf: jnp.pad(
      leaf, ((0, 0), (0, 0), (0, _padded(leaf.shape[2]) - leaf.shape[2]), (0, 0))
    )
    arguments = pad(q * dim**-0.5), pad(k), pad(v)
    if self.segments is not None:
      ids = (jnp.broadcast_to(ids, (batch, ids.shape[-1])) for ids in self.segments)
      # What pads has the first key's segment: queries that pad see that key alone.
      first = self.segments[1][..., :1]
      ids = [
        jnp.concatenate(
          [own, jnp.broadcast_to(first, (batch, _padded(own.shape[1]) - own.shape[1]))], axis=1
        )
        for own in ids
      ]
      arguments += (splash_attention_kernel.SegmentIds(*ids),)
    return jax.vmap(self.kernel)(*arguments)[:, :, :num_queries].astype(q.dtype)


def make(allowed, heads, segments=None, *, interpret=False) -> Splash:
  """The kernel of a host mask [Q, K]. interpret: runs anywhere, slowly."""
  allowed = np.asarray(allowed)
  rows, columns = map(_padded, allowed.shape)
  whole = np.zeros((rows, columns), bool)
  whole[:allowed.shape[0], :allowed.shape[1]] = allowed
  whole[allowed.shape[0]:, 0] = True  # queries that pad see something, or they were not a number
  q, k = min(rows, TILE), min(columns, TILE)
  kernel = splash_attention_kernel.make_splash_mha(
    splash_attention_mask.MultiHeadMask([splash_attention_mask.NumpyMask(whole)] * heads),
    block_sizes=splash_attention_kernel.BlockSizes(
      block_q=q, block_kv=k, block_q_dkv=q, block_kv_dkv=k, block_q_dq=q, block_kv_dq=k,
    ),
    head_shards=1, q_seq_shards=1, interpret=interpret,
  )
  return Splash(kernel, segments)


def _padded(size) -> int:
  step = TILE if size > TILE else LANES
  return -(-size // step) * step
