"""One layer of the transformer: attention and MLP, each modulated and gated by levels and
conditions (DiT, arXiv:2212.09748, adaLN-zero)."""

import itertools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from adiff.nn import attention, cross, layout, norm, rotary

LAYER_INPUT = 'layer_input'
# What makes modulations of levels and conditions: one network for all layers, or one a layer.
SHARED, LAYERS = MODULATED = ('shared', 'layers')
# What the backward pass has of a layer's forward pass; it computes the rest again.
REMAT = {
  'none': jax.checkpoint_policies.everything_saveable,
  'layers': jax.checkpoint_policies.nothing_saveable,  # but the layer's input
  # results of projections; scores of attention have batch dimensions and are made again
  'dots': jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
  # the layer's input, which waits in the host's memory
  'offload': jax.checkpoint_policies.save_and_offload_only_these_names(
    names_which_can_be_saved=(), names_which_can_be_offloaded=(LAYER_INPUT,),
    offload_src='device', offload_dst='pinned_host',
  ),
}


class Shared(NamedTuple):
  """What all layers of a call read besides their input."""

  # [B, S, 6 W], or [B, M, 6 W] one a copy: see `Modulation`; what it is made of, [.., W], where
  # layers make it themselves
  modulation: jax.Array
  turns: tuple[jax.Array, jax.Array]  # of rotary positions
  seen: attention.Seen  # what each slot may read
  given: attention.Seen | None = None  # what each slot may read of memories; None: there are none


class Own(NamedTuple):
  """What a layer of a call has of its own; leaves are stacked where layers are scanned."""

  cached: tuple[jax.Array, jax.Array] | None = None  # keys and values [P, H, C, D] of the cache
  memory: tuple[jax.Array, jax.Array] | None = None  # and [P, H, R, D] of memories
  dropout_key: jax.Array | None = None


class Modulation(NamedTuple):
  """What levels and conditions make of a layer (DiT's names): h of either branch becomes
  h (1 + scale) + shift before it, and gate times its result is added. Each [B, S, W]."""

  attention_shift: jax.Array
  attention_scale: jax.Array
  attention_gate: jax.Array
  mlp_shift: jax.Array
  mlp_scale: jax.Array
  mlp_gate: jax.Array


class Block(nn.Module):
  """One layer.

  lengths: slots of every copy that shares its modulation, None where every slot has its own.
  wanted: (first, last) of the slots whose results are wanted, None for all.
  modulates: it makes its modulation itself.
  """

  width: int
  heads: int
  mlp_ratio: float
  dropout: float
  dtype: jnp.dtype
  lengths: tuple[int, ...] | None
  wanted: tuple[int, int] | None = None
  modulates: bool = False

  @nn.compact
  def __call__(self, x, layer: Own, shared: Shared):
    """(x [B, T, W] after the layer, its (keys, values) [B, H, S, D]); layer: what each layer has of
    its own."""
    cached, memory, dropout_key = layer
    x = checkpoint_name(x, LAYER_INPUT)
    modulation, turns = self._modulation(shared.modulation), shared.turns

    h = self._norm('norm_attention')(x)
    h = h * (1 + modulation.attention_scale) + modulation.attention_shift
    qkv = self._dense((3, self.heads, self.width // self.heads), 'qkv')(h)
    q, k, v = (layout.heads(part[:, :, 0]) for part in jax.lax.split(qkv, (1, 1, 1), axis=2))
    q, k = self._norm('norm_q')(q), self._norm('norm_k')(k)
    fresh = rotary.rotate(k, turns), v
    pieces = [fresh] if cached is None else [jax.tree.map(heads_first, cached), fresh]
    if self.wanted is not None:
      x, q, turns, modulation = jax.tree.map(
        lambda leaf: leaf[:, slice(*self.wanted)], (x, q, turns, modulation)
      )
    q = rotary.rotate(q, turns)
    h = layout.slots_of_heads(attention.attention(q, pieces, shared.seen))
    h = self._dense(self.width, 'attention_out', axis=(-2, -1))(h)
    x = layout.slots(x + modulation.attention_gate * self._drop(h, dropout_key, 0))
    if memory is not None:
      h = cross.Cross(self.width, self.heads, self.dtype, name='cross')(x, memory, shared.given)
      x = layout.slots(x + self._drop(h, dropout_key, 2))

    h = self._norm('norm_mlp')(x) * (1 + modulation.mlp_scale) + modulation.mlp_shift
    h = self._mlp(h)
    x = layout.slots(x + modulation.mlp_gate * self._drop(h, dropout_key, 1))
    return x, jax.tree.map(heads_first, fresh)

  def _mlp(self, h):
    both = layout.features(self._dense((2, hidden(self.width, self.mlp_ratio)), 'mlp_in')(h))
    gate, up = (part[:, :, 0] for part in jax.lax.split(both, (1, 1), axis=2))
    return self._dense(self.width, 'mlp_out')(nn.silu(gate) * up)

  def _modulation(self, shared) -> Modulation:
    """The shared modulation, or the layer's own, and its own offset, over slots."""
    if self.modulates:
      zeros = nn.initializers.zeros
      dense = self._dense(6 * self.width, 'modulate', kernel_init=zeros)
      shared = layout.copies(dense(shared))
    offset = self.param('modulation', nn.initializers.zeros, (6 * self.width,), jnp.float32)
    parts = jnp.split(shared + offset[None, None].astype(self.dtype), 6, axis=-1)
    return Modulation(*(over_slots(part, self.lengths) for part in parts))

  def _dense(self, shape, name, **how):
    return nn.DenseGeneral(shape, use_bias=False, dtype=self.dtype, name=name, **how)

  def _norm(self, name):
    return norm.Norm(self.dtype, name=name)

  def _drop(self, h, key, index):
    if key is None or self.dropout == 0:
      return h
    keep = jax.random.bernoulli(jax.random.fold_in(key, index), 1 - self.dropout, h.shape)
    return jnp.where(keep, h / (1 - self.dropout), 0)


def hidden(width, mlp_ratio) -> int:
  """Features inside the MLP, which has two input matrices: then it has as many parameters as a
  plain one of mlp_ratio."""
  return round(mlp_ratio * width * 2 / 3 / 8) * 8


def heads_first(leaf) -> jax.Array:
  """[B, S, H, D] -> [B, H, S, D], and back."""
  return jnp.swapaxes(leaf, 1, 2)


def over_slots(signal, lengths) -> jax.Array:
  """[B, M, W], one a copy of `lengths` slots -> [B, S, W]; None: it is one a slot already.

  A broadcast, which is fused into what reads it: a gather would write it to memory, and scatter its
  gradient.
  """
  if lengths is None:
    return signal
  batch, _, width = signal.shape
  parts, first = [], 0
  for length, group in itertools.groupby(lengths):
    count = len(list(group))
    part = signal[:, first:first + count, None]
    part = jnp.broadcast_to(part, (batch, count, length, width))
    parts.append(part.reshape(batch, count * length, width))
    first += count
  return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=1)
