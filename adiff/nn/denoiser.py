"""The denoiser: a transformer on slots. It knows tokens, levels and slots; nothing of streams,
regimes or sampling.

DiT (arXiv:2212.09748) with per-slot adaLN-zero from one shared modulation network plus an offset a
layer (PixArt-alpha, arXiv:2310.00426, section 2.3), RMSNorm, QK-norm, rotary positions, a gated
MLP. Layers are scanned.
"""

import itertools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name

from adiff.nn import attention, embed, layout, rotary
from adiff.nn.heads import chunked
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import copies


class Cache(NamedTuple):
  """Keys and values of finished blocks: an argument and a result.

  Keys are stored as they are read, rotated and heads first: rotation at every call would take a
  tenth of a rollout. To move them, rotate by the difference (rotary.py: rotations add). With the
  Slots of every row: what a query sees is attend(q, cache.slots), no second rule. Empty rows have a
  segment of their own. `length` rows have been written; where the model has a reach, a full cache
  writes over its oldest rows, the sinks excepted.
  """

  k: tuple[jax.Array, ...]  # [B, H, C, D] of every layer
  v: tuple[jax.Array, ...]
  slots: blocks_lib.Slots  # [C]
  length: jax.Array  # int32 []


DTYPES = ('float32', 'bfloat16', 'float16', 'float64')
LAYER_INPUT = 'layer_input'
# What the backward pass finds of a layer's forward pass; it computes the rest again.
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


class Norm(nn.Module):
  """RMSNorm (arXiv:1910.07467). Its factors are applied one by one: their product, which Flax makes
  first, is as large as x and would be kept for the backward pass."""

  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x):
    scale = self.param('scale', nn.initializers.ones, (x.shape[-1],), jnp.float32)
    wide = x.astype(jnp.promote_types(self.dtype, jnp.float32))
    size = jnp.mean(jnp.square(wide), axis=-1, keepdims=True)
    scale = jnp.expand_dims(scale.astype(wide.dtype), range(x.ndim - 1))
    return (wide * jax.lax.rsqrt(size + 1e-6) * scale).astype(self.dtype)


