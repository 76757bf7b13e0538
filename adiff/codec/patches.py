"""Images as a raster of square patches: the codec without parameters.

A token is one patch of `patch x patch` pixels and all its channels. Float tokens hold the pixel
values scaled to [-1, 1]; discrete tokens are the integer pixel values themselves.
"""

import dataclasses

import numpy as np

from adiff.codec import base
from adiff.sequence import spec as spec_lib
from adiff.sequence import values


def check_examples(examples, *, shape, levels) -> np.ndarray:
  """`examples` as an array; raises ValueError unless integers [B, *shape] in 0..levels-1."""
  examples = np.asarray(examples)
  if examples.shape[1:] != tuple(shape) or not np.issubdtype(examples.dtype, np.integer):
    raise ValueError(
      f'the codec takes integer images of shape [B, {", ".join(map(str, shape))}], not '
      f'{examples.dtype} {list(examples.shape)}; build the codec with the shape of the data'
    )
  if examples.size and (examples.min() < 0 or examples.max() >= levels):
    raise ValueError(
      f'image values lie in {examples.min()}..{examples.max()} but the codec was built for '
      f'0..{levels - 1}; set levels={int(examples.max()) + 1} or rescale the images'
    )
  return examples


def to_unit(values, *, levels) -> np.ndarray:
  """Scales values 0..levels-1 to float32 in [-1, 1]."""
  return (np.asarray(values, np.float64) * (2 / (levels - 1)) - 1).astype(np.float32)


def from_unit(tokens, *, levels) -> np.ndarray:
  """Inverse of `to_unit`: rounds to the nearest level and clips; uint8 (int32 above 256)."""
  values = np.rint((np.asarray(tokens, np.float64) + 1) * ((levels - 1) / 2))
  return as_levels(values, levels=levels)


def as_levels(values, *, levels) -> np.ndarray:
  """Clips whole numbers to 0..levels-1 and returns them as uint8 (int32 above 256 levels).

  Raises ValueError for NaN or infinite values, which no picture should hide.
  """
  if not np.all(np.isfinite(values)):
    raise ValueError(
      'the tokens to decode are not finite: the model diverged; lower optim.learning_rate or '
      'sample from an earlier step'
    )
  return np.clip(values, 0, levels - 1).astype(np.uint8 if levels <= 256 else np.int32)


def kind_of_pixels(discrete, levels, dim) -> spec_lib.Kind:
  """Symbols, one a level, or vectors of `dim` values whose levels are 2 / (levels - 1) apart."""
  return spec_lib.Symbols(levels) if discrete else spec_lib.Vectors(dim, 2 / (levels - 1))


@dataclasses.dataclass(frozen=True)
class Patches(base.Codec):
  """Images [B, H, W, C] of integers 0..levels-1 <-> tokens in raster order of patches.

  discrete=False: tokens float32 [B, N, D] in [-1, 1], D = patch * patch * C, ordered row, column,
  channel inside a patch. discrete=True: tokens int32 [B, N], which needs D == 1. Raises ValueError
  when the patch does not divide the image or a discrete token would hold several values.
  """

  shape: tuple[int, int, int]  # (H, W, C), of the data
  patch: values.Count = 1  # side of a patch in pixels
  discrete: bool = False  # tokens are symbols, not floats
  levels: int = 256  # how many values a pixel can take, of the data

  in_place = True

  def __post_init__(self):
    object.__setattr__(self, 'shape', tuple(int(n) for n in self.shape))
    values.check_fields(self, 'codec')
    height, width, channels = self.shape
    if height % self.patch or width % self.patch:
      raise ValueError(
        f'patches of {self.patch} pixels do not tile an image of {height} x {width}; '
        'choose a patch that divides both sides'
      )
    if self.levels < 2:
      raise ValueError(f'levels={self.levels} leaves nothing to model; give at least 2 levels')
    if self.discrete and self.patch * self.patch * channels != 1:
      raise ValueError(
        f'a discrete token holds one value but a patch of {self.patch} with {channels} '
        'channels has several; set patch=1 on grey images or discrete=False'
      )

  @property
  def grid(self) -> tuple[int, int]:
    """Rows and columns of tokens (h, w)."""
    return self.shape[0] // self.patch, self.shape[1] // self.patch

  @property
  def num_tokens(self) -> int:
    """N, tokens per image."""
    return self.grid[0] * self.grid[1]

  @property
  def coords(self) -> np.ndarray:
    """int32 [N, 2]: the row and column of every token, in patches."""
    return np.indices(self.grid, dtype=np.int32).reshape(2, -1).T.copy()

  @classmethod
  def reads(cls, facts):
    return facts.medium == 'image' and facts.levels > 0

  def spec(self, facts):
    values.check_row(self.num_tokens)
    kind = kind_of_pixels(self.discrete, self.levels, self.patch**2 * self.shape[2])
    return spec_lib.Spec(
      kinds=(kind,), num_tokens=self.num_tokens, grid=self.grid, coords=self.coords,
      conds=facts.conds, dims=int(np.prod(self.shape)), medium=facts.medium,
    )

  def at(self, facts):
    return dataclasses.replace(self, shape=facts.shape)

  def layout(self):
    (h, w), p, channels = self.grid, self.patch, self.shape[2]
    values = np.arange(int(np.prod(self.shape))).reshape(h, w, p, p, channels)
    return values.swapaxes(1, 2).reshape(self.shape)

  def encode(self, params, examples, key=None):
    examples = check_examples(examples, shape=self.shape, levels=self.levels)
    if self.discrete:
      return examples.reshape(len(examples), -1).astype(np.int32)
    (h, w), p, channels = self.grid, self.patch, self.shape[2]
    split = examples.reshape(-1, h, p, w, p, channels).swapaxes(2, 3)
    return to_unit(split.reshape(len(examples), h * w, p * p * channels), levels=self.levels)

  def decode(self, params, tokens):
    tokens = np.asarray(tokens)
    if self.discrete:
      return as_levels(tokens.reshape(-1, *self.shape), levels=self.levels)
    (h, w), p, channels = self.grid, self.patch, self.shape[2]
    joined = tokens.reshape(-1, h, w, p, p, channels).swapaxes(2, 3)
    return from_unit(joined.reshape(-1, *self.shape), levels=self.levels)
