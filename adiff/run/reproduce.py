"""A row of a config, trained and evaluated as it is, and its numbers beside those that the config
expects: met or not.

  python -m adiff.main --mode=reproduce        every row, what it ends at and what it takes
  python -m adiff.main --mode=reproduce --config=configs/digits.py:short

WORKDIR/reproduced.json keeps what came out, and on which commit and hardware.
"""

import datetime
import math
import os
import pathlib
import time
from typing import NamedTuple

import jax

from adiff.machine import checkpoint, files, hosts, json_file, provenance
from adiff.run import expected, growing, listing, train

FILE = 'reproduced.json'
NOT_MET = 1  # exit code
_EVALUATION = {'numbers': dict, 'complete?': bool, 'data?': str}


class Compared(NamedTuple):
  """A number beside what was expected."""

  name: str
  number: float | None  # None: not there, or not finite
  expected: float
  tolerance: float

  @property
  def met(self) -> bool:
    """Is it within the tolerance, on either side? A number that is far better is not the same."""
    if self.number is None or not math.isfinite(self.number):
      return False
    far = abs(self.number - self.expected)
    return far <= self.tolerance or math.isclose(far, self.tolerance, rel_tol=1e-9)

  def __str__(self):
    number = 'is missing' if self.number is None else f'{self.number:.4g}'
    met = 'met' if self.met else 'NOT MET'
    return f'{self.name} {number}, expected {self.expected:g} +- {self.tolerance:g}: {met}'


def compared(numbers, row) -> tuple[Compared, ...]:
  """Those of an evaluation beside those of an expected.Row."""
  return tuple(
    Compared(name, numbers.get(name), value, tolerance)
    for name, (value, tolerance) in row.numbers.items()
  )


def reproduce(config, path, workdir=None) -> int:
  """Trains to the end, or goes on where it stopped, evaluates, compares and writes the file.

  path: of --config. Returns 0 where all numbers are met, 1 where one is not, 75 where a signal
  stopped it. Raises ValueError for a config that is no row, or of which nothing is expected, and
  what `train.train` does.
  """
  row = expected.of(config, path)
  workdir = default_workdir(row) if workdir is None else workdir
  hosts.say(f'{row.name} in {workdir}: expects {row.words}')
  begun, first = time.monotonic(), checkpoint.latest_step(workdir)
  code = train.train(config, workdir)
  if code:
    return code
  told = json_file.read(os.path.join(workdir, growing.DATA), _EVALUATION)
  found = compared(told['numbers'], row)
  for one in found:
    hosts.say(str(one))
  met = all(one.met for one in found)
  if hosts.first():
    files.write_json(os.path.join(workdir, FILE), {
      'row': row.name, 'command': row.command, 'met': met,
      'numbers': {one.name: _as_data(one) for one in found},
      'seconds': round(time.monotonic() - begun, 1), 'from_step': 0 if first is None else first,
      'data': told.get('data'), 'commit': provenance.commit(), 'hardware': provenance.hardware(),
      'date': datetime.datetime.now(datetime.UTC).strftime('%Y-%m-%d'),
    })
  hosts.say(f'{row.name}: {"met" if met else "not met"}; {os.path.join(workdir, FILE)}')
  return 0 if met else NOT_MET


def _as_data(one):
  """A number as it is written down."""
  return {**one._asdict(), 'met': one.met}


def default_workdir(row) -> str:
  """Where a row is reproduced unless --workdir says it."""
  return os.path.join('runs', 'reproduce', f'{pathlib.Path(row.path).stem}-{row.argument}')


def tell() -> int:
  """Prints every row: its numbers, what it wants, and whether that is here; returns 0."""
  platform, count = jax.default_backend(), jax.device_count()
  for row in expected.every(listing.places()):
    here = 'fits here' if row.fits(platform, count) else 'does not fit here'
    print(f'{row.name}  {row.words}; {here if row.numbers else "nothing to compare with"}')
  print('reproduce one with --mode=reproduce --config=FILE.py:ROW')
  return 0
