"""What a judge says: sections of parts, which a page shows to people and JSON hands to programs.

A number carries its `kind`: numbers are ranked among each other only where their kinds are equal,
whatever they are called. `as_data` and `from_data` are inverse up to numbers that are not finite.
"""

import dataclasses
import math
import re
import types
from collections.abc import Callable
from typing import Any, get_args, get_origin

import numpy as np

Number = float | str | None  # or a word; None where it was not measured
Interval = float | tuple[float | None, float | None] | None  # 95%: half width, or (low, high)


class Foreign(ValueError):
  """Data that are no sections."""


@dataclasses.dataclass(frozen=True)
class Fact:
  """One number or word. On a tile at the top of the page where `tile` says what it is."""

  key: str  # by which programs find it, one in a report
  name: str  # for people
  value: Number
  interval: Interval = None
  meaning: str = ''  # a sentence
  better: str | None = None  # 'low', 'high', or None where neither is
  kind: str = ''  # what it may be ranked with
  beside: dict[str, Number] = dataclasses.field(default_factory=dict)  # {whose: the same number}
  tile: str = ''  # words under the number
  digits: int = 3  # that people see

  def __post_init__(self):
    _check_look(self)


@dataclasses.dataclass(frozen=True)
class Facts:
  """Numbers by name."""

  facts: tuple[Fact, ...]
  shown: bool = True  # False: another part shows them; they are here for tiles and programs


@dataclasses.dataclass(frozen=True)
class Column:
  """What stands below a heading."""

  key: str  # of the rows
  heading: str
  better: str | None = None  # 'low', 'high', or None where neither is
  meaning: str = ''  # a sentence
  kind: str = ''  # what the numbers may be ranked with
  digits: int = 3  # that people see
  ranked: bool = True  # False: the numbers are of unequal kinds, and none is marked as the best

  def __post_init__(self):
    _check_look(self)


@dataclasses.dataclass(frozen=True)
class Group:
  """Rows under one heading; {'name': .., column's key: value, KEY_ci95: its interval}."""

  heading: str
  rows: tuple[dict[str, Number | Interval], ...]
  ranked: bool = True  # False: references, of which none is the best


@dataclasses.dataclass(frozen=True)
class Table:
  """Rows by columns; a column that no row has a value of is not shown."""

  title: str  # of the rows' names
  columns: tuple[Column, ...]
  groups: tuple[Group, ...]


@dataclasses.dataclass(frozen=True)
class Figure:
  """A picture with its caption, and the numbers that it shows."""

  name: str  # of its file, one in a report
  picture: bytes  # PNG or GIF
  caption: str
  look: str = 'chart'  # dark on white, follows the colour scheme; 'pixels': keeps its colours
  values: dict = dataclasses.field(default_factory=dict)  # {name: numbers}

  def __post_init__(self):
    if not re.fullmatch(r'\w[\w.@=-]*', self.name):
      raise ValueError(f'a figure called {self.name!r} is no file; use letters, digits and _')

  @property
  def file(self) -> str:
    """Its place beside the report; raises ValueError for bytes of another kind."""
    return f'pictures/{self.name}.{image_kind(self.name, self.picture)}'


@dataclasses.dataclass(frozen=True)
class Text:
  """Words, escaped where they are shown."""

  words: str
  look: str = 'prose'  # 'code': as it is, in lines; 'folded': code behind `summary`
  summary: str = ''


@dataclasses.dataclass(frozen=True)
class Passages:
  """Generated texts, one card each."""

  texts: tuple[str, ...]
  prompts: tuple[str, ...] = ()  # what each of them continues; (): nothing
  title: str = ''


@dataclasses.dataclass(frozen=True)
class Reveal:
  """Generated text, each token marked with the step that revealed it."""

  title: str
  tokens: tuple[str, ...]  # N, in reading order
  steps: tuple[int, ...]  # N, within the token's block, 0 the first; -1: it was given
  blocks: tuple[int, ...] = ()  # N, the block of each token; (): one block
  num_steps: int | None = None  # of the plan; None: as many as occur

  def __post_init__(self):
    if len(self.steps) != len(self.tokens) or len(self.blocks) not in (0, len(self.tokens)):
      raise ValueError('a text that is revealed needs one step and one block a token')


Part = Facts | Table | Figure | Text | Passages | Reveal
_PARTS = {kind.__name__.lower(): kind for kind in Part.__args__}


@dataclasses.dataclass(frozen=True)
class Section:
  """Parts under one heading, from top to bottom."""

  title: str
  parts: tuple[Part, ...]


def image_kind(name, picture) -> str:
  """'png' or 'gif'; raises ValueError for bytes of another kind."""
  kinds = {b'\x89PNG': 'png', b'GIF8': 'gif'}
  if bytes(picture[:4]) not in kinds:
    raise ValueError(
      f'picture {name!r} is neither PNG nor GIF; make it with images.png_bytes or images.strip'
    )
  return kinds[bytes(picture[:4])]


def as_data(sections) -> list[dict]:
  """The sections as JSON values: null for what is not finite, pictures by their file's name.

  A part is {'part': name of its class in lower case, .. its fields}.
  """
  return [
    {'title': one.title, 'parts': [_part_as_data(part) for part in one.parts]} for one in sections
  ]


