"""The studies that there are: STUDIES of configs/studies.py, whose entries `study` makes."""

import dataclasses
import pathlib
from typing import Any

from adiff.judge import studied
from adiff.machine import json_file
from adiff.run import expected, listing

FILE = 'studies.py'
_FORM = {
  'about': str, 'rows': {str: [str]}, 'flops': float, 'metric': [str], 'seeds': int,
  'settings': [str], 'tuned': [str],
}


@dataclasses.dataclass(frozen=True)
class Row:
  """A row of a config, with changes."""

  name: str
  config: str  # FILE.py:ROW
  settings: tuple[str, ...]  # KEY=VALUE


@dataclasses.dataclass(frozen=True)
class Study:
  """Rows that are trained with the same FLOPs."""

  name: str
  about: str
  rows: tuple[Row, ...]
  flops: float  # of the training of a run
  metric: studied.Metric
  seeds: int
  settings: tuple[str, ...]  # KEY=VALUE, of every row
  tuned: tuple[tuple[str, ...], ...]  # settings of which each row takes the best

  def as_data(self) -> dict[str, Any]:
    """What its numbers follow from, as JSON."""
    told = json_file.plain(dataclasses.asdict(self))
    return {key: value for key, value in told.items() if key != 'about'}


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
  if fault:
    raise ValueError(f'{path}: STUDIES[{name!r}] {fault}; make it with `study`')
  return Study(
    name, plain['about'],
    tuple(Row(row, told[0], tuple(told[1:])) for row, told in rows.items()),
    float(plain['flops']), studied.Metric(*plain['metric']), plain['seeds'],
    tuple(plain['settings']), tuple(tuple(one.split(';')) for one in plain['tuned']),
  )
