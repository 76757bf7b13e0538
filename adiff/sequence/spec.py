"""What is known of a sequence before a network is made for it: kinds of tokens, places, conditions.

Host side, and in raster order.
"""

import dataclasses
from typing import ClassVar

import numpy as np

from adiff.sequence import conditions

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

  kinds: tuple[Kind, ...]  # of the tokens; one of them, so far
  num_tokens: int  # N, tokens an example
  grid: tuple[int, ...]  # rows and columns of tokens, or (N,)
  coords: np.ndarray  # int32 [N, A] of the tokens
  conds: dict[str, conditions.Condition]  # what examples can be asked for by; {}: nothing
  dims: int  # values an example has, the denominator of bits per dimension
  medium: str  # one of MEDIA

  @property
  def kind(self) -> Kind:
    """The kind of all tokens."""
    (kind,) = self.kinds
    return kind

  @property
  def names(self) -> tuple[str, ...]:
    """Names of the classes; () where they have none."""
    return self.conds['label'].names if 'label' in self.conds else ()

  @property
  def num_classes(self) -> int:
    """Classes of the label; 0 where there is none."""
    return self.conds['label'].num if 'label' in self.conds else 0
