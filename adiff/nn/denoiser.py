"""The denoiser: a transformer on slots. It knows tokens, levels and slots; nothing of streams,
regimes or sampling.

DiT (arXiv:2212.09748) with per-slot adaLN-zero from one shared modulation network plus an offset a
layer (PixArt-alpha, arXiv:2310.00426, section 2.3), RMSNorm, QK-norm, rotary positions, a gated
MLP. Layers are scanned.

  h = token(x) + hint + features + position          [B, S, W]
  signal = silu(level(t, s) + conditions)            [B, S, W], or [B, M, W] one a copy of a block
  for every layer:  h = block(h, modulation(signal) + offset of the layer, keys of memories)
                    (or modulation of the layer, see `modulated`)
  h = norm(h) (1 + scale(signal)) + shift(signal)    features; the head makes outputs of them
"""

import dataclasses
from typing import Annotated

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from adiff.nn import (
  apart,
  block,
  embed,
  hinting,
  layers,
  layout,
  memory,
  network,
  norm,
  shifted,
)
from adiff.nn import cache as cache_lib
from adiff.nn.heads import chunked
from adiff.sequence import ask as ask_lib
from adiff.sequence import conditions, copies, values
from adiff.sequence import head as head_lib
from adiff.sequence import tokens as tokens_lib

MEMORY = 'memory'  # parameters that make keys of what is given
Reach = values.Whole | None
DTYPES = ('float32', 'bfloat16', 'float16', 'float64')


