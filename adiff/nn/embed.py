"""Into the network's width: tokens, levels, positions, conditions."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from adiff.nn import layout

TOLD = ('t', 'difference', 'pair')  # which levels a network is told
# What of its guidance a network is told: nothing; the scale; or also between which levels it acts.
NONE, SCALE, INTERVAL = GUIDED = ('none', 'scale', 'interval')


def sinusoid(value, width, *, max_period=10_000.0, scale=1000.0) -> jax.Array:
  """[..] -> [.., width]: cos and sin of scale * value at geometric frequencies.

  In the default float whatever the network computes in: bfloat16 would round levels.
  """
  half = width // 2
  frequency = jnp.exp(-jnp.log(max_period) * jnp.arange(half, dtype=float) / half)
  angle = jnp.multiply.outer(scale * value.astype(float), frequency)
  return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)


def unknown(x) -> jax.Array:
  """bool [..]: which vectors [.., D] are."""
  return jnp.any(jnp.isnan(x), axis=-1)


class Token(nn.Module):
  """Symbols [B, S] are looked up among num_inputs; vectors [B, S, num_inputs] are projected. Those
  of one float less may be unknown, which is nan: the last input alone says so, a mask embedding.
  """

  num_inputs: int
  width: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x):
    if jnp.issubdtype(x.dtype, jnp.integer):
      init = nn.initializers.normal(1.0)  # a position's projection is as large
      table = nn.Embed(
        self.num_inputs, self.width, dtype=self.dtype, embedding_init=init, name='symbol'
      )
      return table(x)
    if x.shape[-1] < self.num_inputs:
      hidden = unknown(x)[..., None]
      x = jnp.concatenate([jnp.where(hidden, 0, x), hidden.astype(x.dtype)], axis=-1)
    return nn.Dense(self.width, dtype=self.dtype, name='vector')(x)


class Level(nn.Module):
  """Levels t [B, S] in [0, 1] -> [B, S, width]: sinusoid and a two-layer MLP (DiT,
  arXiv:2212.09748).

  told: with 'difference' or 'pair' what the level s [B, S] that is asked for says is added; None: s
  = t.
  """

  width: int
  dtype: jnp.dtype
  told: str = 't'

  @nn.compact
  def __call__(self, t, s=None):
    features = sinusoid(t, min(256, self.width)).astype(self.dtype)
    hidden = layout.copies(nn.Dense(self.width, dtype=self.dtype, name='hidden')(features))
    level = nn.Dense(self.width, dtype=self.dtype, name='out')(layout.copies(nn.silu(hidden)))
    if self.told == 't' or s is None and not self.is_initializing():
      return level
    ahead = Ahead(self.width, self.told, self.dtype, name='ahead')
    return level + ahead(t, t if s is None else s)


class Ahead(nn.Module):
  """Levels t and s [B, S] -> [B, S, width], exactly 0 where s = t, and everywhere at first: a flow
  map's network is the denoiser there, whatever else it has learnt.

  of: what is told besides t, the 'difference' t - s, or s itself, so that the 'pair' is known; its
  features less those at s = t. They are slow in the levels, by which maps are differentiated.
  """

  width: int
  of: str
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, t, s):
    hidden = nn.Dense(self.width, dtype=self.dtype, name='hidden')
    zeros = nn.initializers.zeros
    out = nn.Dense(
      self.width, use_bias=False, dtype=self.dtype, kernel_init=zeros, name='out'
    )

    def features(level):
      slow = sinusoid(level, min(128, self.width), max_period=100.0, scale=10.0)
      return nn.silu(hidden(slow.astype(self.dtype)))

    told, none = (t - s, jnp.zeros_like(t)) if self.of == 'difference' else (s, t)
    return out(layout.copies(features(told) - features(none)))


class Guidance(nn.Module):
  """Guidance [B, S, 3], its scale from 1 on and the two levels between which it acts -> [B, S,
  width]; exactly 0 at scale 1 and where nothing is told, which is nan, and everywhere at first: the
  network without guidance is there, whatever else it has learnt.

  of: SCALE or INTERVAL. Features of 1 - 1 / scale, which no scale takes out of [0, 1), and of the
  levels, less those at scale 1; see Ahead.
  """

  width: int
  of: str
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, value):
    hidden = nn.Dense(self.width, dtype=self.dtype, name='hidden')
    zeros = nn.initializers.zeros
    out = nn.Dense(
      self.width, use_bias=False, dtype=self.dtype, kernel_init=zeros, name='out'
    )
    value = jnp.where(jnp.isnan(value), 1, value)
    strength, ends = 1 - 1 / value[..., :1], value[..., 1:]

    def features(strength):
      told = jnp.concatenate([strength, ends], axis=-1) if self.of == INTERVAL else strength
      slow = sinusoid(told, min(128, self.width), max_period=100.0, scale=10.0)
      return nn.silu(hidden(slow.reshape(*told.shape[:-1], -1).astype(self.dtype)))

    return out(layout.copies(features(strength) - features(jnp.zeros_like(strength))))


class Position(nn.Module):
  """Absolute positions: coords [.., S, A] -> [.., S, width], a projected sinusoid of each axis.

  Rotary attention sees only differences of positions; a digit's place in its frame is absolute.
  """

  width: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, coords):
    features = sinusoid(coords, 32, max_period=1000.0, scale=1.0)
    features = features.reshape(*coords.shape[:-1], -1).astype(self.dtype)
    return nn.Dense(self.width, dtype=self.dtype, name='out')(features)


class Label(nn.Module):
  """Labels [B, S] in -1..num_classes-1 -> [B, S, width]; -1, "no label", has the last row."""

  num_classes: int
  width: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, label):
    row = jnp.where(label < 0, self.num_classes, label)
    init = nn.initializers.normal(0.02)
    table = nn.Embed(
      self.num_classes + 1, self.width, dtype=self.dtype, embedding_init=init, name='row'
    )
    return table(row)


class Hints(nn.Module):
  """Hints {name: [B, S, C]} -> [B, S, width], each projected."""

  names: tuple[str, ...]
  width: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, hints):
    dense = [nn.Dense(self.width, dtype=self.dtype, name=name) for name in self.names]
    told = [own(hints[name]) for name, own in zip(self.names, dense, strict=True)]
    return sum(told[1:], told[0])


class Features(nn.Module):
  """Features [B, S, C] -> [B, S, width], projected, zero at first (ControlNet, arXiv:2302.05543,
  section 3.1); a learned vector where nothing is given, which is nan."""

  width: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, value):
    zeros = nn.initializers.zeros
    null = self.param('null', zeros, (self.width,), jnp.float32).astype(self.dtype)
    given = ~jnp.any(jnp.isnan(value), axis=-1, keepdims=True)
    value = jnp.where(given, value, 0).astype(self.dtype)
    dense = nn.Dense(self.width, dtype=self.dtype, kernel_init=zeros, name='rows')
    return jnp.where(given, dense(value), null[None, None])
