"""The studies that there are: STUDIES of configs/studies.py, whose entries `study` makes."""

import dataclasses
import pathlib
import re
from typing import Any

from adiff.judge import studied, swept
from adiff.machine import json_file
from adiff.run import expected, listing

FILE = 'studies.py'
_FORM = {
  'about': str, 'rows': {str: [str]}, 'flops': float, 'metric': [str], 'seeds': int,
  'settings': [str], 'tuned': [str], 'untuned': [str], 'once': [str], 'codecs': {str: str},
  'over?': {'key': str, 'heading': str, 'values': [float], 'law': bool},
}
_FLOPS = 'flops'  # the axis that is no key of a config


@dataclasses.dataclass(frozen=True)
class Row:
  """A row of a config, with changes."""

  name: str
  config: str  # FILE.py:ROW
  settings: tuple[str, ...]  # KEY=VALUE
  place: swept.Place | None = None  # where it stands in a study over an axis
  untuned: bool | None = None  # True: it has no settings to choose from
  once: bool | None = None  # True: it has one seed, however many the others have
  codec: str | None = None  # FILE.py:ROW, what trains the codec that it makes codes of

  @property
  def word(self) -> str:
    """Its name as a part of a file's."""
    return re.sub(r'\W+', '_', self.name)

  @property
  def codec_row(self) -> 'Row | None':
    """What trains its codec, as a row, or None."""
    if self.codec is None:
      return None
    file, _, argument = self.codec.partition(':')
    return Row(f'{pathlib.Path(file).stem} {argument}', self.codec, ())


@dataclasses.dataclass(frozen=True)
class Study:
  """Rows that are trained with the same FLOPs, unless these are its axis."""

  name: str
  about: str
  rows: tuple[Row, ...]
  flops: float  # of the training of a run
  metric: studied.Metric
  seeds: int
  settings: tuple[str, ...]  # KEY=VALUE, of every row
  tuned: tuple[tuple[str, ...], ...]  # settings of which each row takes the best
  axis: swept.Axis | None = None  # what its rows go over

  def flops_of(self, row) -> float:
    """Of the training of a row."""
    if self.axis and self.axis.key == _FLOPS:
      return row.place.value * 1e12
    return self.flops

  def seeds_of(self, row) -> int:
    """How often a row is trained."""
    return 1 if row.once else self.seeds

  def as_data(self) -> dict[str, Any]:
    """What its numbers follow from, as JSON."""
    told = json_file.plain(dataclasses.asdict(self))
    told['rows'] = [_known(row) for row in told['rows']]
    return {key: value for key, value in _known(told).items() if key != 'about'}


def every() -> list[Study]:
  """All studies; those of the current folder's file stand before the package's. Raises ValueError
  for an entry that is none."""
  found = {}
  for folder in listing.places():
    path = folder / FILE
    if path.is_file():
      for name, entry in expected.module(path).STUDIES.items():
        found.setdefault(name, _study(path, name, entry))
  return list(found.values())


def find(name) -> Study:
  """The study of a name; raises ValueError where there is none."""
  found = {one.name: one for one in every()}
  if name not in found:
    raise ValueError(f'there is no study {name!r}; write one of {", ".join(found)}')
  return found[name]


def place(file) -> str:
  """The path of a config file that is told as configs/NAME.py, wherever configs lie."""
  for folder in listing.places():
    path = folder / pathlib.Path(file).name
    if path.is_file():
      return str(path)
  raise ValueError(f'there is no config {file}; configs lie in {listing.places()[0]}')


def _study(path, name, entry):
  plain = json_file.plain(entry)
  fault = json_file.mismatch(plain, _FORM)
  rows = {} if fault else plain['rows']
  whole = bool(rows) and all(rows.values())
  if not fault and (plain['seeds'] < 1 or plain['flops'] <= 0 or not whole):
    fault = 'needs seeds, FLOPs, rows, and a config for every row'
  if not fault and (len(plain['metric']) != 3 or plain['metric'][2] not in ('low', 'high')):
    fault = f'has the metric {plain["metric"]}; write (key, heading, low or high)'
  words = () if fault else (
    *plain['settings'], *(word for row in rows.values() for word in row[1:]),
    *(word for one in plain['tuned'] for word in one.split(';')),
  )
  wrong = [word for word in words if '=' not in word]
  if wrong:
    fault = f'has the setting {wrong[0]!r}; write KEY=VALUE'
  named = () if fault else (*plain['untuned'], *plain['once'], *plain['codecs'])
  strange = set(named) - set(rows)
  if strange:
    fault = f'names {min(strange)!r} in untuned, once or codecs, which is none of its rows'
  over = None if fault else plain.get('over')
  if over and (not over['values'] or min(over['values']) <= 0):
    fault = f'goes over the values {over["values"]}; write some, all above 0'
  if fault:
    raise ValueError(f'{path}: STUDIES[{name!r}] {fault}; make it with `study`')
  made = tuple(_rows(over, plain))
  codecs = dict.fromkeys(row.codec_row for row in made if row.codec_row)
  for what, several in (('rows', made), ('codecs', tuple(codecs))):
    words = [row.word for row in several]
    same = [row.name for row in several if words.count(row.word) > 1]
    if same:
      raise ValueError(
        f'{path}: STUDIES[{name!r}] has {what} whose folders are one, {" and ".join(same)}; give '
        'them names that differ in letters'
      )
  return Study(
    name, plain['about'], made,
    float(plain['flops']), studied.Metric(*plain['metric']), plain['seeds'],
    tuple(plain['settings']), tuple(tuple(one.split(';')) for one in plain['tuned']),
    swept.Axis(over['key'], over['heading'], over['law']) if over else None,
  )


def _rows(over, entry):
  """The rows of an entry, each at every value of what they go over."""
  for name, (config, *settings) in entry['rows'].items():
    row = Row(
      name, config, tuple(settings), untuned=True if name in entry['untuned'] else None,
      once=True if name in entry['once'] else None, codec=entry['codecs'].get(name),
    )
    if over is None:
      yield row
    for value in over['values'] if over else ():
      own = () if over['key'] == _FLOPS else (f'{over["key"]}={value:g}',)
      yield dataclasses.replace(
        row, name=f'{name}, {over["heading"]} {value:g}', settings=(*settings, *own),
        place=swept.Place(name, value),
      )


def _known(told):
  """What of a dictionary is there: files of before there were axes tell none."""
  return {key: value for key, value in told.items() if value is not None}
