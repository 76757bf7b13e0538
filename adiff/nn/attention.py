"""Attention under the one rule: the only place where a kernel is chosen."""

import jax
import jax.numpy as jnp

from adiff import blocks as blocks_lib
from adiff import mask


def visible(q: blocks_lib.Slots, k: blocks_lib.Slots, reach=None, sinks=0):
  """What `attention` must know of the slots; computed once a network call, shared by its layers."""
  allowed = mask.attend(q, k, reach, sinks)
  return allowed[None, None] if allowed.ndim == 2 else allowed[:, None]


def attention(q, k, v, seen):
  """softmax(q k / sqrt(D)) v where `seen`: q [B, Q, H, D], k and v [B, K, H, D] -> [B, Q, H, D];
  softmax in float32."""
  return jax.nn.dot_product_attention(
    q, k, v, mask=jnp.broadcast_to(seen, (q.shape[0], 1, *seen.shape[2:]))
  )
