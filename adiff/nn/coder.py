"""What the two networks of an autoencoder are to everybody else.

Examples are rows of vectors here, x [B, N, D] in raster order on a grid: the tokens of a codec
without parameters, such as patches of pixels, which makes its patches the strided stem.
"""

import abc
from typing import Any

import jax


class Coder(abc.ABC):
  """Subclasses are frozen dataclasses, and final; the config's arguments are their fields."""

  grid: tuple[int, ...]  # of the examples
  dim: int  # D, floats at each of its places
  num_channels: int  # C, floats that the encoder makes at each place of `code_grid`
  dtype: str  # of the computation

  @property
  @abc.abstractmethod
  def code_grid(self) -> tuple[int, ...]:
    """Places of a code along each axis."""

  @abc.abstractmethod
  def init(self, key, channels) -> dict[str, Any]:
    """{'encoder', 'decoder', 'head': parameters}, float32; channels: C', those that the decoder is
    given."""

  @abc.abstractmethod
  def encode(self, params, x) -> jax.Array:
    """x [B, N, D] -> z [B, *code_grid, C]."""

  @abc.abstractmethod
  def features(self, params, z) -> jax.Array:
    """The decoder up to its head: z [B, *code_grid, C'] -> h [B, N, F]."""

  @abc.abstractmethod
  def read(self, head, h) -> jax.Array:
    """h [B, N, F] -> x [B, N, D], of the parameters of the head alone: a linear map."""

  def decode(self, params, z) -> jax.Array:
    """z [B, *code_grid, C'] -> x [B, N, D]."""
    return self.read(params['head'], self.features(params, z))
