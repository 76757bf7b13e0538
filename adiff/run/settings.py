"""What a config may hold: every key, with its type and what it may be.

The table that a config is checked against is made of annotations: those of the choices stand at
their own fields (choose.py), those of the sections that are no choices here. What several keys must
agree on stands with what they are about, in `needs`.
"""

import dataclasses
from typing import Annotated, Any

from adiff.learn import optim
from adiff.machine import sharding
from adiff.run import choose, kinds
from adiff.sample import parallel, speculative
from adiff.sequence import values

_RISING = values.Rule('must be (low, high) with low <= high', lambda ends: ends[0] <= ends[1])
_SIZE = values.Rule(
  'must be (rows, columns) of pixels, or ()', lambda size: len(size) in (0, 2)
)
_SIZES = values.Rule('must be (rows, columns) of pixels', lambda size: len(size) == 2)
_AXIS = values.Rule('must be positive, or -1', lambda size: size == -1 or size >= 1)
_PATHS = (values.between(0, 2**16), values.Rule(
  'must be a power of two, or 0', lambda num: num & (num - 1) == 0
))
# Choices that may have no name: the data's medium says which judge; and no recipe takes all others.
OPEN = (
  'judge', 'coder', 'quantiser', 'blocks', 'process', 'draw', 'spacing', 'solver', 'head', 'model',
)


@dataclasses.dataclass
class Top:
  """The keys that stand in no section."""

  name: str
  seed: values.Seed
  init_from: values.Path
  history: values.ShareBelow1 | None
  history_cond: bool
  cond_dropout: values.ShareBelow1


@dataclasses.dataclass
class Atoms:
  """Shares of the levels 0 and 1 on top of the draw."""

  zero: values.Share
  one: values.Share


@dataclasses.dataclass
class Plan:
  """How many steps a block, when they begin, and how large pictures are."""

  steps: values.Count
  first: values.Whole
  budgets: tuple[values.Count, ...]
  delay: values.Whole | None
  size: Annotated[tuple[values.Count, ...], _SIZE]


@dataclasses.dataclass
class Truncation:
  """What is cut from the law of symbols."""

  temperature: values.NotNegative
  top_k: values.Whole
  top_p: Annotated[values.Share, values.ABOVE_0]


@dataclasses.dataclass
class Guidance:
  """How strongly samples are pulled to their condition."""

  scale: values.NotNegative
  scales: tuple[tuple[str, values.NotNegative], ...]
  first: values.NotNegative
  interval: Annotated[tuple[values.Share, values.Share], _RISING]


@dataclasses.dataclass
class Train:
  """How long and on what a network learns."""

  steps: values.Count
  batch_size: values.Count
  share: Annotated[values.Share, values.ABOVE_0]
  microbatches: values.Count
  offload: Annotated[str, values.one_of(*sharding.OFFLOAD)]
  ema: values.ShareBelow1
  block_sizes: tuple[values.Count, ...]
  cond_dropouts: tuple[tuple[str, values.ShareBelow1], ...]
  orders: tuple[tuple[str, ...], ...]
  sizes: tuple[Annotated[tuple[values.Count, ...], _SIZES], ...]
  random_length: values.Share
  requantise: values.Share
  given: values.Share
  flip: bool
  crop: values.Whole
  complementary: bool
  next_token: values.NotNegative
  log_every: values.Count
  eval_every: values.Whole
  checkpoint_every: values.Count
  keep: values.Count
  keep_every: values.Whole
  workers: Annotated[values.Whole, values.between(0, 1024)]


@dataclasses.dataclass
class Eval:
  """What is measured of it."""

  split: str
  batch_size: values.Count
  examples: values.Whole
  samples: values.Count
  orders: Annotated[int, *_PATHS]
  chain: Annotated[int, values.between(1, 2**16)]
  ode: Annotated[int, values.between(0, 2**16)]
  num: values.Count
  steps: tuple[values.Count, ...]
  samplers: tuple[str, ...]
  features: bool
  inception: values.Path
  efficientnet: bool
  structure: bool


@dataclasses.dataclass
class Mesh:
  """Devices an axis."""

  data: Annotated[int, _AXIS]
  fsdp: Annotated[int, _AXIS]
  tensor: Annotated[int, _AXIS]
  sequence: Annotated[int, _AXIS]
  slices: values.Count


# What takes a section's keys, '' for those in none; and what it takes besides.
SECTIONS = {
  '': Top, 'atoms': Atoms, 'plan': Plan, 'truncation': Truncation, 'guidance': Guidance,
  'parallel': parallel.Parallel, 'speculative': speculative.Speculative,
  'optim': optim.make, 'train': Train, 'eval': Eval, 'mesh': Mesh,
}
PROVIDED = ('total_steps',)


def check(config, without=()) -> None:
  """Raises ValueError, in words, for a key that is absent or unknown, or a value that no run can
  have; before anything is made, or compared with anything. without: choices that nobody makes."""
  for key in config:
    if key not in (*SECTIONS, *choose.ROOMS, *keys(''), 'kinds'):
      raise ValueError(f'config.{values.shown(key)} is no key; configs/base.py has them all')
  for kind in choose.ROOMS:
    choice = _get(config, kind)
    if kind in without:
      continue
    if kind not in OPEN or not hasattr(choice, 'keys') or choice.get('name') != '':
      choose.check(kind, choice)
  kinds.check(_get(config, 'kinds'))
  for section in SECTIONS:
    _check_section(section, _get(config, section) if section else config)


def keys(section) -> dict[str, Any]:
  """{key: annotation} of a section that is no choice."""
  taken = values.parameters(SECTIONS[section])
  return {name: one.annotation for name, one in taken.items() if name not in PROVIDED}


def _check_section(section, place):
  """As check, of one section."""
  known, prefix = keys(section), f'{section}.'.lstrip('.')
  if not hasattr(place, 'keys'):
    raise ValueError(
      f'config.{section}={values.shown(place)} must be a section with {", ".join(known)}'
    )
  for key in place if section else ():
    if key not in known:
      raise ValueError(
        f'config.{section} has no key {values.shown(key)}; it has {", ".join(known)}'
      )
  for key, annotation in known.items():
    values.check(f'config.{prefix}{key}', _get(place, key, prefix), annotation)


def _get(place, key, prefix=''):
  """What stands at a key."""
  if key not in place:
    raise ValueError(
      f'the config has no key {prefix}{key}; make it from configs/base.py, or use the version of '
      'adiff that wrote it'
    )
  return place[key]
