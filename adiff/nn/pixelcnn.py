"""PixelCNN: autoregression on a grid by convolutions that read no later token (gated, without a
blind spot: arXiv:1606.05328; residual blocks of two convolutions: PixelCNN++, arXiv:1701.05517).

Two streams of features [B, H, W, F], each of a kernel that reads one side:

  down    at row r: of all tokens in rows before r       kernels 2 x 3, this row and the one above
  right   at (r, c): of those in row r before c, and     kernels 1 x 3, this place and two before,
          of `down` at (r, c)                            beside a product with `down`

They begin shifted, `down` with the tokens one row above and `right` with the token one place
before, so what is said of a token is a matter of earlier ones alone, and outputs of all tokens are
made in one call. Samples are made place by place (arXiv:1704.06001): `down` once a row, of the row
above, `right` once a place, of the two places before, each layer's kept in the cache. The same
modules serve both: what stands before a row or a place is zeros, or of the cache.
"""

import dataclasses
import math
from typing import Annotated, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from adiff.nn import conv, embed, layout, network, shifted
from adiff.nn.heads import chunked
from adiff.sequence import ask as ask_lib
from adiff.sequence import conditions, turns, values
from adiff.sequence import head as head_lib


class Kept(NamedTuple):
  """The cache: what the next place reads; L = 1 + 2 depth convolutions of a stream."""

  row: jax.Array  # [B, 1, W, F] embedded tokens: of this row, and behind them of the one above
  down: jax.Array  # [depth, B, 1, W, F] the stream in this row, after every layer
  above: jax.Array  # [L, B, 1, W, F] what its convolutions read of this row, for the next one
  before: jax.Array  # [L, B, 1, 2, F] what those of the other stream read of the last two places


