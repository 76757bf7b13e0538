"""Binary codes without a codebook: the sign of every channel is a bit.

LFQ (Yu et al. 2023, arXiv:2310.05737): zhat = sign(z). BSQ (Zhao et al. 2024, arXiv:2406.07548),
with `sphere`: z^ = z / |z|, zhat = sign(z) / sqrt(d), so that the error of rounding is bounded. The
law of a soft code falls apart into its bits,

  p(bit = 1 | z) = sigmoid(4 (z / s) / temperature),   s = 1, or 1 / sqrt(d),

which is the softmax of -|z - zhat|^2 / (s^2 temperature) over all 2^d codes; the entropy term that
keeps them in use is made of the factors (entropy.py). The first channel is the highest bit.
"""

import dataclasses
import math
from typing import Annotated

import jax
import jax.numpy as jnp

from adiff.nn.quantisers import base, codebook, entropy
from adiff.sequence import spec as spec_lib
from adiff.sequence import values


@dataclasses.dataclass(frozen=True)
class Bits(base.Quantiser):
  """2^bits symbols, a channel a bit; more than some 16 want a head that makes bits, not symbols."""

  bits: Annotated[int, values.between(1, 30)] = 10
  sphere: bool = False  # BSQ instead of LFQ
  commitment: values.NotNegative = 0.25
  entropy: values.NotNegative = 0.1  # weight; 0: not computed
  diversity: values.NotNegative = 1.0  # weight of all features' entropy beside that of each
  temperature: values.Positive = 1.0  # of soft bits
  group: Annotated[int, values.between(1, 20)] = 10  # bits whose joint use is counted exactly

  def __post_init__(self):
    super().__post_init__()

  @property
  def num_channels(self):
    return self.bits

  @property
  def dim(self):
    return self.bits

  @property
  def kind(self):
    return spec_lib.Symbols(2**self.bits)

  @property
  def step(self) -> float:
    """s, the size of a quantised channel."""
    return 1 / math.sqrt(self.bits) if self.sphere else 1.0

  def __call__(self, params, extra, z, key, train):
    self.check(z)
    z = codebook.unit(z) if self.sphere else z
    quantised = jnp.where(z > 0, self.step, -self.step).astype(jnp.float32)
    losses = {}
    if train:
      losses['commitment'] = self.commitment * jnp.mean((z - quantised) ** 2)
      if self.entropy > 0:
        logits = 4 * z.reshape(-1, self.bits) / (self.step * self.temperature)
        losses['entropy'] = self.entropy * entropy.of_bits(logits, self.group).loss(self.diversity)
    codes = self.codes_of(params, extra, z)
    return base.Quantised(base.straight_through(z, quantised), codes, losses, extra)

  def codes_of(self, params, extra, z):
    self.check(z)
    return base.flat(packed(z > 0))

  def dequantise(self, params, extra, codes, grid):
    signs = jnp.where(unpacked(codes, self.bits), self.step, -self.step).astype(jnp.float32)
    return signs.reshape(len(codes), *grid, self.bits)

  def corrupt(self, key, codes, share):
    """Codes every bit of which is flipped with probability `share`."""
    return flipped(key, codes, share, self.bits)


def packed(signs) -> jax.Array:
  """bool [.., d] -> int32 [..], the first bit highest."""
  places = _places(signs.shape[-1], signs.ndim)
  return jnp.sum(jnp.where(signs, places, 0), -1, dtype=jnp.int32)


def unpacked(codes, bits) -> jax.Array:
  """int32 [..] -> bool [.., bits], the first bit highest."""
  return (codes[..., None] & _places(bits, codes.ndim + 1)) != 0


def flipped(key, codes, share, bits) -> jax.Array:
  """Codes [B, N] every bit of which is flipped with probability `share`, a number or [B, N]."""
  share = jnp.broadcast_to(jnp.asarray(share, jnp.float32), codes.shape)[..., None]
  return codes ^ packed(jax.random.uniform(key, (*codes.shape, bits)) < share)


def _places(bits, rank):
  """int32 [1, .., 1, bits] of that rank: the values of the bits, highest first."""
  return (2 ** jnp.arange(bits - 1, -1, -1, dtype=jnp.int32)).reshape((1,) * (rank - 1) + (-1,))
