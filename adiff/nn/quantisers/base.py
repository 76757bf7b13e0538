"""What a quantiser is: it stands between encoder and decoder, and makes the tokens of a codec.

  encoder -> z [B, *grid, num_channels] -> codes [B, N] -> z [B, *grid, dim] -> decoder

Codes stand scale by scale, coarse to fine, each in raster order; most quantisers have one scale,
the grid itself. Rounding has no gradient: that of the quantised z goes straight through to the
unquantised one (Bengio et al. 2013, arXiv:1308.3432).
"""

import abc
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from adiff.sequence import spec as spec_lib
from adiff.sequence import values


class Quantised(NamedTuple):
  """What a quantiser makes of an encoder's features."""

  z: jax.Array  # float32 [B, *grid, dim], for the decoder; with a gradient
  codes: jax.Array  # int32 [B, N], or float32 [B, N, dim] where tokens are vectors; without one
  losses: dict[str, jax.Array]  # scalars, each times its weight: a recipe adds them to its own
  extra: Any  # as it came, or moved by what was seen


class Quantiser(abc.ABC):
  """Subclasses are frozen dataclasses, and final; the config's arguments are their fields.

  params are moved by gradients, extra by what is seen (averages, counters): a role's two halves in
  a State. Everything computes in float32 and serves grids of any size and, where nothing else is
  said, any number of axes. Means over the batch are those of the whole job under jit.
  """

  def __post_init__(self):
    values.check_fields(self, 'quantiser')

  @property
  def num_channels(self) -> int:
    """Channels that the encoder must make: as many as the decoder reads."""
    return self.dim

  @property
  @abc.abstractmethod
  def dim(self) -> int:
    """Channels that the decoder reads: those of a quantised z."""

  @property
  @abc.abstractmethod
  def kind(self) -> spec_lib.Kind:
    """The kind of the tokens: Symbols(vocab), or Vectors(dim)."""

  def init(self, key) -> Any:
    """Parameters; {} where there are none."""
    del key
    return {}

  def init_extra(self) -> Any:
    """What moves without a gradient, before anything was seen; {} where nothing does."""
    return {}

  def scales(self, grid) -> tuple[tuple[int, ...], ...]:
    """Shapes of the scales that the codes of a grid stand in, coarse to fine; N is the sum of their
    sizes."""
    return (tuple(grid),)

  @abc.abstractmethod
  def __call__(self, params, extra, z, key, train) -> Quantised:
    """z float32 [B, *grid, num_channels] -> Quantised. train, static: are losses made, does extra
    move? key: for what is random then."""

  @abc.abstractmethod
  def codes_of(self, params, extra, z) -> jax.Array:
    """z float32 [B, *grid, num_channels] -> codes; nothing is random."""

  @abc.abstractmethod
  def dequantise(self, params, extra, codes, grid) -> jax.Array:
    """Codes of a grid -> z [B, *grid, dim]; those of a Quantised give its z, by the extra that it
    was made with."""

  def check(self, z) -> None:
    """Raises AssertionError for features that are not float32 [B, *grid, num_channels]."""
    chex.assert_axis_dimension(z, -1, self.num_channels)
    chex.assert_type(z, jnp.float32)

  def hints(self, params, extra, codes, grid) -> dict[str, jax.Array]:
    """{name: float32 [B, N, C]}: what is known of a token once all coarser scales are made, and
    nothing else; {} where there is but one scale."""
    del params, extra, codes, grid
    return {}

  def corrupt(self, key, codes, share) -> jax.Array:
    """Codes of which a share (a number, or [B, N]) is replaced by symbols sampled uniformly."""
    key_which, key_symbol = jax.random.split(key)
    other = jax.random.randint(key_symbol, codes.shape, 0, self.kind.vocab, jnp.int32)
    return jnp.where(jax.random.uniform(key_which, codes.shape) < share, other, codes)

  def requantise(self, params, extra, z, key, share) -> tuple[jax.Array, jax.Array]:
    """(codes, shown), both [B, N]: shown are codes that `corrupt` went over; the codes of a scale
    are those that make up for what is shown of coarser ones (Infinity's self-correction, Han et al.
    2024, arXiv:2412.04431). z may also be what `dequantise` makes of codes."""
    codes = self.codes_of(params, extra, z)
    return codes, self.corrupt(key, codes, share)


def flat(values, last=0) -> jax.Array:
  """[B, *grid, ..] -> [B, N, ..], where the last `last` axes are no places."""
  return values.reshape(len(values), -1, *values.shape[values.ndim - last:])


def straight_through(z, quantised) -> jax.Array:
  """`quantised`, whose gradient is z's."""
  return z + jax.lax.stop_gradient(quantised - z)
