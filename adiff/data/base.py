"""What a data set promises: `Source`, its examples, and `Coded`, their tokens through a codec.

Everything here is host side and in raster order; `batches` alone permutes tokens to block order.
"""

import abc
import dataclasses
import functools
import os
from typing import Any, ClassVar

import numpy as np

from adiff.codec import base as codec_base
from adiff.sequence import spec as spec_lib
from adiff.sequence import values

MOST_THREADS = 32  # that decode examples


class Source(abc.ABC):
  """A data set with random access; the config's arguments are its fields. Examples are pure
  functions of (split, index)."""

  # Arguments that say where the data lies, and not what it is: the first one is what --data sets.
  places: ClassVar[tuple[str, ...]] = ()

  @property
  @abc.abstractmethod
  def facts(self) -> codec_base.Facts:
    """What its examples are."""

  @property
  @abc.abstractmethod
  def splits(self) -> tuple[str, ...]:
    """Names of the splits, training first."""

  @property
  @abc.abstractmethod
  def fingerprint(self) -> str:
    """16 hex digits that change when the data changes; stored beside a model trained on it."""

  @abc.abstractmethod
  def size(self, split) -> int:
    """Number of examples; raises ValueError for an unknown split."""

  @abc.abstractmethod
  def examples(self, split, indices) -> dict[str, np.ndarray]:
    """{'example': [b, ..], 'label': int32 [b], -1 where unlabelled, and further conditions by name,
    see conditions.py}."""

  def check(self) -> None:
    """Raises what reading the examples would, as far as a quick look tells; nothing is decoded."""
    for split in self.splits:
      self.size(split)

  @property
  def exact(self) -> dict[str, float]:
    """Facts known in closed form, such as {'nats': entropy of an example}; {} if none."""
    return {}

  @property
  def encoded_by(self) -> Any:
    """The codec whose tokens are stored in place of the examples, as data/encoded.py tells it; None
    where these are."""
    return None

  @property
  def decodes(self) -> bool:
    """Do examples take long to make of what is stored, so that several threads help?"""
    return False

  def law_test(self, examples, told=None) -> dict[str, float]:
    """{'statistic', 'dof', 'p_value'} of a test of examples against the law of the data, where that
    is known; raises ValueError elsewhere. told: {name: value} of their conditions."""
    del examples, told
    raise ValueError(f'the law of {type(self).__name__} is not known; judge it as another medium')

  def part(self, name) -> 'Source':
    """The source of one part of examples that have several, for a codec to learn from."""
    if name not in self.facts.parts:
      raise ValueError(f'examples of {type(self).__name__} have no part {name}')
    return _Part(self, name)

  def coded(self, codec, params=(), *, align=1) -> 'Coded':
    """Its tokens through a codec with parameters. align: documents that are packed into rows are
    filled up to a multiple of it."""
    del align
    return Encoded(self, codec, params)


@dataclasses.dataclass(frozen=True, eq=False)
class _Part(Source):
  """One part of the examples of a source whose examples have several."""

  whole: Source
  name: str

  @property
  def facts(self):
    return self.whole.facts.parts[self.name]

  @property
  def splits(self):
    return self.whole.splits

  @property
  def fingerprint(self):
    return self.whole.fingerprint

  @property
  def decodes(self):
    return self.whole.decodes

  def size(self, split):
    return self.whole.size(split)

  def examples(self, split, indices):
    found = self.whole.examples(split, indices)
    return {**found, 'example': found['example'][self.name]}


class Coded(abc.ABC):
  """A source seen through a codec: what training and evaluation read."""

  source: Source
  codec: codec_base.Codec
  params: Any  # of the codec

  @functools.cached_property
  def spec(self) -> spec_lib.Spec:
    """The facts about its tokens."""
    return self.codec.spec(self.source.facts)

  @property
  def splits(self) -> tuple[str, ...]:
    """Names of the splits, training first."""
    return self.source.splits

  @property
  @abc.abstractmethod
  def fingerprint(self) -> str:
    """16 hex digits that change when the tokens change."""

  @abc.abstractmethod
  def size(self, split) -> int:
    """Number of examples; raises ValueError for an unknown split."""

  @abc.abstractmethod
  def examples(self, split, indices) -> dict[str, np.ndarray]:
    """{'tokens': [b, N(, D)] raster order, 'label': int32 [b], -1 where unlabelled, further
    conditions}, and for packed rows what data.rows says."""

  def decode(self, tokens) -> Any:
    """Tokens [b, N(, D)] in raster order -> examples."""
    return self.codec.decode(self.params, tokens)


@dataclasses.dataclass(frozen=True, eq=False)
class Encoded(Coded):
  """Every example is encoded by itself."""

  source: Source
  codec: codec_base.Codec
  params: Any = ()

  @property
  def fingerprint(self):
    return self.source.fingerprint

  def size(self, split):
    return self.source.size(split)

  def examples(self, split, indices):
    found = dict(self.source.examples(split, indices))
    examples, codec = found.pop('example'), self.codec
    made = {name: codec.asked(name, map_) for name, map_ in codec.maps(examples).items()}
    return {'tokens': codec.encode(self.params, examples), **found, **made}


def threads(wanted=0) -> int:
  """How many decode at a time on a host: `wanted`, or for 0 one a core, at most MOST_THREADS."""
  if wanted:
    return wanted
  known = hasattr(os, 'sched_getaffinity')  # of Linux: the cores that this process may use
  return min(len(os.sched_getaffinity(0)) if known else os.cpu_count(), MOST_THREADS)


def check_split(split, splits) -> str:
  """Returns `split`; raises ValueError naming the splits when it is none of them."""
  if split not in splits:
    raise ValueError(f'there is no split {values.shown(split)}; choose one of {", ".join(splits)}')
  return split
