"""What a data set promises: `Spec`, the facts a model is built from, and `Source`, its rows.

Everything here is host side and in raster order; `batches` alone permutes tokens to block order.
"""

import abc
import collections.abc
import dataclasses
import hashlib

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Spec:
  """The facts about a data set that networks, processes and reports are built from.

  num_tokens: N. grid: rows and columns of tokens, or (N,). vocab: V symbols (0 for float tokens).
  dim: D floats a token (0 for symbols). coords: int32 [N, A], raster order. num_classes: 0 when
  unlabelled. dims: values an example has, the denominator of bits per dimension. bin: distance
  between two levels in token units (None when tokens are symbols or truly continuous). decode:
  tokens [B, N(, D)] in raster order -> examples. image_levels: images have values
  0..image_levels-1; 0 when examples are no images.
  """
  num_tokens: int
  grid: tuple[int, ...]
  vocab: int
  dim: int
  coords: np.ndarray
  num_classes: int
  dims: int
  bin: float | None
  decode: collections.abc.Callable[[np.ndarray], np.ndarray]
  image_levels: int


def of_codec(codec, *, num_classes):
  """The `Spec` of images seen through `codec` (patches.Patches, pyramid.Pyramid, ...)."""
  return Spec(
      num_tokens=codec.num_tokens, grid=codec.grid, vocab=codec.vocab, dim=codec.dim,
      coords=codec.coords, num_classes=num_classes, dims=codec.dims, bin=codec.bin,
      decode=codec.decode, image_levels=codec.levels)


def of_sequence(num_tokens, *, vocab, dim, num_classes, coords=None):
  """The `Spec` of examples that are their own tokens; coords int [N, A], or None: 0 .. N - 1."""
  if coords is None:
    coords = np.arange(num_tokens)[:, None]
  return Spec(
      num_tokens=num_tokens, grid=(num_tokens,), vocab=vocab, dim=dim,
      coords=np.asarray(coords, np.int32), num_classes=num_classes,
      dims=num_tokens * max(dim, 1), bin=None, decode=np.asarray, image_levels=0)


class Source(abc.ABC):
  """A data set with random access. Rows are pure functions of (split, index)."""

  @property
  @abc.abstractmethod
  def spec(self):
    """The `Spec`."""

  @property
  @abc.abstractmethod
  def splits(self):
    """Names of the splits, training first."""

  @property
  @abc.abstractmethod
  def exact(self):
    """Facts known in closed form, such as {'nats': entropy of an example}; {} if none."""

  @property
  @abc.abstractmethod
  def fingerprint(self):
    """16 hex digits that change when the data changes; stored beside a model trained on it."""

  @abc.abstractmethod
  def size(self, split):
    """Number of examples; raises ValueError for an unknown split."""

  @abc.abstractmethod
  def rows(self, split, indices):
    """{'tokens': [b, N(, D)] raster order, 'label': int32 [b], -1 where unlabelled}."""


def check_split(split, splits):
  """Returns `split`; raises ValueError naming the splits when it is none of them."""
  if split not in splits:
    raise ValueError(f"there is no split '{split}'; choose one of {', '.join(splits)}")
  return split


def digest(*parts):
  """First 16 hex digits of the sha256 over arrays (dtype, shape and bytes) and strings."""
  sha = hashlib.sha256()
  for part in parts:
    if isinstance(part, str):
      sha.update(part.encode())
    else:
      part = np.ascontiguousarray(part)
      sha.update(f'{part.dtype} {part.shape} '.encode())
      sha.update(part.data)
  return sha.hexdigest()[:16]
