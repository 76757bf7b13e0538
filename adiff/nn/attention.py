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
  """softmax(q k / sqrt(D)) v where `seen`: q [B, Q, H, D], k and v [B, K, H, D] -> [B, Q, H, D].

  Scores and softmax are float32 at least. Every slot sees itself, so no row is empty.
  """
  wide = jnp.promote_types(q.dtype, jnp.float32)
  scores = jnp.einsum('bqhd,bkhd->bhqk', q, k, preferred_element_type=wide)
  scores = jnp.where(seen, scores * q.shape[-1] ** -0.5, jnp.finfo(wide).min)
  return jnp.einsum('bhqk,bkhd->bqhd', jax.nn.softmax(scores).astype(v.dtype), v)