def _part_as_data(part):
  """Fields of a part, without bytes."""
  data = {'part': type(part).__name__.lower(), **dataclasses.asdict(part)}
  if isinstance(part, Figure):
    del data['picture']
    data['file'] = part.file
  return plain(data)


def plain(value) -> Any:
  """`value` of plain Python's types, with None for numbers that are not finite."""
  if isinstance(value, dict):
    return {str(key): plain(item) for key, item in value.items()}
  if isinstance(value, list | tuple | np.ndarray):
    return [plain(item) for item in value]
  if isinstance(value, np.generic):
    value = value.item()
  return None if isinstance(value, float) and not math.isfinite(value) else value


def from_data(data, read: Callable[[str], bytes]) -> list[Section]:
  """The sections that `as_data` wrote; read: a picture's file -> its bytes.

  Raises Foreign for what is no section: a part of an unknown name, other fields, or values of
  another type than the fields have.
  """
  found = []
  for one in data:
    fitting = isinstance(one, dict) and one.keys() == {'title', 'parts'}
    if not fitting or not isinstance(one['title'], str) or not isinstance(one['parts'], list):
      raise Foreign('a section is no {"title": .., "parts": [..]}')
    found.append(Section(one['title'], tuple(_part(part, read) for part in one['parts'])))
  return found


def _part(told, read):
  """A part from its fields."""
  name = told.get('part') if isinstance(told, dict) else None
  try:
    fields = {key: value for key, value in told.items() if key != 'part'}
    file = fields.pop('file') if name == 'figure' else None
    part = _typed(fields | ({'picture': b''} if file else {}), _PARTS[name])
    if file and file not in [f'pictures/{part.name}.{ending}' for ending in ('png', 'gif')]:
      raise ValueError(f'the figure {part.name} lies elsewhere')
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise Foreign(
      f'a section holds a part {str(name)[:40]!r} of another version ({error})'
    ) from error
  if not file:
    return part
  part = dataclasses.replace(part, picture=read(file))
  try:
    image_kind(part.name, part.picture)
  except ValueError as error:
    raise Foreign(f'{file} is neither PNG nor GIF') from error
  return part


def _typed(value, wanted):
  """A JSON value as an annotation says: lists as tuples, dictionaries as their dataclass. Raises
  TypeError or ValueError for another one."""
  origin, arguments = get_origin(wanted), get_args(wanted)
  if wanted is Any or wanted is dict and isinstance(value, dict):
    return _frozen(value)
  if isinstance(wanted, types.UnionType):
    for one in arguments:
      try:
        return _typed(value, one)
      except TypeError:
        continue
  elif origin is tuple and isinstance(value, list):
    kinds = arguments[:1] * len(value) if arguments[-1] is ... else arguments
    if len(kinds) == len(value):
      return tuple(_typed(item, kind) for item, kind in zip(value, kinds, strict=True))
  elif origin is dict and isinstance(value, dict):
    return {key: _typed(item, arguments[1]) for key, item in value.items()}
  elif dataclasses.is_dataclass(wanted) and isinstance(value, dict):
    known = {field.name: field.type for field in dataclasses.fields(wanted)}
    return wanted(**{
      key: _typed(item, known[key]) if key in known else item for key, item in value.items()
    })
  elif origin is None and isinstance(value, float | int if wanted is float else wanted):
    return value
  raise TypeError(f'{str(value)[:40]!r} is no {getattr(wanted, "__name__", wanted)}')


def _frozen(value):
  """JSON lists as tuples."""
  if isinstance(value, dict):
    return {key: _frozen(item) for key, item in value.items()}
  return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _check_look(shown):
  """Raises ValueError for a fact or column that no page can show."""
  if shown.better not in (None, 'low', 'high') or not 0 <= shown.digits <= 17:
    raise ValueError(f'{shown.key}: better is low, high or None, and digits are 0 to 17')


def numbers(sections) -> dict:
  """{key: number} of all facts, KEY_ci95 for intervals: what programs read out of a report.

  None stands for what is not finite or was not measured. Raises ValueError where two facts have one
  key.
  """
  out = {}
  for fact in (fact for one in sections for fact in all_facts(one)):
    if fact.key in out:
      raise ValueError(f'two facts have the key {fact.key!r}; give one of them another key')
    if not isinstance(fact.value, str):
      out[fact.key] = plain(fact.value)
      if fact.interval is not None:
        out[f'{fact.key}_ci95'] = plain(fact.interval)
  return out


def all_facts(section) -> list[Fact]:
  """The facts of a section, shown or not."""
  return [fact for part in section.parts if isinstance(part, Facts) for fact in part.facts]


def figures(sections) -> list[Figure]:
  """The pictures of all sections; raises ValueError where two have one name."""
  found = [part for one in sections for part in one.parts if isinstance(part, Figure)]
  names = [figure.name for figure in found]
  for name in names:
    if names.count(name) > 1:
      raise ValueError(f'two figures are called {name!r}; give one of them another name')
  return found


def best(column, rows) -> float | None:
  """The best value of a column among rows; None where fewer than two have one or none is better."""
  values = [row[column.key] for row in rows if row.get(column.key) is not None]
  if column.better is None or not column.ranked or len(values) < 2:
    return None
  return min(values) if column.better == 'low' else max(values)
