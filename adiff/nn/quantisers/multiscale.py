"""Multi-scale residual quantisation, the tokens of next-scale prediction.

The scales of scaled.py grow from one token to the whole grid (VAR, Tian et al. 2024,
arXiv:2404.02905, section 3.2): what is left is averaged down to a scale's size, and its codes'
vectors, from one codebook for all scales, are brought up by bicubic interpolation and

  phi(h) = (1 - phi) h + phi conv3x3(h),

a few convolutions that neighbouring scales share, drawn to z by mean |sg(z) - f_k|^2. With `signs`
a code is the sign of every channel instead, of the size that fits its scale (Infinity, Han et al.
2024, arXiv:2412.04431, has unit vectors). Codes of several resolutions are made by one quantiser:
sides are those of the scales where the last one is the grid, and grow and shrink with it.
"""

import dataclasses
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np

from adiff.nn.quantisers import bits, codebook, resize, scaled
from adiff.nn.quantisers import signs as signs_lib
from adiff.sequence import spec as spec_lib
from adiff.sequence import values


@dataclasses.dataclass(frozen=True)
class Multiscale(scaled.Scaled):
  """Codes of len(sides) scales of a grid [H, W]; a grid of another side than the last has scales of
  round(side * H / last) by round(side * W / last), at least 1."""

  sides: tuple[values.Count, ...] = (1, 2, 4, 7)
  vocab: values.Count = 1024
  dim: values.Count = 8
  signs: bool = False  # a code is the signs of all channels: vocab must be 2^dim
  phi: values.Share = 0.5  # of the convolution; 0: none
  phis: Annotated[int, values.between(1, 64)] = 4  # convolutions, shared by neighbouring scales
  decay: values.ShareBelow1 = 0.99  # of the codebook's running means, a step
  restart: values.ShareBelow1 = 0.1  # of an even use; codes that are used less begin again; 0: none
  commitment: values.NotNegative = 0.25

  def __post_init__(self):
    object.__setattr__(self, 'sides', tuple(self.sides))
    super().__post_init__()
    if not self.sides or list(self.sides) != sorted(set(self.sides)):
      raise ValueError(
        f'quantiser.sides={values.shown(self.sides)} must grow from coarse to fine, up to the side '
        'of the grid; write for example (1, 2, 4, 7)'
      )
    if self.signs and (self.dim > 30 or self.vocab != 2**self.dim):
      raise ValueError(
        f'quantiser.vocab={self.vocab} must be 2**dim where codes are signs, dim at most 30; '
        f'write vocab={2**min(self.dim, 30)}, dim={min(self.dim, 30)}'
      )

  @property
  def kind(self):
    return spec_lib.Symbols(self.vocab)

  @property
  def code(self):
    if self.signs:
      return signs_lib.Signs(self.dim, self.decay)
    return codebook.Codebook(self.vocab, self.dim, self.decay, self.restart)

  @property
  def books(self):
    num = len(self.sides)
    return tuple(range(num)) if self.signs else (0,) * num

  def init(self, key):
    """Convolutions that change nothing."""
    del key
    if self.phi == 0:
      return {}
    kernel = jnp.zeros((self.phis, 3, 3, self.dim, self.dim), jnp.float32)
    same = jnp.eye(self.dim, dtype=jnp.float32)[None]
    return {
      'kernel': kernel.at[:, 1, 1].set(same),
      'bias': jnp.zeros((self.phis, self.dim), jnp.float32),
    }

  def scales(self, grid):
    if len(grid) != 2:
      raise ValueError(f'quantiser multiscale has scales of pictures, not of a grid {grid}')
    size = lambda side, whole: max(1, round(side * whole / self.sides[-1]))
    return tuple(tuple(size(side, whole) for whole in grid) for side in self.sides)

  def down(self, z, shape):
    return resize.resized(z, shape, resize.area)

  def up(self, params, scale, z, grid):
    z = resize.resized(z, grid, resize.bicubic)
    if self.phi == 0:
      return z
    kernel, bias = (params[name][self.convolution(scale)] for name in ('kernel', 'bias'))
    mixed = jax.lax.conv_general_dilated(
      z, kernel, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
      precision=jax.lax.Precision.HIGHEST,
    )
    return (1 - self.phi) * z + self.phi * (mixed + bias.reshape(1, 1, 1, -1))

  def convolution(self, scale) -> int:
    """Which convolution a scale has; the places of the published networks."""
    edge = (1 / 3 if self.phis == 4 else 1 / 2) / self.phis
    places = np.linspace(edge, 1 - edge, self.phis)
    return int(np.argmin(np.abs(places - scale / max(1, len(self.sides) - 1))))

  def corrupt(self, key, codes, share):
    """Codes of which a share is replaced; of signs, every one is flipped with that probability."""
    if self.signs:
      return bits.flipped(key, codes, share, self.dim)
    return super().corrupt(key, codes, share)
