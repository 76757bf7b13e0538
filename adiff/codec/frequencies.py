"""Images as their cosine transform, from low frequencies to high ones: tokens for coarse to fine.

The orthonormal transform of Ahmed, Natarajan and Rao (IEEE Trans. Computers C-23, 1974), DCT-II
along rows and columns. A block of such tokens adds detail to what blocks before it have said, as
diffusion does softly (Rissanen et al. 2022, arXiv:2206.13397).
"""

import dataclasses

import numpy as np

from adiff.codec import base, patches
from adiff.judge import subset
from adiff.sequence import spec as spec_lib
from adiff.sequence import values

MOST = 2048  # examples, spread over the training split, of which moments are taken


def cosines(num) -> np.ndarray:
  """The orthonormal DCT-II as a matrix float64 [num, num]: row u is the cosine of frequency u."""
  places = np.pi * (np.arange(num) + 0.5) / num
  rows = np.cos(np.arange(num)[:, None] * places) * np.sqrt(2 / num)
  rows[0] /= np.sqrt(2)
  return rows


@dataclasses.dataclass(frozen=True)
class Frequencies(base.Codec):
  """Images [B, H, W, C] of integers 0..levels-1 <-> tokens float32 [B, N, D], low to high.

  Pixels in [-1, 1] are transformed; frequencies are ordered by their length, as cycles a side, and
  `size` of them with all channels are a token, D = size * C. Each is standardised by `mean` and
  `std`, so a likelihood is a density of these numbers. Raises ValueError for a size that does not
  divide the number of frequencies.
  """

  shape: tuple[int, int, int]  # (H, W, C), of the data
  size: values.Count = 4  # frequencies a token
  mean: tuple[values.AnyNumber, ...] = ()  # of the frequencies, low to high; (): the data's
  std: tuple[values.Positive, ...] = ()  # and their deviation; (): the data's
  levels: int = 256  # how many values a pixel can take, of the data

  def __post_init__(self):
    object.__setattr__(self, 'shape', tuple(int(n) for n in self.shape))
    values.check_fields(self, 'codec')
    number = self.shape[0] * self.shape[1]
    if number % self.size:
      raise ValueError(
        f'codec.size={self.size} does not divide the {number} frequencies of an image of '
        f'{self.shape[0]} x {self.shape[1]}; write a divisor'
      )
    if self.levels < 2:
      raise ValueError(f'levels={self.levels} leaves nothing to model; give at least 2 levels')
    for name, numbers in (('mean', self.mean), ('std', self.std)):
      if numbers and len(numbers) != number:
        raise ValueError(
          f'codec.{name} has {len(numbers)} numbers but an image {number} frequencies; write one '
          'for each, or () for the data\'s'
        )

  @classmethod
  def reads(cls, facts):
    return facts.medium == 'image' and facts.levels > 0

  @property
  def num_tokens(self) -> int:
    """N, tokens per image."""
    return self.shape[0] * self.shape[1] // self.size

  @property
  def order(self) -> np.ndarray:
    """int [H * W]: the frequencies, row by row, from the shortest to the longest."""
    rows, columns = np.indices(self.shape[:2])
    return np.argsort(np.hypot(rows, columns).reshape(-1), kind='stable')

  def fit(self, source):
    if self.mean and self.std:
      return self
    split = source.splits[0]
    found = self._transformed(
      source.examples(split, subset.spread(source.size(split), MOST))['example']
    )
    mean, std = found.mean((0, 2)), found.std((0, 2))
    least = 2 / (self.levels - 1) / np.sqrt(12)  # what rounding to a level leaves
    return dataclasses.replace(
      self, mean=self.mean if self.mean else _short(mean),
      std=self.std if self.std else _short(np.maximum(std, least)),
    )

  def spec(self, facts):
    values.check_row(self.num_tokens)
    return spec_lib.Spec(
      kinds=(spec_lib.Vectors(self.size * self.shape[2]),), num_tokens=self.num_tokens,
      grid=(self.num_tokens,), coords=np.arange(self.num_tokens, dtype=np.int32)[:, None],
      conds=facts.conds, dims=int(np.prod(self.shape)), medium=facts.medium,
    )

  @property
  def _moments(self):
    """(mean, std), float64 [H * W, 1]."""
    number = self.shape[0] * self.shape[1]
    return (
      np.asarray(self.mean if self.mean else (0,) * number, np.float64)[:, None],
      np.asarray(self.std if self.std else (1,) * number, np.float64)[:, None],
    )

  def _transformed(self, examples):
    """Images -> frequencies float64 [b, H * W, C], low to high."""
    examples = patches.check_examples(examples, shape=self.shape, levels=self.levels)
    pixels = patches.to_unit(examples, levels=self.levels).astype(np.float64)
    rows, columns = map(cosines, self.shape[:2])
    found = np.einsum('uh,bhwc,vw->buvc', rows, pixels, columns, optimize=True)
    return found.reshape(len(found), -1, self.shape[2])[:, self.order]

  def encode(self, params, examples, key=None):
    mean, std = self._moments
    found = (self._transformed(examples) - mean) / std
    return found.reshape(len(found), self.num_tokens, -1).astype(np.float32)

  def decode(self, params, tokens):
    mean, std = self._moments
    tokens = np.asarray(tokens, np.float64)
    ordered = tokens.reshape(len(tokens), -1, self.shape[2]) * std + mean
    found = np.empty_like(ordered)
    found[:, self.order] = ordered
    rows, columns = map(cosines, self.shape[:2])
    pixels = np.einsum(
      'uh,buvc,vw->bhwc', rows, found.reshape(-1, *self.shape), columns, optimize=True
    )
    return patches.from_unit(pixels, levels=self.levels)


def _short(numbers):
  """Four digits of each: moments stand in the contract of a run."""
  return tuple(float(f'{number:.4g}') for number in numbers)
