"""The sections of a config that are no choices: every key, with its type and what it may be.

The table that a config is checked against is made of the annotations. What several keys must agree
on stands with what they are about, in `needs`.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NamedTuple

from adiff.machine import sharding


class Rule(NamedTuple):
  """What a value must be."""

  words: str  # behind "config.key=value "
  holds: Callable[[Any], bool]


AT_LEAST_1 = Rule('must be at least 1', lambda value: value >= 1)
NOT_NEGATIVE = Rule('must not be negative', lambda value: value >= 0)
SHARE = Rule('must lie in [0, 1]', lambda value: 0 <= value <= 1)
BELOW_1 = Rule('must lie in [0, 1)', lambda value: 0 <= value < 1)
ALL_AT_LEAST_1 = Rule('must all be at least 1', lambda values: all(value >= 1 for value in values))
PLACE = Rule(
  f'must be one of {", ".join(sharding.OFFLOAD)}', lambda value: value in sharding.OFFLOAD
)


@dataclasses.dataclass
class Top:
  """The keys that stand in no section."""

  name: str
  seed: Annotated[int, NOT_NEGATIVE]
  init_from: str
  history: float | None
  history_cond: bool
  cond_dropout: Annotated[float, BELOW_1]


@dataclasses.dataclass
class Atoms:
  """Shares of the levels 0 and 1 on top of the draw."""

  zero: float
  one: float


@dataclasses.dataclass
class Plan:
  """How many steps a block, and when they begin."""

  steps: Annotated[int, AT_LEAST_1]
  first: Annotated[int, NOT_NEGATIVE]
  delay: int | None


@dataclasses.dataclass
class Truncation:
  """What is cut from the law of symbols."""

  temperature: float
  top_k: int
  top_p: float


@dataclasses.dataclass
class Guidance:
  """How strongly samples are pulled to their condition."""

  scale: float
  first: float
  interval: tuple


@dataclasses.dataclass
class Train:
  """How long and on what a network learns."""

  steps: Annotated[int, AT_LEAST_1]
  batch_size: Annotated[int, AT_LEAST_1]
  microbatches: Annotated[int, AT_LEAST_1]
  offload: Annotated[str, PLACE]
  ema: Annotated[float, BELOW_1]
  block_sizes: tuple
  random_length: Annotated[float, SHARE]
  complementary: bool
  next_token: Annotated[float, NOT_NEGATIVE]
  log_every: Annotated[int, AT_LEAST_1]
  eval_every: Annotated[int, NOT_NEGATIVE]
  checkpoint_every: Annotated[int, AT_LEAST_1]
  keep: Annotated[int, AT_LEAST_1]


@dataclasses.dataclass
class Eval:
  """What is measured of it."""

  split: str
  batch_size: Annotated[int, AT_LEAST_1]
  examples: Annotated[int, NOT_NEGATIVE]
  samples: Annotated[int, AT_LEAST_1]
  num: Annotated[int, AT_LEAST_1]
  steps: Annotated[tuple, ALL_AT_LEAST_1]
  samplers: tuple
  features: bool


@dataclasses.dataclass
class Mesh:
  """Devices an axis."""

  data: int
  fsdp: int
  tensor: int
  sequence: int


SECTIONS = {
  '': Top, 'atoms': Atoms, 'plan': Plan, 'truncation': Truncation, 'guidance': Guidance,
  'train': Train, 'eval': Eval, 'mesh': Mesh,
}


def check(config, choices) -> None:
  """Raises ValueError, in words, for a key that is absent or a value that no run can have.

  choices: the kinds of choices that must be there, with a name.
  """
  for kind in choices:
    _get(config, f'{kind}.name')
  for key, annotation in _keys():
    value = _get(config, key)
    for rule in getattr(annotation, '__metadata__', ()):
      if not rule.holds(value):
        raise ValueError(f'config.{key}={value!r} {rule.words}')


def _keys() -> Iterator[tuple[str, Any]]:
  """(dotted key, annotation) of every key."""
  for section, fields in SECTIONS.items():
    for field in dataclasses.fields(fields):
      yield f'{section}.{field.name}'.lstrip('.'), field.type


def _get(config, key):
  """The value of a dotted key."""
  place = config
  for word in key.split('.'):
    if word not in place:
      raise ValueError(
        f'the config has no key {key}; make it from configs/base.py, or use the version of adiff '
        'that wrote it'
      )
    place = place[word]
  return place
