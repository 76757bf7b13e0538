"""What a config says its rows end at: its table EXPECTED, whose entries `expect` of configs/base.py
makes. Imports no jax: --help reads it, too."""

import dataclasses
import importlib.util
import inspect
import math
import pathlib
import re
from typing import Any

from adiff.machine import json_file

CORES, GPU = 'cores', 'gpu'
_DEVICES = {CORES: 'two cores', GPU: 'one GPU'}  # or a topology of TPUs, such as v5e:16x16
# What may differ from a row and leaves its numbers what they are: names, devices, places, how often
# something is written.
_FREE = ('name', 'mesh', 'data.data_dir', 'train.log_every', 'train.eval_every',
         'train.checkpoint_every', 'train.keep', 'train.keep_every', 'train.offload',
         'train.workers')
_KEY = r'--config\.([\w.]+)='
_FORM = {'device': str, 'minutes?': float, 'commit': str, 'flags': str, 'numbers': {str: [float]}}


@dataclasses.dataclass(frozen=True)
class Row:
  """An argument of a config, and what is known of it."""

  path: str  # of the config
  argument: str
  device: str  # that it wants: cores, gpu, or a topology
  minutes: float | None  # it takes there
  commit: str  # at which it was measured
  flags: str  # that the command needs besides --config
  numbers: dict[str, tuple[float, float]]  # (value, tolerance) by key; {}: not measured

  @property
  def name(self) -> str:
    """As --config takes it."""
    return f'{self.path}:{self.argument}'

  @property
  def command(self) -> str:
    """What a shell takes to reproduce it."""
    flags = f' {self.flags}' if self.flags else ''
    return f'python -m adiff.main --mode=reproduce --config={self.name}{flags}'

  @property
  def wants(self) -> str:
    """The device, in words."""
    return _DEVICES.get(self.device, f'TPUs {self.device}')

  @property
  def brief(self) -> str:
    """Its numbers."""
    told = (f'{key} {value:g} +- {far:g}' for key, (value, far) in self.numbers.items())
    return ', '.join(told) or 'not measured'

  @property
  def words(self) -> str:
    """Its numbers, or that there are none, and what they take."""
    if not self.numbers:
      return f'not measured (wants {self.wants})'
    minutes = '' if self.minutes is None else f'{self.minutes:g} min on '
    return f'{self.brief} ({minutes}{self.wants}, commit {self.commit})'

  @property
  def placed(self) -> dict[str, str]:
    """{key of the config: its flag} of those that the command gives: where data and runs lie."""
    return {re.match(_KEY, flag)[1]: flag for flag in self.flags.split()}

  def fits(self, platform, count) -> bool:
    """Can it run in reasonable time on so many devices of a platform?"""
    if self.device == CORES:
      return True
    chips = 1 if self.device == GPU else _chips(self.device)
    return platform != 'cpu' and count >= chips


def _chips(topology):
  """How many devices a topology such as v5e:16x16 has."""
  return math.prod(int(side) for side in topology.partition(':')[2].split('x'))


def module(path) -> Any:
  """The module of a config file, as config_flags reads it."""
  path = pathlib.Path(path)
  spec = importlib.util.spec_from_file_location(f'config_{path.stem}', path)
  found = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(found)
  return found


def rows(config_module, path) -> dict[str, Row]:
  """{argument: Row} of a config's table, {} where it has none; raises ValueError for an entry that
  is none."""
  table = getattr(config_module, 'EXPECTED', None)
  return {} if table is None else {
    argument: _row(str(path), argument, entry) for argument, entry in table.items()
  }


def every(folders, *, below='') -> list[Row]:
  """The rows of all configs in folders, named as from `below`."""
  found = []
  for path in (path for folder in folders for path in sorted(pathlib.Path(folder).glob('*.py'))):
    name = path.relative_to(below) if below else path
    found += rows(module(path), name).values()
  return found


def _row(path, argument, entry):
  entry = json_file.plain(entry)
  fault = json_file.mismatch(entry, _FORM)
  if not fault and not all(re.match(_KEY, flag) for flag in entry['flags'].split()):
    fault = f'has the flags {entry["flags"]!r}, which are not all --config.KEY=WHERE'
  for key, pair in {} if fault else entry['numbers'].items():
    if len(pair) != 2 or not all(map(math.isfinite, pair)) or pair[1] < 0:
      fault = f'has numbers.{key} = {pair}, which is no (value, tolerance)'
  if not fault and entry['device'] not in _DEVICES and not _is_topology(entry['device']):
    fault = f'wants the device {entry["device"]!r}, which is none of cores, gpu and KIND:AxB'
  if fault:
    raise ValueError(f'{path}: EXPECTED[{argument!r}] {fault}; write it with base.expect')
  numbers = {key: tuple(pair) for key, pair in entry['numbers'].items()}
  return Row(path, argument, **{**entry, 'numbers': numbers})


def _is_topology(text):
  kind, _, sides = text.partition(':')
  return bool(kind) and all(side.isdecimal() for side in sides.split('x'))


def of(config, path) -> Row:
  """The row of a file FILE.py or FILE.py:ROW whose config this is; raises ValueError where it is
  none, or nothing is expected of it."""
  file, _, argument = path.partition(':')
  found = module(file)
  argument = argument if argument else _default(found.get_config)
  own = found.get_config(argument) if argument else found.get_config()
  wanted = _told(own)
  table = rows(found, file)
  same = (row for key, row in table.items() if _told(found.get_config(key)) == wanted)
  row = table[argument] if argument in table else next(same, None)
  placed = {} if row is None else row.placed
  for key, here in _told(config).items():
    if key in placed and here == wanted.get(key):
      raise ValueError(f'{path} needs {placed[key]} and has {here}; add it')
    if key not in placed and here != wanted.get(key):
      raise ValueError(
        f'--mode=reproduce runs a row as it is, and {key} is {here} here and {wanted.get(key)} in '
        f'{path}; leave --config.{key} away'
      )
  if row is None or not row.numbers:
    wants = '' if row is None else f' It wants {row.wants}.'
    raise ValueError(
      f'{path} has no numbers to be reproduced: it was not measured.{wants} Train it with '
      '--mode=train, and write what it ends at into its table EXPECTED'
    )
  return row


def _default(get_config):
  """The row of a config file without a row."""
  parameters = inspect.signature(get_config).parameters.values()
  return next((one.default for one in parameters if isinstance(one.default, str)), '')


def _told(config):
  """{dotted key: value} of what its numbers follow from."""
  def flat(value, prefix):
    for key, item in value.items():
      if isinstance(item, dict):
        yield from flat(item, f'{prefix}{key}.')
      else:
        yield f'{prefix}{key}', item

  tree = json_file.parse(config.to_json(), dict, where='the config')
  kept = dict(flat(tree, ''))
  return {key: value for key, value in kept.items()
          if not any(key == free or key.startswith(f'{free}.') for free in _FREE)}
