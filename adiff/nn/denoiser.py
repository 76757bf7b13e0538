"""The denoiser: a transformer on slots. It knows tokens, levels and slots; nothing of streams,
regimes or sampling.

DiT (arXiv:2212.09748) with per-slot adaLN-zero from one shared modulation network plus an offset a
layer (PixArt-alpha, arXiv:2310.00426, section 2.3), RMSNorm, QK-norm, rotary positions, a gated
MLP. Layers are scanned.

  h = token(x) + hint + features + position          [B, S, W]
  signal = silu(level(t, s) + conditions)            [B, S, W], or [B, M, W] one a copy of a block
  for every layer:  h = block(h, modulation(signal) + offset of the layer, keys of memories)
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
  attention,
  block,
  embed,
  hinting,
  layout,
  memory,
  network,
  norm,
  rotary,
  shifted,
)
from adiff.nn import cache as cache_lib
from adiff.nn.heads import chunked
from adiff.sequence import ask as ask_lib
from adiff.sequence import conditions, copies, values
from adiff.sequence import head as head_lib
from adiff.sequence import tokens as tokens_lib

MEMORY = 'memory'  # parameters that make keys of what is given
DTYPES = ('float32', 'bfloat16', 'float16', 'float64')


@dataclasses.dataclass(frozen=True)
class Denoiser(network.Network):
  """num_inputs and num_outputs come from the process, conds {name: Condition} from the data, hints
  {name: floats} from the codec; width, depth and heads are the size. Tokens of several kinds share
  the trunk: each kind has an embedding and a head of its own, and an offset of the levels' signal
  says which kind a block is of.

  reach: a block reads at most that many blocks before it (None: all), and the first `sinks`.
  encoder: layers of what reads a memory's symbols, see memory.py.
  self_condition: it can be shown its own last estimate of the outputs' size.
  hinted: how it is shown hints, see hinting.py.
  told: of levels t alone, or also that asked for: the 'difference' t - s, or s, see embed.Level.
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
  encoder: values.Whole = 2
  rotary_base: values.Positive = 100.0
  reach: values.Whole | None = None
  sinks: values.Whole = 0
  self_condition: bool = False
  hinted: Annotated[str, values.one_of(*hinting.WAYS)] = hinting.NONE
  told: Annotated[str, values.one_of(*embed.TOLD)] = 't'
  shifted: bool = False
  apart: bool = False
  remat: Annotated[str, values.one_of(*block.REMAT)] = 'none'
  dtype: Annotated[str, values.one_of(*DTYPES)] = 'float32'
  attention: Annotated[str, values.one_of('xla', 'kernel')] = 'xla'

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
    return cache_lib.empty(
      batch, self.heads, places, self.width // self.heads,
      depth=self.depth, dtype=jnp.dtype(self.dtype), axes=axes,
    )

  def cache_bytes(self, batch, places):
    return 2 * self.depth * batch * places * self.width * jnp.dtype(self.dtype).itemsize

  def grow(self, cache, places):
    more = places - cache_lib.num_places(cache)
    if more <= 0:
      return cache
    axes = cache.slots.coords.shape[-1]
    return cache_lib.joined(cache, self.empty_cache(len(cache.k[0]), more, axes))

  def shorten(self, cache, places, *, least):
    if self.shifted:
      raise ValueError('a shifted stream has no copy to revise from; use model.shifted=False')
    have = cache_lib.num_places(cache)
    if have < least:
      raise ValueError(
        f'the cache has {have} places, and revision needs all {least} before the last block; use '
        'model.reach=None and a cache of capacity.places(plan, blocks)'
      )
    return cache_lib.shortened(cache, places)

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
    if isinstance(ask.x, tokens_lib.Tokens):
      signal = signal + self._kinds(ask.x.runs)[first][None]
    signal = layout.copies(nn.silu(layout.copies(signal)))
    modulation = self._modulate(signal, 6, 'modulation')
    modulation_out = self._modulate(signal, 2, 'modulation_out')
    wanted = network.wanted(ask.slots, ask.keep)
    h, fresh = self._layers(h, ask, modulation, lengths, wanted, key)
    modulation_out = block.over_slots(modulation_out, lengths)[:, slice(*wanted)]
    shift, scale = jnp.split(modulation_out, 2, axis=-1)
    h = norm.Norm(dtype, name='norm_out')(h) * (1 + scale) + shift
    cache = ask.cache
    if cache is not None and ask.keep:
      cache = cache_lib.append(cache, fresh, ask.slots, ask.keep, reach=of.reach, sinks=of.sinks)
    return h, cache

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

  def _layers(self, h, ask, modulation, lengths, wanted, key):
    """(h of the wanted slots, [(keys, values)] of every layer and all slots). All layers but the
    last are one scan; the last one makes queries of the wanted slots alone."""
    of, cache, slots = self.of, ask.cache, ask.slots
    turns = rotary.turns(slots.coords, of.width // of.heads, base=of.rotary_base)
    queries = jax.tree.map(lambda leaf: leaf[..., slice(*wanted)], slots._replace(coords=None))
    cached = [None] * of.depth if cache is None else list(zip(cache.k, cache.v))
    keys = None if key is None else jax.random.split(key, of.depth)
    remembered, given = self._remembered(ask)
    recompute = of.remat != 'none'
    layer = block.Block
    if recompute:
      layer = nn.remat(layer, prevent_cse=False, policy=block.REMAT[of.remat])
    sizes = of.width, of.heads, of.mlp_ratio, of.dropout, jnp.dtype(of.dtype), lengths
    fresh = []
    if of.depth > 1:
      layers = nn.scan(
        layer,
        variable_axes={'params': 0},
        split_rngs={'params': True},
        in_axes=(0, nn.broadcast),
        length=of.depth - 1,
        unroll=1 if recompute else of.depth - 1,  # what is recomputed must stay in a loop
      )(*sizes, name=network.STACK)
      stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *cached[:-1])
      own = block.Own(
        stacked, jax.tree.map(lambda leaf: leaf[:-1], remembered),
        None if keys is None else keys[:-1],
      )
      shared = block.Shared(modulation, turns, self._seen(slots, ask), _shown(given))
      h, written = layers(h, own, shared)
      fresh = [jax.tree.map(lambda leaf, i=i: leaf[i], written) for i in range(of.depth - 1)]
    own = block.Own(
      cached[-1], jax.tree.map(lambda leaf: leaf[-1], remembered),
      None if keys is None else keys[-1],
    )
    last_layer = layer(*sizes, wanted, name='last_layer')
    given = None if given is None else given[:, slice(*wanted)]
    shared = block.Shared(modulation, turns, self._seen(queries, ask), _shown(given))
    h, written = last_layer(h, own, shared)
    return h, [*fresh, written]

  def _remembered(self, ask):
    """((keys, values) [layers, P, H, R, D] of all memories, bool [B, S, R] who sees them: the null
    row of each always); (None, None) where there are none."""
    recalled = [ask.cond[name] for name in self.of.memories]
    if not recalled:
      return None, None
    keys = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=3), *(
      one.keys for one in recalled
    ))
    beside = ((0, 0), (0, 0), (1, 0))
    given = [jnp.pad(one.mask, beside, constant_values=True) for one in recalled]
    return keys, jnp.concatenate(given, axis=2)

  def _seen(self, queries, ask):
    """What queries see of the cache and of the call's own slots."""
    of = self.of
    pieces = (ask.slots,) if ask.cache is None else (ask.cache.slots, ask.slots)
    shape = layout.local_heads(of.heads), of.width // of.heads
    head = jax.ShapeDtypeStruct(shape, jnp.dtype(of.dtype)) if of.attention == 'kernel' else None
    return attention.visible(queries, pieces, of.reach, of.sinks, head=head)


def _condition(name) -> str:
  """What the parameters of a condition are called; the label's as before there were others."""
  return name if name == conditions.LABEL else f'cond_{name}'


def _shown(given) -> attention.Seen | None:
  """What slots see of memories."""
  return None if given is None else attention.shown(given, given.shape[-1])
