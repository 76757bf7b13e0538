"""Finite scalar quantisation (Mentzer et al. 2023, arXiv:2309.15505).

Every channel is bounded and rounded to one of a few levels; a code is the tuple of its channels:

  b_c = tanh(z_c + shift_c) (l_c - 1)(1 + eps) / 2 - offset_c,   zhat_c = round(b_c) / (l_c // 2)

(section 3.1 and appendix A; offset 1/2 where l_c is even, shift such that z = 0 gives b = 0). There
is no codebook that could collapse, and no loss. Levels (8, 5, 5, 5) make ten bits; for two levels a
channel take quantiser bits.
"""

import dataclasses
import math
from typing import Annotated

import jax.numpy as jnp
import numpy as np

from adiff.nn.quantisers import base
from adiff.sequence import spec as spec_lib
from adiff.sequence import values

EPS = 1e-3  # widens the bound, so that the outermost levels are reached


@dataclasses.dataclass(frozen=True)
class Fsq(base.Quantiser):
  """A channel a level; raises ValueError where the levels make 2**31 codes or more."""

  levels: tuple[Annotated[int, values.between(3, 4096)], ...] = (8, 5, 5, 5)

  def __post_init__(self):
    object.__setattr__(self, 'levels', tuple(self.levels))
    super().__post_init__()
    if not 1 < math.prod(self.levels) < 2**31:
      raise ValueError(
        f'quantiser.levels={values.shown(self.levels)} must make at least 2 and fewer than 2**31 '
        'codes; write for example (8, 5, 5, 5)'
      )

  @property
  def num_channels(self):
    return len(self.levels)

  @property
  def dim(self):
    return len(self.levels)

  @property
  def kind(self):
    return spec_lib.Symbols(math.prod(self.levels))

  def __call__(self, params, extra, z, key, train):
    self.check(z)
    bounded = self.bound(z)
    rounded = base.straight_through(bounded, jnp.round(bounded))
    return base.Quantised(rounded / self._halves(z), self.codes_of(params, extra, z), {}, extra)

  def codes_of(self, params, extra, z):
    self.check(z)
    return self.codes_at(jnp.round(self.bound(z)) / self._halves(z))

  def dequantise(self, params, extra, codes, grid):
    digits = jnp.stack([codes // base_ % level for base_, level in self._digits()], -1)
    values_ = digits.astype(jnp.float32) / self._halves(digits) - 1
    return values_.reshape(len(codes), *grid, len(self.levels))

  def bound(self, z):
    """z [.., c] -> b [.., c], which is rounded."""
    levels = np.array(self.levels)
    half = (levels - 1) * (1 + EPS) / 2
    offset = np.where(levels % 2 == 0, 0.5, 0.0)
    shift, half, offset = (_along(z, one) for one in (np.arctanh(offset / half), half, offset))
    return jnp.tanh(z + shift) * half - offset

  def codes_at(self, rounded):
    """Codes [B, N] of rounded values [B, *grid, c]."""
    digits = jnp.rint((rounded + 1) * self._halves(rounded)).astype(jnp.int32)
    codes = sum(digits[..., c] * place for c, (place, _) in enumerate(self._digits()))
    return base.flat(codes)

  def _digits(self):
    """(value of the digit, levels) of every channel; the first one counts least."""
    return [(math.prod(self.levels[:c]), level) for c, level in enumerate(self.levels)]

  def _halves(self, z):
    return _along(z, np.array(self.levels) // 2)


def _along(z, channels):
  """Numbers [c] that are broadcast over z [.., c]."""
  return jnp.asarray(channels, jnp.float32).reshape((1,) * (z.ndim - 1) + (-1,))
