"""What a data set promises: `Spec`, the facts a model is built from, and `Source`, its examples.

Everything here is host side and in raster order; `batches` alone permutes tokens to block order.
"""

import abc
import collections.abc
import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Spec:
  """The facts about a data set that networks, processes and reports are built from."""

  num_tokens: int  # N, tokens an example
  grid: tuple[int, ...]  # rows and columns of tokens, or (N,)
  vocab: int  # V symbols; 0 when tokens are floats
  dim: int  # D floats a token; 0 when tokens are symbols
  coords: np.ndarray  # int32 [N, A] of the tokens
  num_classes: int  # 0 when unlabelled
  dims: int  # values an example has, the denominator of bits per dimension
  bin: float | None  # between two levels, in token units; None for symbols and continuous values
  decode: collections.abc.Callable[[np.ndarray], np.ndarray]  # tokens [B, N(, D)] -> examples
  image_levels: int  # images have values 0..image_levels-1; 0 when examples are no images


def of_codec(codec, *, num_classes) -> Spec:
  """The `Spec` of images seen through `codec` (patches.Patches, pyramid.Pyramid, ...)."""
  return Spec(
    num_tokens=codec.num_tokens,
    grid=codec.grid,
    vocab=codec.vocab,
    dim=codec.dim,
    coords=codec.coords,
    num_classes=num_classes,
    dims=codec.dims,
    bin=codec.bin,
    decode=codec.decode,
    image_levels=codec.levels,
  )


def of_sequence(num_tokens, *, vocab, dim, num_classes, coords=None) -> Spec:
  """The `Spec` of examples that are their own tokens; coords int [N, A], or None: 0 .. N - 1."""
  if coords is None:
    coords = np.arange(num_tokens)[:, None]
  return Spec(
    num_tokens=num_tokens,
    grid=(num_tokens,),
    vocab=vocab,
    dim=dim,
    coords=np.asarray(coords, np.int32),
    num_classes=num_classes,
    dims=num_tokens * max(dim, 1),
    bin=None,
    decode=np.asarray,
    image_levels=0,
  )


class Source(abc.ABC):
  """A data set with random access. Examples are pure functions of (split, index)."""

  @property
  @abc.abstractmethod
  def spec(self) -> Spec:
    """The `Spec`."""

  @property
  @abc.abstractmethod
  def splits(self) -> tuple[str, ...]:
    """Names of the splits, training first."""

  @property
  @abc.abstractmethod
  def exact(self) -> dict:
    """Facts known in closed form, such as {'nats': entropy of an example}; {} if none."""

  @property
  @abc.abstractmethod
  def fingerprint(self) -> str:
    """16 hex digits that change when the data changes; stored beside a model trained on it."""

  @abc.abstractmethod
  def size(self, split) -> int:
    """Number of examples; raises ValueError for an unknown split."""

  @abc.abstractmethod
  def examples(self, split, indices) -> dict[str, np.ndarray]:
    """{'tokens': [b, N(, D)] raster order, 'label': int32 [b], -1 where unlabelled}."""


def check_split(split, splits) -> str:
  """Returns `split`; raises ValueError naming the splits when it is none of them."""
  if split not in splits:
    raise ValueError(f"there is no split '{split}'; choose one of {', '.join(splits)}")
  return split