@dataclasses.dataclass(frozen=True)
class Denoiser(network.Network):
  """num_inputs and num_outputs come from the process, conds {name: Condition} from the data, hints
  {name: floats} from the codec; width, depth and heads are the size. Tokens of several kinds share
  the trunk: each kind has an embedding and a head of its own, and an offset of the levels' signal
  says which kind a block is of.

  reach: a block reads at most that many blocks before it (None: all), and the first `sinks`; where
  layers differ, (layers, reach) of each group of them, from the first layer on, and as many sinks.
  Layers that reach nothing keep nothing.
  modulated: by what all layers share, or 'layers': by a network in each, as DiT's.
  encoder: layers of what reads a memory's symbols, see memory.py.
  self_condition: it can be shown its own last estimate of the outputs' size.
  hinted: how it is shown hints, see hinting.py.
  told: of levels t alone, or also that asked for: the 'difference' t - s, or s, see embed.Level.
  guided: what it is told of its guidance, see embed.Guidance.
  shifted, apart: which token a slot carries, and which slots it reads, see shifted.py, apart.py.
  remat: what the backward pass recomputes, one of block.REMAT.
  dtype: of the computation; parameters are float32.
  attention: xla, or kernel, the fused one of the platform: on TPUs that of splash.py, on GPUs that
  of flash.py, elsewhere as xla.
  """

  num_inputs: int | tuple[tuple[str, int], ...]
  num_outputs: int | tuple[tuple[str, int], ...]
  conds: dict[str, conditions.Condition] = dataclasses.field(default_factory=dict)
  hints: dict[str, int] = dataclasses.field(default_factory=dict)
  head: head_lib.Head = chunked.Chunked()  # noqa: RUF009
  width: Annotated[values.Count, values.between(1, 2**20)] = 128
  depth: Annotated[values.Count, values.between(1, 2**12)] = 4
  heads: values.Count = 4
  mlp_ratio: Annotated[values.Positive, values.between(0, 64)] = 4.0
  dropout: values.ShareBelow1 = 0.0
  modulated: Annotated[str, values.one_of(*block.MODULATED)] = block.SHARED
  encoder: values.Whole = 2
  rotary_base: values.Positive = 100.0
  reach: Reach | tuple[tuple[values.Count, Reach], ...] = None
  sinks: values.Whole | tuple[values.Whole, ...] = 0
  self_condition: bool = False
  hinted: Annotated[str, values.one_of(*hinting.WAYS)] = hinting.NONE
  told: Annotated[str, values.one_of(*embed.TOLD)] = 't'
  guided: Annotated[str, values.one_of(*embed.GUIDED)] = embed.NONE
  shifted: bool = False
  apart: bool = False
  remat: Annotated[str, values.one_of(*block.REMAT)] = 'none'
  dtype: Annotated[str, values.one_of(*DTYPES)] = 'float32'
  attention: Annotated[str, values.one_of('xla', 'kernel')] = 'xla'

  several_kinds = True

  def __post_init__(self):
    values.check_fields(self, 'model')
    if self.width % (2 * self.heads):
      raise ValueError(
        f'model.width={self.width} must be a multiple of 2 * model.heads={2 * self.heads}'
      )
    if block.hidden(self.width, self.mlp_ratio) < 1:
      raise ValueError(
        f'model.mlp_ratio={self.mlp_ratio} of model.width={self.width} leaves the MLP no features'
      )

    layers.groups_of(self.depth, self.reach, self.sinks)

  @property
  def groups(self) -> tuple[network.Group, ...]:
    """Layers that read as far back."""
    return layers.groups_of(self.depth, self.reach, self.sinks)

  @property
  def reads(self):
    return tuple(network.Reads(one.reach, one.sinks) for one in self.groups if one.keeps)

  def needs(self, parts):
    for way in (shifted, hinting, apart):
      way.needs(parts)

  @property
  def num_hints(self):
    return self.num_outputs if self.self_condition else 0

  @property
  def memories(self) -> dict[str, conditions.Memory]:
    """Those of its conditions that cross-attention reads."""
    return {name: one for name, one in self.conds.items() if isinstance(one, conditions.Memory)}

  def init(self, key, ask):
    cond, own = conditions.nothing(self.conds, *ask.x.shape[:2]), {}
    ask = hinting.nothing(ask, self.hints)
    if self.memories:
      key_memory = jax.random.fold_in(key, 1)
      cond, own = memory.Memory(self).init_with_output(key_memory, cond)
      own = {MEMORY: own['params']}
    cond = {name: conditions.over_slots(value, ask.slots) for name, value in cond.items()}
    params = Trunk(self).init(key, dataclasses.replace(ask, cond=cond), None)['params']
    return {**params, **own, network.HEAD: self.head.init(key, self.width, self.num_outputs)}

  def denoise(self, params, *, key=None, loops=False):
    bind = self._cut_layers(params) if loops else lambda: params
    wide = jnp.promote_types(jnp.dtype(self.dtype), jnp.float32)

    def trunk(ask):
      return Trunk(self).apply({'params': bind()}, ask, key)

    def remember(cond):
      return memory.Memory(self).apply({'params': params[MEMORY]}, cond)

    denoise = ask_lib.Denoise(
      trunk, self.head.bind(params[network.HEAD], wide), remember if self.memories else dict
    )
    denoise = hinting.alone(denoise) if self.hinted == hinting.ALONE else denoise
    denoise = apart.apart(denoise) if self.apart else denoise
    return shifted.shift(denoise) if self.shifted else denoise

  def _cut_layers(self, params):
    """() -> params, whose layers are cut out of their stack here, once: in every call the compiler
    would copy them, a tenth of a rollout on a CPU."""
    if self.remat != 'none' or self.depth == 1:
      return lambda: params
    stack = params[network.STACK]
    layers = [jax.tree.map(lambda leaf, i=i: leaf[i], stack) for i in range(self.depth - 1)]
    return lambda: {**params, network.STACK: jax.tree.map(lambda *leaf: jnp.stack(leaf), *layers)}

  def recomputing(self, policy):
    return dataclasses.replace(self, remat=policy)

  def empty_cache(self, batch, places, axes):
    return tuple(
      cache_lib.empty(
        batch, self.heads, own, self.width // self.heads,
        depth=num, dtype=jnp.dtype(self.dtype), axes=axes,
      ) for num, own in self._each(places)
    )

  def cache_bytes(self, batch, places):
    kept = sum(num * own for num, own in self._each(places))
    return 2 * kept * batch * self.width * jnp.dtype(self.dtype).itemsize

  def _each(self, places):
    """[(layers, places)] of every cache."""
    depths = [group.end - group.first for group in self.groups if group.keeps]
    places = places if isinstance(places, tuple) else (places,) * len(depths)
    return list(zip(depths, places, strict=True))

  def grow(self, cache, places):
    more = tuple(
      max(wanted - cache_lib.num_places(own), 0)
      for own, (_, wanted) in zip(cache, self._each(places), strict=True)
    )
    if not any(more):
      return cache
    batch, axes = len(cache[0].k[0]), cache[0].slots.coords.shape[-1]
    return tuple(
      cache_lib.joined(own, beside) if num else own
      for own, beside, num in zip(cache, self.empty_cache(batch, more, axes), more, strict=True)
    )

  def shorten(self, cache, places, *, least):
    if self.shifted:
      raise ValueError('a shifted stream has no copy to revise from; use model.shifted=False')
    have = min(map(cache_lib.num_places, cache), default=least)
    if have < least:
      raise ValueError(
        f'the cache has {have} places, and revision needs all {least} before the last block; use '
        'model.reach=None and a cache of capacity.places(plan, blocks)'
      )
    return tuple(cache_lib.shortened(own, places) for own in cache)

  def tensor_axes(self):
    read = {
      'cross_q/kernel': -2,  # [W, H, D]
      'cross_out/kernel': -3,  # [H, D, W]
      f'{MEMORY}/keys/kernel': -2,  # [W, layers, 2, H, D]
    }
    return (read if self.memories else {}) | {
      'qkv/kernel': -2,  # [W, 3, H, D]
      'attention_out/kernel': -3,  # [H, D, W]
      'mlp_in/kernel': -1,  # [W, 2, F]
      'mlp_out/kernel': -2,  # [F, W]
    }

  def exchanged(self):
    # A layer sums its two results over tensor, backward its two inputs, and with cross-attention a
    # third of each; over sequence it exchanges q, k, v and their attention, forward and backward.
    again = self.remat in ('layers', 'offload')
    layers, summed = self.depth * self.width, 3 if self.memories else 2
    return {
      'tensor': (2 * summed + again * (summed - 1)) * layers,
      'sequence': (12 if again else 8) * layers,
      'data': self.width,  # the gradient of the positions
    }


