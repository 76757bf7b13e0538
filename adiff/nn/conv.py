"""Encoder and decoder of residual convolutions on a grid of one, two or three axes.

  x [B, *grid, D] - dense - blocks - fold 2 - dense - blocks - .. - norm - dense - z [B, *code, C]

and back. A grid is made coarser by folding 2 places of every axis into the features, before a
product of matrices: a stride costs no convolution, which CPUs make at a fraction of the speed.

Of three axes the first one is time, and nothing looks ahead: convolutions are padded before it
alone, norms and attention are those of a frame. A code tells of the first frame alone, and then of
groups of `frames` (MAGVIT-v2, arXiv:2310.05737): a picture is a film of one frame.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from adiff.nn import coder
from adiff.sequence import values

_POWER_OF_2 = values.Rule('must be a power of two', lambda num: num & (num - 1) == 0)
_GROUPS = 8  # of a norm's features, at most


@dataclasses.dataclass(frozen=True)
class Conv(coder.Coder):
  """Raises ValueError for a grid that cannot be halved as often as widths say."""

  grid: tuple[int, ...]
  dim: int
  num_channels: int
  widths: tuple[values.Count, ...] = (32, 64)  # features of each grid, from fine to coarse
  blocks: values.Count = 1  # residual blocks on a grid
  attention: bool = False  # on the coarsest grid
  local: bool = False  # what a code tells is of its own place alone: equal places, equal codes
  frames: Annotated[values.Count, _POWER_OF_2] = 1  # of a film, in a group
  dtype: Annotated[str, values.one_of('float32', 'bfloat16')] = 'float32'  # of the computation

  def __post_init__(self):
    values.check_fields(self, 'coder')
    halved = 2 ** (len(self.widths) - 1) if self.widths else 0
    time, space = _axes(self.grid)
    fits = halved and not any(side % halved for side in space)
    fits &= self.frames == 1 if not time else (time[0] - 1) % self.frames == 0
    if not fits or self.frames > halved:
      raise ValueError(
        f'coder.widths={self.widths} and coder.frames={self.frames} do not fit a grid of '
        f'{self.grid}: its sides must be multiples of 2**(len(widths) - 1), and of three axes the '
        'first one 1 + a multiple of frames, which that power must be a multiple of'
      )

  @property
  def code_grid(self):
    time, space = _axes(self.grid)
    return (
      *(1 + (num - 1) // self.frames for num in time),
      *(side // 2 ** (len(self.widths) - 1) for side in space),
    )

  @property
  def folds(self) -> tuple[tuple[int, ...], ...]:
    """Places of every axis that become one, before each grid but the first: the last ones fold
    time, too."""
    time, space = _axes(self.grid)
    plain, with_time = len(self.widths) - 1, self.frames.bit_length() - 1
    return tuple(
      (2 if level >= plain - with_time else 1,) * len(time) + (2,) * len(space)
      for level in range(plain)
    )

  @property
  def _head(self):
    return nn.Dense(self.dim, name='out')

  def init(self, key, channels):
    key_encoder, key_decoder, key_head = jax.random.split(key, 3)
    x = jnp.zeros((1, *self.grid, self.dim))
    z = jnp.zeros((1, *self.code_grid, channels))
    h = jnp.zeros((1, 1, self.widths[0]))
    return {
      'encoder': _Encoder(self).init(key_encoder, x)['params'],
      'decoder': Decoder(self).init(key_decoder, z)['params'],
      'head': self._head.init(key_head, h)['params'],
    }

  def encode(self, params, x):
    chex.assert_shape(x, (None, math.prod(self.grid), self.dim))
    x = x.reshape(len(x), *self.grid, self.dim)
    return _Encoder(self).apply({'params': params['encoder']}, x)

  def features(self, params, z):
    chex.assert_shape(z, (None, *self.code_grid, None))
    h = Decoder(self).apply({'params': params['decoder']}, z)
    return h.reshape(len(h), math.prod(self.grid), -1)

  def read(self, head, h):
    return self._head.apply({'params': head}, h)


def _axes(grid):
  """(the axis of time, those of space)."""
  return (grid[:1], grid[1:]) if len(grid) == 3 else ((), grid)


def stretched(grid) -> tuple[int, ...]:
  """The grid without its axes of one place: () of a point."""
  return tuple(num for num in grid if num > 1)


def fold(x, sides) -> jax.Array:
  """[B, *grid, C] -> [B, *(grid / sides), prod(sides) C]; a first axis of three is filled up in
  front, so that its first place is folded alone."""
  grid = x.shape[1:-1]
  if len(grid) == 3:
    x = jnp.pad(x, ((0, 0), (sides[0] - 1, 0), (0, 0), (0, 0), (0, 0)))
    grid = x.shape[1:-1]
  split = [part for num, side in zip(grid, sides, strict=True) for part in (num // side, side)]
  x = x.reshape(len(x), *split, x.shape[-1])
  coarse, inside = range(1, x.ndim - 1, 2), range(2, x.ndim - 1, 2)
  x = x.transpose(0, *coarse, *inside, x.ndim - 1)
  return x.reshape(*x.shape[:1 + len(grid)], -1)


def unfold(x, sides) -> jax.Array:
  """Inverse of `fold`."""
  grid, num = x.shape[1:-1], len(sides)
  x = x.reshape(len(x), *grid, *sides, -1)
  pairs = [axis for at in range(num) for axis in (1 + at, 1 + num + at)]
  x = x.transpose(0, *pairs, x.ndim - 1)
  x = x.reshape(len(x), *(n * side for n, side in zip(grid, sides, strict=True)), x.shape[-1])
  return x[:, sides[0] - 1:] if num == 3 else x


class Norm(nn.Module):
  """GroupNorm (arXiv:1803.08494); of three axes, each frame by itself."""

  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x):
    features = x.shape[-1]
    scale = self.param('scale', nn.initializers.ones, (features,), jnp.float32)
    bias = self.param('bias', nn.initializers.zeros, (features,), jnp.float32)
    wide = x.astype(jnp.promote_types(self.dtype, jnp.float32))
    groups = wide.reshape(*x.shape[:-1], math.gcd(features, _GROUPS), -1)
    axes = (*range(2 if x.ndim == 5 else 1, x.ndim - 1), groups.ndim - 1)
    mean = jnp.mean(groups, axes, keepdims=True)
    spread = jnp.mean(jnp.square(groups - mean), axes, keepdims=True)
    groups = (groups - mean) * jax.lax.rsqrt(spread + 1e-6)
    scale, bias = (jnp.expand_dims(one, range(x.ndim - 1)) for one in (scale, bias))
    return (groups.reshape(x.shape) * scale + bias).astype(self.dtype)


def halved(x) -> jax.Array:
  """[B, *grid, C] -> [B, *(grid / 2), C], means of 2 places of every axis, one or two."""
  places = fold(x, (2,) * (x.ndim - 2))
  return jnp.mean(places.reshape(*places.shape[:-1], -1, x.shape[-1]), axis=-2)


def doubled(x) -> jax.Array:
  """[B, *grid, C] -> [B, *(2 grid), C], every place twice on every axis, one or two."""
  axes = x.ndim - 2
  return unfold(jnp.concatenate([x] * 2**axes, axis=-1), (2,) * axes)


def dropped(h, share, key) -> jax.Array:
  """h with this share of features at 0 and the others larger; as it is without a key."""
  if key is None or not share:
    return h
  return jnp.where(jax.random.bernoulli(key, 1 - share, h.shape), h / (1 - share), 0)


class Block(nn.Module):
  """Two convolutions, 3 places wide, beside the identity, as which it begins; of a grid without
  axes, a point, two products.

  features: of the result; None: those of x, else a product stands beside instead of the identity.
  resample: what makes both branches coarser or finer, `halved` or `doubled`.
  dropout: share of features that the second convolution does not see.
  """

  dtype: jnp.dtype
  features: int | None = None
  resample: Callable[[jax.Array], jax.Array] | None = None
  dropout: float = 0.0

  @nn.compact
  def __call__(self, x, signal=None, key=None):
    """[B, *grid, features]. signal [B, E]: makes scale and shift of the features between the two
    convolutions (Nichol & Dhariwal 2021, arXiv:2102.09672). key: turns dropout on."""
    features = x.shape[-1] if self.features is None else self.features
    h = nn.silu(Norm(self.dtype, name='first_norm')(x))
    if self.resample is not None:
      x, h = self.resample(x), self.resample(h)
    h = self._conv(h, features, 'first', nn.initializers.lecun_normal())
    h = Norm(self.dtype, name='second_norm')(h)
    if signal is not None:
      told = nn.Dense(2 * features, dtype=self.dtype, name='signal')(nn.silu(signal))
      told = jnp.expand_dims(told, range(1, x.ndim - 1))
      scale, shift = jnp.split(told, 2, axis=-1)
      h = h * (1 + scale) + shift
    h = dropped(nn.silu(h), self.dropout, key)
    h = self._conv(h, features, 'second', nn.initializers.zeros)
    if features != x.shape[-1]:
      x = nn.Dense(features, dtype=self.dtype, name='beside')(x)
    return x + h

  def _conv(self, h, features, name, kernel):
    axes = h.ndim - 2
    padding = [(2, 0) if axes == 3 and axis == 0 else (1, 1) for axis in range(axes)]
    how = dict(dtype=self.dtype, kernel_init=kernel, name=name)
    conv = nn.Conv(features, (3,) * axes, padding=padding, **how) if axes else nn.Dense(
      features, **how
    )
    return conv(h)


class Attention(nn.Module):
  """Every place reads all others of its frame, beside the identity, as which it begins."""

  dtype: jnp.dtype
  heads: int = 1

  @nn.compact
  def __call__(self, x):
    features = x.shape[-1]
    h = Norm(self.dtype, name='norm')(x)
    h = h.reshape(-1, *h.shape[2:]) if x.ndim == 5 else h
    h = h.reshape(len(h), -1, features)
    q, k, v = (
      nn.Dense(features, use_bias=False, dtype=self.dtype, name=name)(h).reshape(
        *h.shape[:2], self.heads, -1
      )
      for name in ('q', 'k', 'v')
    )
    h = jax.nn.dot_product_attention(q, k, v).reshape(h.shape)
    out = nn.Dense(features, dtype=self.dtype, kernel_init=nn.initializers.zeros, name='out')
    return x + out(h).reshape(x.shape)


class _Encoder(nn.Module):
  coder: Conv

  @nn.compact
  def __call__(self, x):
    coder, dtype = self.coder, jnp.dtype(self.coder.dtype)
    folds = ((), *coder.folds)
    if coder.local:
      for sides in coder.folds:
        x = fold(x, sides)
      places, x = x.shape[:-1], x.reshape(-1, x.shape[-1])  # each an example without a grid
      folds = ((),)
    for level, (width, sides) in enumerate(zip(coder.widths[-len(folds):], folds, strict=True)):
      x = fold(x, sides) if sides else x
      x = nn.Dense(width, dtype=dtype, name=f'in_{level}')(x)
      for number in range(coder.blocks):
        x = Block(dtype, name=f'block_{level}_{number}')(x)
    x = Attention(dtype, name='attention')(x) if coder.attention and not coder.local else x
    x = nn.silu(Norm(dtype, name='norm')(x)).astype(jnp.float32)
    x = nn.Dense(coder.num_channels, name='out')(x)
    return x.reshape(*places, -1) if coder.local else x


class Decoder(nn.Module):
  """The decoder up to its head: z [B, *code, C] -> [B, *grid, F]."""

  coder: Conv

  @nn.compact
  def __call__(self, z):
    coder, dtype = self.coder, jnp.dtype(self.coder.dtype)
    x = nn.Dense(coder.widths[-1], dtype=dtype, name='in')(z)
    x = Attention(dtype, name='attention')(x) if coder.attention else x
    for level in reversed(range(len(coder.widths))):
      for number in range(coder.blocks):
        x = Block(dtype, name=f'block_{level}_{number}')(x)
      if level:
        sides = coder.folds[level - 1]
        x = nn.Dense(coder.widths[level - 1] * math.prod(sides), dtype=dtype, name=f'up_{level}')(x)
        x = unfold(x, sides)
    return nn.silu(Norm(dtype, name='norm')(x)).astype(jnp.float32)


@dataclasses.dataclass(frozen=True)
class Critic:
  """A patch discriminator (pix2pix, arXiv:1611.07004): x [B, N, D] -> logits [B, M], above 0 where
  a place and its surroundings look like data. widths, blocks: as those of `Conv`. classes: with
  any, it is told the label of every example, at every place."""

  grid: tuple[int, ...]
  dim: int
  widths: tuple[int, ...]
  blocks: int = 1
  classes: int = 0

  @property
  def _encoder(self):
    return Conv(self.grid, self.dim + self.classes, 1, self.widths, self.blocks)

  def init(self, key) -> dict:
    """Its parameters, float32."""
    return self._encoder.init(key, 1)['encoder']

  def __call__(self, params, x, label=None) -> jax.Array:
    if self.classes:
      told = jax.nn.one_hot(label, self.classes, dtype=x.dtype)[:, None]
      told = jnp.broadcast_to(told, (*x.shape[:2], self.classes))
      x = jnp.concatenate([x, told], axis=-1)
    z = self._encoder.encode({'encoder': params}, x)
    return z.reshape(len(z), -1)