class Block(nn.Module):
  """One layer: attention and MLP, each modulated and gated.

  lengths: slots of every run that shares its modulation, None where every slot has its own. told:
  (first, last) of the slots whose results are wanted, None for all.
  """

  width: int
  heads: int
  mlp_ratio: float
  dropout: float
  dtype: jnp.dtype
  lengths: tuple[int, ...] | None
  told: tuple[int, int] | None = None

  @nn.compact
  def __call__(self, x, layer, modulation, turns, seen):
    cached, key = layer
    x = checkpoint_name(x, LAYER_INPUT)
    offset = self.param('modulation', nn.initializers.zeros, (6 * self.width,), jnp.float32)
    signal = [
      _over_slots(one, self.lengths)
      for one in jnp.split(modulation + offset[None, None].astype(self.dtype), 6, axis=-1)
    ]
    dense = lambda shape, name, **how: nn.DenseGeneral(
      shape, use_bias=False, dtype=self.dtype, name=name, **how
    )
    norm = lambda name: Norm(self.dtype, name=name)

    h = norm('norm_attention')(x) * (1 + signal[0]) + signal[1]
    qkv = dense((3, self.heads, self.width // self.heads), 'qkv')(h)
    q, k, v = (layout.heads(one[:, :, 0]) for one in jax.lax.split(qkv, (1, 1, 1), axis=2))
    q, k = norm('norm_q')(q), norm('norm_k')(k)
    fresh = rotary.rotate(k, turns), v
    pieces = [fresh] if cached is None else [jax.tree.map(_heads_first, cached), fresh]
    if self.told is not None:
      told = slice(*self.told)
      x, q, *turns = (leaf[:, told] for leaf in (x, q, *turns))
      signal = [one[:, told] for one in signal]
    q = rotary.rotate(q, turns)
    h = layout.slots_of_heads(attention.attention(q, pieces, seen))
    h = dense(self.width, 'attention_out', axis=(-2, -1))(h)
    x = layout.slots(x + signal[2] * self._drop(h, key, 0))

    h = norm('norm_mlp')(x) * (1 + signal[3]) + signal[4]
    # two input matrices: parameters as of a plain MLP
    hidden = round(self.mlp_ratio * self.width * 2 / 3 / 8) * 8
    both = layout.features(dense((2, hidden), 'mlp_in')(h))
    gate, up = (one[:, :, 0] for one in jax.lax.split(both, (1, 1), axis=2))
    h = dense(self.width, 'mlp_out')(nn.silu(gate) * up)
    return layout.slots(x + signal[5] * self._drop(h, key, 1)), jax.tree.map(_heads_first, fresh)

  def _drop(self, h, key, index):
    if key is None or self.dropout == 0:
      return h
    keep = jax.random.bernoulli(jax.random.fold_in(key, index), 1 - self.dropout, h.shape)
    return jnp.where(keep, h / (1 - self.dropout), 0)


class Denoiser(nn.Module):
  """num_inputs and num_outputs come from the process; width, depth and heads are the size.

  reach: a block reads at most that many blocks before it (None or 0: all), and the first `sinks`.
  remat: what the backward pass recomputes, one of REMAT.
  dtype: of the computation; parameters are float32.
  attention: xla, or kernel, the fused one of the platform: on TPUs that of splash.py, on GPUs that
  of flash.py, elsewhere as xla.
  """

  num_inputs: int
  num_outputs: int
  num_classes: int = 0
  width: int = 256
  depth: int = 6
  heads: int = 4
  mlp_ratio: float = 4.0
  dropout: float = 0.0
  rotary_base: float = 100.0
  reach: int | None = None
  sinks: int = 0
  self_condition: bool = False
  remat: str = 'none'
  dtype: str = 'float32'
  attention: str = 'xla'

  def __post_init__(self):
    super().__post_init__()
    if self.width % (2 * self.heads):
      raise ValueError(
        f'model.width={self.width} must be a multiple of 2 * model.heads={2 * self.heads}'
      )
    if self.depth < 1 or not 0 <= self.dropout < 1:
      raise ValueError(
        f'model.depth={self.depth} and model.dropout={self.dropout}: use at least one layer and a '
        'share in [0, 1)'
      )
    if (self.reach or 0) < 0 or self.sinks < 0:
      raise ValueError(f'model.reach={self.reach} and model.sinks={self.sinks} count blocks')
    if self.attention not in ('xla', 'kernel'):
      raise ValueError(f'model.attention={self.attention!r} must be xla or kernel')
    if self.remat not in REMAT:
      raise ValueError(f'model.remat={self.remat!r} must be one of {", ".join(REMAT)}')
    if self.dtype not in DTYPES:
      raise ValueError(f'model.dtype={self.dtype!r} must be one of {", ".join(DTYPES)}')

  @nn.compact
  def __call__(
    self,
    x,
    t,
    s,
    slots: blocks_lib.Slots,
    cond=None,
    cache: Cache | None = None,
    commit=0,
    key=None,
    target=None,
  ):
    """x [B, S] or [B, S, D], t and s [B, S], slots [S] -> (out [B, T, O] float32 or wider, cache).

    The T slots of `out` are those whose outputs anybody may want, see `_told`. t may be [B, R], one
    level a run (see spread.py), if the slots of a run share their condition, too.

    x may be Hinted where the model was made with self_condition; without hint it is zero.
    s, the level asked for, is for networks that are built to use it (flow maps).
    cond: {'label': [B, S]}, -1 for none.
    commit: the first `commit` slots are finished; their keys are appended to the cache.
    key: turns dropout on.
    target: what is asked of the outputs of the first slots, see head.ask; its answer is then the
    result in place of `out`.
    """
    del s
    dtype = jnp.dtype(self.dtype)
    x, hint = x if isinstance(x, blocks_lib.Hinted) else (x, None)
    h = embed.Token(self.num_inputs, self.width, dtype, name='token')(x)
    if self.self_condition:
      hint = jnp.zeros((*x.shape[:2], self.num_outputs)) if hint is None else hint
      h = h + nn.Dense(self.width, use_bias=False, dtype=dtype, name='hint')(hint)
    position = embed.Position(self.width, dtype, name='position')(slots.coords)
    h = layout.slots(h + (position if position.ndim == 3 else position[None]))
    each = t.shape[1] == x.shape[1]
    first, lengths = (slice(None), None) if each else copies.runs(slots, t.shape[1])
    signal = embed.Level(self.width, dtype, name='level')(t)
    if self.num_classes:
      label = embed.Label(self.num_classes, self.width, dtype, name='label')
      signal = signal + label(cond['label'][:, first])
    signal = layout.runs(nn.silu(layout.runs(signal)))
    zeros = nn.initializers.zeros
    modulate = lambda parts, name: layout.runs(
      nn.Dense(parts * self.width, dtype=dtype, kernel_init=zeros, name=name)(signal)
    )
    modulation, last = modulate(6, 'modulation'), modulate(2, 'modulation_out')

    keys = (slots,) if cache is None else (cache.slots, slots)
    told = slice(*_told(slots, commit))
    queries = jax.tree.map(lambda leaf: leaf[..., told], slots._replace(coords=None))
    own = jax.ShapeDtypeStruct((layout.local_heads(self.heads), self.width // self.heads), dtype)
    see = lambda slots: attention.visible(
      slots, keys, self.reach, self.sinks, head=own if self.attention == 'kernel' else None
    )
    again = self.remat != 'none'
    block = nn.remat(Block, prevent_cse=False, policy=REMAT[self.remat]) if again else Block
    sizes = self.width, self.heads, self.mlp_ratio, self.dropout, dtype, lengths
    cached = [None] * self.depth if cache is None else list(zip(cache.k, cache.v))
    layer_keys = None if key is None else jax.random.split(key, self.depth)
    keys_of = lambda cut: None if key is None else layer_keys[cut]
    shared = modulation, rotary.turns(
      slots.coords, self.width // self.heads, base=self.rotary_base
    )
    fresh = []
    if self.depth > 1:
      layers = nn.scan(
        block,
        variable_axes={'params': 0},
        split_rngs={'params': True},
        in_axes=(0, nn.broadcast, nn.broadcast, nn.broadcast),
        length=self.depth - 1,
        unroll=1 if again else self.depth - 1,  # what is recomputed must stay in a loop
      )(*sizes, name='layers')
      early = jax.tree.map(lambda *leaves: jnp.stack(leaves), *cached[:-1])
      h, written = layers(h, (early, keys_of(slice(-1))), *shared, see(slots))
      fresh = [jax.tree.map(lambda leaf, i=i: leaf[i], written) for i in range(self.depth - 1)]
    last_layer = block(*sizes, (told.start, told.stop), name='last_layer')
    h, written = last_layer(h, (cached[-1], keys_of(-1)), *shared, see(queries))
    fresh.append(written)

    shift, scale = jnp.split(_over_slots(last, lengths)[:, told], 2, axis=-1)
    h = Norm(dtype, name='norm_out')(h) * (1 + scale) + shift
    wide = jnp.promote_types(dtype, jnp.float32)
    linear = nn.Dense(self.num_outputs, dtype=wide, kernel_init=zeros, name='out')
    if target is None:
      out = linear(h.astype(wide))
    else:
      linear, params = linear.unbind()
      read = lambda params, h: linear.apply(params, h.astype(wide))
      out = chunked.ask(read, params, h[:, :target[1].shape[1]], target)
    if cache is not None and commit:
      cache = self._append(cache, fresh, slots, commit)
    return out, cache

  def empty_cache(self, batch, rows, axes) -> Cache:
    """A cache of `rows` empty rows for `batch` examples and positions on `axes` axes."""
    shape = batch, self.heads, rows, self.width // self.heads
    zeros = lambda *more: jnp.zeros((rows, *more), jnp.int32)  # each its own: they may be donated
    slots = blocks_lib.Slots(
      block=zeros(), stream=zeros(), readable=jnp.zeros(rows, bool), segment=zeros() - 1,
      coords=zeros(axes), rank=zeros(),
    )
    # Or XLA, as it compiles, makes all scores of the first block against what it knows is empty.
    slots = jax.lax.optimization_barrier(slots)
    layers = lambda: tuple(jnp.zeros(shape, jnp.dtype(self.dtype)) for _ in range(self.depth))
    return Cache(layers(), layers(), slots, jnp.int32(0))

  def grow(self, cache: Cache, rows) -> Cache:
    """The cache with empty rows up to `rows`; one that has been full stays as it is."""
    more = rows - cache.slots.block.shape[0]
    if more <= 0:
      return cache
    empty = self.empty_cache(len(cache.k[0]), more, cache.slots.coords.shape[-1])
    join = lambda axis: lambda a, b: jnp.concatenate([a, b], axis)
    k, v = jax.tree.map(join(2), (cache.k, cache.v), (empty.k, empty.v))
    return Cache(k, v, jax.tree.map(join(0), cache.slots, empty.slots), cache.length)

  def _append(self, cache: Cache, fresh, slots, commit) -> Cache:
    """Writes the first `commit` of the fresh keys, values and slots behind the filled rows."""
    if not self.reach:
      put = lambda old, new, axis: jax.lax.dynamic_update_slice_in_dim(old, new, cache.length, axis)
    else:
      rows = cache.slots.block.shape[0]
      kept = jnp.sum((cache.slots.segment >= 0) & (cache.slots.block < self.sinks))
      index = cache.length + jnp.arange(commit)
      index = jnp.where(index < rows, index, kept + (index - kept) % (rows - kept))
      put = lambda old, new, axis: old.at[(slice(None),) * axis + (index,)].set(new)
    write = lambda old, new: put(old, new[:len(old), :, :commit], 2)
    k, v = (
      tuple(map(write, old, new))
      for old, new in zip((cache.k, cache.v), zip(*fresh, strict=True), strict=True)
    )
    rows = jax.tree.map(lambda old, new: put(old, new[:commit], 0), cache.slots, slots)
    return Cache(k, v, rows, cache.length + commit)


def _heads_first(leaf):
  """[B, S, H, D] -> [B, H, S, D], and back."""
  return jnp.swapaxes(leaf, 1, 2)


def _over_slots(signal, lengths):
  """[B, R, W], one a run of slots -> [B, S, W]. A broadcast, which is fused into what reads it: a
  gather would write it to memory, and scatter its gradient."""
  if lengths is None:
    return signal
  batch, _, width = signal.shape
  parts, first = [], 0
  for length, group in itertools.groupby(lengths):
    count = len(list(group))
    one = signal[:, first:first + count, None]
    one = jnp.broadcast_to(one, (batch, count, length, width))
    parts.append(one.reshape(batch, count * length, width))
    first += count
  return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=1)


def _told(slots, commit) -> tuple[int, int]:
  """(first, last) of the slots whose outputs anybody may want: those behind the committed ones, if
  any; and without a history copy that is known as such, unless it is read token by token."""
  num_slots = slots.block.shape[-1]
  if commit:
    return commit if commit < num_slots else 0, num_slots
  if all(isinstance(leaf, np.ndarray) for leaf in (slots.stream, slots.rank)):
    stream = slots.stream.reshape(-1)
    work = int(np.argmax(np.append(stream, 1)))
    if work and stream[work:].all() and not slots.rank.any():
      return 0, work
  return 0, num_slots