@dataclasses.dataclass(frozen=True)
class PixelCNN(network.Network):
  """num_inputs and num_outputs come from the process, grid and conds from the data; of conditions
  it is told the label. It needs no level: a token is made of earlier ones in one call.

  width: features of either stream. depth: residual blocks of either.
  """

  num_inputs: int
  num_outputs: int
  grid: tuple[int, ...]
  conds: dict[str, conditions.Condition] = dataclasses.field(default_factory=dict)
  head: head_lib.Head = chunked.Chunked()  # noqa: RUF009
  width: values.Count = 64
  depth: values.Count = 4
  dropout: values.ShareBelow1 = 0.0
  dtype: Annotated[str, values.one_of('float32', 'float64', 'bfloat16')] = 'float32'

  reads, shifted, hinted, heads, remat, num_hints = (), True, 'none', 1, 'none', 0

  def __post_init__(self):
    values.check_fields(self, 'model')

  def needs(self, parts):
    if not parts.process.absorbing or parts.process.by_law or parts.spec.by_kind:
      raise ValueError(
        'model pixelcnn makes symbols of one kind; write process.name=masked and a codec of symbols'
      )
    shifted.needs(parts, 'model pixelcnn')
    if len(self.grid) != 2 or parts.blocks.order != tuple(range(math.prod(self.grid))):
      raise ValueError(
        f'model pixelcnn reads a grid of rows and columns, row by row, not {self.grid} in another '
        'order; write blocks.name=tokens and a codec of pictures, or model.name=denoiser'
      )
    if parts.spec.further:
      raise ValueError(
        f'model pixelcnn is told labels alone, and the data has {", ".join(parts.spec.further)}; '
        'write model.name=denoiser'
      )
    mesh = parts.config.mesh
    if mesh.tensor != 1 or mesh.sequence != 1:
      raise ValueError(
        'model pixelcnn splits examples and parameters alone; write mesh.tensor=1, mesh.sequence=1 '
        'and a larger mesh.fsdp'
      )

  def init(self, key, ask):
    height, width = self.grid
    keys = dict(zip(('token', 'down', 'right', 'label', 'out'), jax.random.split(key, 5)))
    tokens, signal = jnp.zeros((1, height, width, self.width)), None
    params = {'token': self._token.init(keys['token'], ask.x[:1])['params']}
    if conditions.LABEL in self.conds:
      params['label'] = self._label.init(keys['label'], jnp.zeros((1, 1), jnp.int32))['params']
      signal = jnp.zeros((1, self.width))
    (streams, _), own = _Down(self).init_with_output(
      keys['down'], tokens, self._zeros(1, 1, width), signal, None
    )
    params['down'] = own['params']
    params['right'] = _Right(self).init(
      keys['right'], tokens, streams, self._zeros(1, height, 2), signal, None
    )['params']
    return {**params, network.HEAD: self.head.init(keys['out'], self.width, self.num_outputs)}

  def denoise(self, params, *, key=None, loops=False):
    del loops  # nothing is worth to be made once
    wide = jnp.promote_types(jnp.dtype(self.dtype), jnp.float32)

    def trunk(ask):
      if ask.cache is None:
        return self._whole(params, ask, key), None
      return self._by_place(params, ask)

    return ask_lib.Denoise(trunk, self.head.bind(params[network.HEAD], wide))

  @property
  def _token(self):
    return embed.Token(self.num_inputs, self.width, jnp.dtype(self.dtype))

  @property
  def _label(self):
    return embed.Label(self.conds[conditions.LABEL].num, self.width, jnp.dtype(self.dtype))

  def _signal(self, params, ask):
    """[B, F] of the label, which all slots share; None: there is none."""
    if conditions.LABEL not in self.conds:
      return None
    return self._label.apply({'params': params['label']}, ask.cond[conditions.LABEL][:, :1])[:, 0]

  def _zeros(self, batch, rows, columns):
    """What stands before the first row, or the first places of rows, in every convolution."""
    return jnp.zeros((1 + 2 * self.depth, batch, rows, columns, self.width), jnp.dtype(self.dtype))

  def _whole(self, params, ask, key):
    """Features [B, N, F] of all tokens; of two streams the past is the history copy."""
    height, width = self.grid
    num, batch = height * width, len(ask.x)
    past = ask.x[:, num:]
    x = jnp.concatenate([past, ask.x[:, past.shape[1]:num]], axis=1)
    signal = self._signal(params, ask)
    tokens = self._token.apply({'params': params['token']}, x)
    tokens = layout.grid(tokens.reshape(batch, height, width, -1))
    above = jnp.pad(tokens, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :-1]
    before = jnp.pad(tokens, ((0, 0), (0, 0), (1, 0), (0, 0)))[:, :, :-1]
    keys = (None, None) if key is None else jax.random.split(key)
    streams, _ = _Down(self).apply(
      {'params': params['down']}, above, self._zeros(batch, 1, width), signal, keys[0]
    )
    h, _ = _Right(self).apply(
      {'params': params['right']}, before, streams, self._zeros(batch, height, 2), signal, keys[1]
    )
    return layout.grid(h).reshape(batch, num, -1)

  def _by_place(self, params, ask):
    """(features [B, T, F] of the slots behind the kept ones, the cache with those in it)."""
    signal, num_slots = self._signal(params, ask), ask.x.shape[1]

    def place(kept, slot):
      index, x = slot
      return self._place(params, signal, kept, index, x)

    def walked(kept, own):
      index = jnp.asarray(ask.slots.token).reshape(-1)[own]
      return jax.lax.scan(place, kept, (index, jnp.moveaxis(ask.x, 1, 0)[own]))

    cache, h = walked(ask.cache, slice(0, ask.keep)) if ask.keep else (ask.cache, None)
    if ask.keep < num_slots:
      _, h = walked(cache, slice(ask.keep, None))
    return jnp.moveaxis(h, 0, 1), cache

  def _place(self, params, signal, kept: Kept, index, x):
    """(the cache behind the token, features [B, F] that it is made of); x [B] what it is."""
    row, column = index // self.grid[1], index % self.grid[1]

    def another_row(kept):
      above, tokens = (jnp.where(row > 0, leaf, 0) for leaf in (kept.above, kept.row))
      down, above = _Down(self).apply({'params': params['down']}, tokens, above, signal, None)
      return kept._replace(down=down, above=above)

    with turns.branch('row', 1 / self.grid[1]):
      kept = jax.lax.cond(column == 0, another_row, lambda kept: kept, kept)
    token = jax.lax.dynamic_slice_in_dim(kept.row, jnp.maximum(column - 1, 0), 1, axis=2)
    token, before = (jnp.where(column > 0, leaf, 0) for leaf in (token, kept.before))
    here = jax.lax.dynamic_slice_in_dim(kept.down, column, 1, axis=3)
    h, before = _Right(self).apply({'params': params['right']}, token, here, before, signal, None)
    own = self._token.apply({'params': params['token']}, x[:, None])[:, None]
    own = jax.lax.dynamic_update_slice_in_dim(kept.row, own, column, axis=2)
    return kept._replace(row=own, before=before), h[:, 0, 0]

  def recomputing(self, policy):
    del policy
    return self

  def empty_cache(self, batch, places, axes):
    del places, axes  # two rows, however many tokens there are
    row = self._zeros(batch, 1, self.grid[1])
    return Kept(row[0], row[:self.depth], row, self._zeros(batch, 1, 2))

  def cache_bytes(self, batch, places):
    cache = jax.eval_shape(lambda: self.empty_cache(batch, places, 2))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in cache)

  def grow(self, cache, places):
    return cache

  def shorten(self, cache, places, *, least):
    raise ValueError('model pixelcnn has no copy to revise from; use model.name=denoiser')

  def tensor_axes(self):
    return {}

  def exchanged(self):
    return {'tensor': 0, 'sequence': 0, 'data': 0}


