"""What is known of a sequence before a network is made for it: kinds of tokens, places, conditions.

Host side, and in raster order.
"""

import dataclasses
from typing import ClassVar

import numpy as np

from adiff.sequence import conditions
from adiff.sequence import tokens as tokens_lib

MEDIA = ('image', 'video', 'audio', 'text', 'series', 'table', 'law')  # what examples may be


@dataclasses.dataclass(frozen=True)
class Symbols:
  """A kind of tokens: one of `vocab` symbols."""

  vocab: int
  discrete: ClassVar[bool] = True


@dataclasses.dataclass(frozen=True)
class Vectors:
  """A kind of tokens: `dim` floats."""

  dim: int
  bin: float | None = None  # between two levels of a value, in token units; None: continuous
  discrete: ClassVar[bool] = False


Kind = Symbols | Vectors


@dataclasses.dataclass(frozen=True, eq=False)
class Spec:
  """The facts about tokens that networks, processes and reports are built from."""

  kinds: tuple[Kind, ...]  # of the tokens, in raster order
  num_tokens: int  # N, tokens an example
  grid: tuple[int, ...]  # rows and columns of tokens, or (N,)
  coords: np.ndarray  # [N, A] of the tokens: int32, or float32 at another size (places.py)
  conds: dict[str, conditions.Condition]  # what examples can be asked for by; {}: nothing
  dims: int  # values an example has, the denominator of bits per dimension
  medium: str  # one of MEDIA
  # which tokens are of which kind, in raster order: ((name, number), ..), all of one kind and then
  # all of the next; None where there is one kind
  runs: tokens_lib.Runs | None = None
  grids: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)  # of several kinds
  # {name: floats a token} of what the codec tells of a token once others are known (Codec.hints)
  hints: dict[str, int] = dataclasses.field(default_factory=dict)
  # int [N]: hints of a token are made of the tokens of lower stages, and of nothing else; None
  # where there are no hints
  stages: np.ndarray | None = None

  @property
  def kind(self) -> Kind:
    """The kind of all tokens."""
    (kind,) = self.kinds
    return kind

  @property
  def further(self) -> dict[str, conditions.Condition]:
    """The conditions besides the label."""
    return {name: one for name, one in self.conds.items() if name != conditions.LABEL}

  @property
  def by_kind(self) -> dict[str, Kind]:
    """{name: kind} of several kinds; {} where there is one."""
    return dict(zip(tokens_lib.kinds(self.runs), self.kinds, strict=True)) if self.runs else {}

  @property
  def num_floats(self) -> int:
    """Numbers that an example's tokens are."""
    nums = [num for _, num in self.runs] if self.runs else [self.num_tokens]
    return sum(
      num * getattr(kind, 'dim', 1) for num, kind in zip(nums, self.kinds, strict=True)
    )

  @property
  def names(self) -> tuple[str, ...]:
    """Names of the classes; () where they have none."""
    return self.conds['label'].names if 'label' in self.conds else ()

  @property
  def num_classes(self) -> int:
    """Classes of the label; 0 where there is none."""
    return self.conds['label'].num if 'label' in self.conds else 0
