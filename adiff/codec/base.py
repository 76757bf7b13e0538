"""What a codec is: it makes tokens of examples, and examples of tokens.

Tokens are in raster order here; `batches` alone permutes them to block order.
"""

import abc
import dataclasses
from typing import Any, ClassVar

import numpy as np

from adiff.machine import files
from adiff.sequence import conditions
from adiff.sequence import spec as spec_lib

# What a batch holds of examples that is no condition.
_BATCH = {'example', 'tokens', 'segment', 'position', 'weight', 'given', 'history', 'hint'}


@dataclasses.dataclass(frozen=True, eq=False)
class Facts:
  """What a source says of its examples, before any codec."""

  medium: str  # one of spec.MEDIA
  shape: tuple[int, ...]  # of an example, (H, W, C) of an image; (N,) of a row of text
  levels: int = 0  # values are the integers 0 .. levels - 1; 0: they are floats, or text
  conds: dict[str, conditions.Condition] = dataclasses.field(default_factory=dict)
  coords: np.ndarray | None = None  # int32 [N, A], where examples are tokens already
  # of examples {name: part} of several kinds, those of each part; shape is (), then
  parts: dict[str, 'Facts'] = dataclasses.field(default_factory=dict)

  def __post_init__(self):
    for name in _BATCH & set(self.conds):
      raise ValueError(
        f'a condition {name!r} bears the name of what batches hold besides; call it otherwise'
      )


class Codec(abc.ABC):
  """Subclasses are frozen dataclasses, and final; the config's arguments are their fields.

  A codec without parameters works on the host, with numpy, and its `params` are ().
  """

  # Arguments that say where it is read from, and not what it is.
  places: ClassVar[tuple[str, ...]] = ()
  # {argument that is a long text: the file that a workdir keeps it in}.
  files: ClassVar[dict[str, str]] = {}
  in_place: ClassVar[bool] = False  # is each value of a decoded example one of one token alone?

  @property
  def digest(self) -> str:
    """16 hex digits that change when the meaning of its tokens changes: with an argument that is no
    place, with what it learnt, and with its parameters where it has any."""
    own = {
      one.name: getattr(self, one.name) for one in dataclasses.fields(self)
      if one.name not in self.places
    }
    return files.digest(type(self).__name__, repr(own))

  @property
  def told(self) -> dict[str, str]:
    """What a contract tells of it besides its arguments: of what it learnt elsewhere."""
    return {}

  @classmethod
  @abc.abstractmethod
  def reads(cls, facts: Facts) -> bool:
    """Can it make tokens of such examples?"""

  def fit(self, source) -> 'Codec':
    """The codec with what it must learn from the examples of a data.base.Source: an alphabet, means
    and deviations. Most learn nothing."""
    del source
    return self

  @abc.abstractmethod
  def spec(self, facts: Facts) -> spec_lib.Spec:
    """The facts about the tokens."""

  def at(self, facts: Facts) -> 'Codec':
    """The codec of the same examples whose pictures have another size. Raises ValueError where it
    knows one size alone, or that size is no whole number of tokens."""
    raise ValueError(
      f'the codec {type(self).__name__} makes tokens of pictures of one size, and {facts.shape} is '
      'asked for; codec patches makes them of any'
    )

  def layout(self) -> np.ndarray | None:
    """int [H, W, C]: which value of an example's tokens [N * D], in raster order, each value of the
    image is; None where tokens are something else."""
    return None

  def maps(self, examples) -> dict[str, np.ndarray]:
    """{name: [b, ..]} of the conditions that it makes of examples, as pictures."""
    del examples
    return {}

  def asked(self, name, value) -> np.ndarray:
    """A condition as tokens are told it, of one that may be such a map."""
    del name
    return value

  def init(self, key) -> Any:
    """Its parameters; () where there are none."""
    del key
    return ()

  @abc.abstractmethod
  def encode(self, params, examples, key=None) -> Any:
    """Examples [b, ..] -> tokens [b, N, D] float32 or [b, N] int32, raster order. key: for codecs
    whose tokens are sampled."""

  def hints(self, params, tokens) -> dict[str, Any]:
    """{name: float32 [b, N, C]} of tokens in raster order, inside a compiled program too: what is
    known of each once the tokens of lower stages are (Spec.stages); what stands in its place and
    behind it does not matter, noise and masks included. {}: nothing is."""
    del params, tokens
    return {}

  @property
  def requantises(self) -> bool:
    """Has it `requantise`?"""
    return False

  def requantise(self, params, tokens, key, share) -> tuple[Any, Any]:
    """(tokens, shown), both [b, N] in raster order, inside a compiled program too: shown are tokens
    of which a share, a number or [b, N], is other ones; tokens are those that make up for what is
    shown of lower stages."""
    raise NotImplementedError

  @abc.abstractmethod
  def decode(self, params, tokens) -> Any:
    """Tokens in raster order, any numbers, -> examples [b, ..]."""