class _Causal(nn.Module):
  """A convolution of a row and the one above, or of a place and the two before."""

  of: PixelCNN
  features: int
  down: bool
  start: nn.initializers.Initializer = nn.initializers.lecun_normal()

  @nn.compact
  def __call__(self, h, before):
    """(of h [B, R, C, F], what the row or place behind it reads of it as `before`)."""
    axis, num = (1, 1) if self.down else (2, 2)
    h = jnp.concatenate([before, h], axis=axis)
    kernel, padding = ((2, 3), ((0, 0), (1, 1))) if self.down else ((1, 3), 'VALID')
    made = nn.Conv(
      self.features, kernel, padding=padding, dtype=jnp.dtype(self.of.dtype),
      kernel_init=self.start, name='conv',
    )(h)
    return made, jax.lax.slice_in_dim(h, h.shape[axis] - num, None, axis=axis)


class _Gated(nn.Module):
  """A residual block of two such convolutions, the second of which is gated."""

  of: PixelCNN
  down: bool

  @nn.compact
  def __call__(self, h, before, signal, beside, key):
    """(h [B, R, C, F], what is behind it of both convolutions); signal [B, F]: of the label;
    beside: the other stream."""
    of, dtype = self.of, jnp.dtype(self.of.dtype)
    made, first = _Causal(of, of.width, self.down, name='first')(nn.silu(h), before[0])
    if beside is not None:
      made = made + nn.Dense(of.width, dtype=dtype, name='beside')(nn.silu(beside))
    made = conv.dropped(nn.silu(made), of.dropout, key)
    zeros = nn.initializers.zeros
    both, second = _Causal(of, 2 * of.width, self.down, zeros, name='second')(made, before[1])
    if signal is not None:
      both = both + nn.Dense(2 * of.width, dtype=dtype, name='signal')(signal)[:, None, None]
    value, gate = jnp.split(both, 2, axis=-1)
    return h + value * nn.sigmoid(gate), (first, second)


class _Down(nn.Module):
  of: PixelCNN

  @nn.compact
  def __call__(self, above, before, signal, key):
    """(the stream [depth, B, R, W, F] after every layer, what the next row reads of its
    convolutions); above [B, R, W, F]: embedded tokens, one row down."""
    h, first = _Causal(self.of, self.of.width, True, name='tokens')(above, before[0])
    streams, behind = [], [first]
    for layer in range(self.of.depth):
      own = None if key is None else jax.random.fold_in(key, layer)
      gated = _Gated(self.of, True, name=f'block_{layer}')
      h, both = gated(h, before[1 + 2 * layer:3 + 2 * layer], signal, None, own)
      streams.append(h)
      behind += both
    return jnp.stack(streams), jnp.stack(behind)


class _Right(nn.Module):
  of: PixelCNN

  @nn.compact
  def __call__(self, tokens, down, before, signal, key):
    """(features [B, R, C, F], what the next place reads of its convolutions); tokens [B, R, C, F]:
    embedded, one place to the right; down [depth, B, R, C, F]."""
    h, first = _Causal(self.of, self.of.width, False, name='tokens')(tokens, before[0])
    behind = [first]
    for layer in range(self.of.depth):
      own = None if key is None else jax.random.fold_in(key, layer)
      gated = _Gated(self.of, False, name=f'block_{layer}')
      h, both = gated(h, before[1 + 2 * layer:3 + 2 * layer], signal, down[layer], own)
      behind += both
    return nn.silu(h), jnp.stack(behind)
