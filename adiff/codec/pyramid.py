"""Images as a pyramid of average-pooled scales, coarse to fine: tokens for next-scale prediction.

The sequence is the image at 1 x 1, then at 2 x 2, and so on to full size, as in VAR (Tian et al.
2024, arXiv:2404.02905), but with plain pooled pixels in place of residual codes: the coarse scales
are functions of the finest one. A likelihood of this sequence therefore counts more values than
the image has: **bits/dim on the pyramid are not bits/dim of the image**.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np

from adiff.codec import base, patches
from adiff.sequence import spec as spec_lib
from adiff.sequence import values


@dataclasses.dataclass(frozen=True)
class Pyramid(base.Codec):
  """Square images [B, H, H, C] of integers 0..levels-1 <-> tokens of all scales, coarse to fine.

  Each token is one pixel of one scale, raster order inside a scale. discrete=False: float32
  [B, N, C] in [-1, 1]; discrete=True: pooled values rounded to a level, int32 [B, N], C must be 1.
  `decode` returns the finest scale and ignores the others. Raises ValueError for sides that do
  not divide the image or do not end with it.
  """

  shape: tuple[int, int, int]  # (H, H, C), of the data
  sides: tuple[values.Count, ...] = (1, 2, 4, 8)  # of the scales in pixels, coarse to fine
  discrete: bool = False  # tokens are symbols, not floats
  levels: int = 256  # how many values a pixel can take, of the data

  in_place = True

  def __post_init__(self):
    object.__setattr__(self, 'shape', tuple(int(n) for n in self.shape))
    object.__setattr__(self, 'sides', tuple(self.sides))
    values.check_fields(self, 'codec')
    height, width, channels = self.shape
    if height != width:
      raise ValueError(
        f'a pyramid needs square images, not {height} x {width}; crop them to one side length'
      )
    if not self.sides or self.sides[-1] != height:
      raise ValueError(
        f'the sides {values.shown(self.sides)} must end with the side of the image, {height}; '
        f'append {height}'
      )
    if any(height % side for side in self.sides):
      raise ValueError(
        f'the sides {values.shown(self.sides)} must all divide the side of the image, {height}; '
        'leave out those that do not'
      )
    if list(self.sides) != sorted(set(self.sides)):
      raise ValueError(
        f'the sides {values.shown(self.sides)} must grow from coarse to fine; sort them'
      )
    if self.levels < 2:
      raise ValueError(f'levels={self.levels} leaves nothing to model; give at least 2 levels')
    if self.discrete and channels != 1:
      raise ValueError(
        f'a discrete token holds one value but a pixel has {channels} channels; '
        'use grey images or discrete=False'
      )

  @property
  def sizes(self) -> tuple[int, ...]:
    """Tokens of each scale: the block sizes of next-scale prediction."""
    return tuple(side * side for side in self.sides)

  @property
  def num_tokens(self) -> int:
    """N, tokens of all scales."""
    return sum(self.sizes)

  @property
  def coords(self) -> np.ndarray:
    """int32 [N, 3]: scale index, and the row and column of the pixel's centre at full size."""
    parts = []
    for scale, side in enumerate(self.sides):
      cell = self.shape[0] // side
      centres = np.indices((side, side)).reshape(2, -1).T * cell + (cell - 1) // 2
      parts.append(np.concatenate([np.full((side * side, 1), scale), centres], 1))
    return np.concatenate(parts).astype(np.int32)

  @classmethod
  def reads(cls, facts):
    return facts.medium == 'image' and facts.levels > 0

  def spec(self, facts):
    values.check_row(self.num_tokens)
    # Several scales form a sequence and no single grid. Values of all tokens are more than the
    # image has, and pooled ones lie closer than the levels of the finest scale.
    kind = patches.kind_of_pixels(self.discrete, self.levels, self.shape[2])
    return spec_lib.Spec(
      kinds=(kind,), num_tokens=self.num_tokens, grid=(self.num_tokens,), coords=self.coords,
      conds=facts.conds, dims=self.num_tokens * self.shape[2], medium=facts.medium,
      hints={'coarser': self.shape[2]}, stages=np.repeat(np.arange(len(self.sides)), self.sizes),
    )

  def encode(self, params, examples, key=None):
    examples = patches.check_examples(examples, shape=self.shape, levels=self.levels)
    num, height, _, channels = examples.shape
    parts = []
    for side in self.sides:
      cells = examples.reshape(num, side, height // side, side, height // side, channels)
      parts.append(cells.mean((2, 4), dtype=np.float64).reshape(num, side * side, channels))
    tokens = np.concatenate(parts, 1)
    if self.discrete:
      return np.rint(tokens[..., 0]).astype(np.int32)
    return patches.to_unit(tokens, levels=self.levels)

  def hints(self, params, tokens):
    """{'coarser': ..}: the pixel of the scale before in whose place a token stands, in [-1, 1]; 0
    for the first scale."""
    if self.discrete:
      level = jnp.clip(tokens, 0, self.levels - 1).astype(jnp.float32)
      tokens = (level * (2 / (self.levels - 1)) - 1)[..., None]
    first, found = 0, [jnp.zeros_like(tokens[:, :self.sizes[0]])]
    for side, finer in zip(self.sides[:-1], self.sides[1:], strict=True):
      place = np.arange(finer) * side // finer
      index = first + (place[:, None] * side + place).reshape(-1)
      found.append(tokens[:, index])
      first += side * side
    return {'coarser': jnp.concatenate(found, axis=1)}

  def decode(self, params, tokens):
    finest = np.asarray(tokens)[:, -self.sizes[-1]:].reshape(-1, *self.shape)
    if self.discrete:
      return patches.as_levels(finest, levels=self.levels)
    return patches.from_unit(finest, levels=self.levels)