class Trunk(nn.Module):
  """The network up to its features."""

  of: Denoiser

  @nn.compact
  def __call__(self, ask: ask_lib.Ask, key):
    """(features [B, T, W], cache) of the T slots that are wanted; key: turns dropout on."""
    of, dtype = self.of, jnp.dtype(self.of.dtype)
    h = self._embed(ask)
    per_slot = ask.t.shape[1] == ask.x.shape[1]
    first, lengths = (slice(None), None) if per_slot else copies.find(ask.slots, ask.t.shape[1])
    signal = embed.Level(of.width, dtype, of.told, name='level')(ask.t, ask.s)
    for name, cond in of.conds.items():
      if isinstance(cond, conditions.Label):
        label = embed.Label(cond.num, of.width, dtype, name=_condition(name))
        signal = signal + label(ask.cond[name][:, first])
      elif isinstance(cond, conditions.Features) and not cond.per_token:
        features = embed.Features(of.width, dtype, name=_condition(name))
        signal = signal + features(ask.cond[name][:, first])
    guidance = ask.cond.get(conditions.GUIDANCE, jnp.ones((*ask.x.shape[:2], 3)))
    if of.hears_guidance:
      told = embed.Guidance(of.width, of.guided, dtype, name=conditions.GUIDANCE)
      signal = signal + told(guidance[:, first])
    if isinstance(ask.x, tokens_lib.Tokens):
      signal = signal + self._kinds(ask.x.runs)[first][None]
    signal = layout.copies(nn.silu(layout.copies(signal)))
    modulation = signal
    if of.modulated == block.SHARED:
      modulation = self._modulate(signal, 6, 'modulation')
    modulation_out = self._modulate(signal, 2, 'modulation_out')
    wanted = network.wanted(ask.slots, ask.keep)
    h, fresh = layers.through(self, h, ask, modulation, lengths, wanted, key)
    modulation_out = block.over_slots(modulation_out, lengths)[:, slice(*wanted)]
    shift, scale = jnp.split(modulation_out, 2, axis=-1)
    h = norm.Norm(dtype, name='norm_out')(h) * (1 + scale) + shift
    return h, layers.written(of, ask, fresh) if ask.keep else ask.cache

  def _embed(self, ask):
    """[B, S, W] of tokens, hints, features and positions."""
    of, dtype = self.of, jnp.dtype(self.of.dtype)
    if of.hinted == hinting.ALONE:
      h = jnp.zeros((*ask.x.shape[:2], of.width), dtype)
    elif isinstance(ask.x, tokens_lib.Tokens):
      num_inputs = dict(of.num_inputs)
      h = tokens_lib.gather({
        kind: embed.Token(num_inputs[kind], of.width, dtype, name=f'token_{kind}')(own)
        for kind, own in ask.x.parts.items()
      }, ask.x.runs)
    else:
      h = embed.Token(of.num_inputs, of.width, dtype, name='token')(ask.x)
    if of.self_condition:
      hint = ask.hint.get(network.ESTIMATE)
      hint = jnp.zeros((*ask.x.shape[:2], of.num_hints)) if hint is None else hint
      h = h + nn.Dense(of.width, use_bias=False, dtype=dtype, name='hint')(hint)
    if of.hinted != hinting.NONE:
      h = h + embed.Hints(tuple(of.hints), of.width, dtype, name='hints')(ask.hint)
    for name, cond in of.conds.items():
      if isinstance(cond, conditions.Features) and cond.per_token:
        h = h + embed.Features(of.width, dtype, name=_condition(name))(ask.cond[name])
    position = embed.Position(of.width, dtype, name='position')(ask.slots.coords)
    return layout.slots(h + (position if position.ndim == 3 else position[None]))

  def _kinds(self, runs):
    """[S, W], what each slot's kind adds to its signal."""
    kinds = [kind for kind, _ in self.of.num_inputs]
    init = nn.initializers.normal(0.02)
    table = self.param('kind', init, (len(kinds), self.of.width), jnp.float32)
    row = np.repeat([kinds.index(kind) for kind, _ in runs], [num for _, num in runs])
    return table.astype(jnp.dtype(self.of.dtype))[row]

  def _modulate(self, signal, parts, name):
    zeros = nn.initializers.zeros
    dense = nn.Dense(
      parts * self.of.width, dtype=jnp.dtype(self.of.dtype), kernel_init=zeros, name=name
    )
    return layout.copies(dense(signal))


def _condition(name) -> str:
  """What the parameters of a condition are called; the label's as before there were others."""
  return name if name == conditions.LABEL else f'cond_{name}'
