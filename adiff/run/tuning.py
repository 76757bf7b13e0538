"""What an evaluation of a run came to, and with which settings of sampling it comes to the best."""

import math
import os
from typing import Any

import numpy as np

from adiff.judge import section
from adiff.machine import storage
from adiff.run import division, evaluations, growing, kept, output, places
from adiff.run import workdir as workdir_lib


def read(place) -> tuple[dict[str, float], list[dict[str, Any]]]:
  """(numbers, points) of an evaluation, see judge/studied.py; a point is a row that tells its
  network calls, of any table."""
  told, found = growing.read(place)
  points = {}
  for table in (part for one in found for part in one.parts if isinstance(part, section.Table)):
    for row in (row for group in table.groups if group.ranked for row in group.rows):
      if row.get('nfe'):
        name = f'{row["steps"]} steps' if row.get('steps') else row['name']
        points.setdefault(name, {}).update(row | {'name': name})
  for point in points.values():
    if point.get('seconds') and point.get('num'):
      point['seconds'] /= point['num']
  numbers = {
    key: float(value) for key, value in (told.get('numbers') or {}).items()
    if isinstance(value, int | float)
  }
  return numbers, list(points.values())


def best(asked, workdir, data) -> tuple[str, ...]:
  """Those settings of `asked.tuned` with which the network of a run is best; data: as of --data."""
  return asked.tuned[int(np.argmin([
    _loss(asked, workdir, settings, data) for settings in asked.tuned
  ]))]


def _loss(asked, workdir, settings, data) -> float:
  """The metric, or less it where more is better; infinite where the samples are not finite."""
  try:
    return asked.metric.sign * _value(asked, workdir, settings, data)
  except FloatingPointError:
    return math.inf


def _value(asked, workdir, settings, data) -> float:
  """The metric of a network with settings of its sampling."""
  same = workdir_lib.load(workdir, settings) == workdir_lib.load(workdir)
  place = workdir if same else folder(workdir, settings)  # its own page tells of its own settings
  if not _evaluated(place):
    _evaluate(workdir, settings, data)
  numbers, points = read(place)
  key = asked.metric.key
  values = [point[key] for point in points if point.get(key) is not None]
  if not values and key not in numbers:
    raise ValueError(
      f'the study {asked.name} chooses settings by {key}, of which {place} says nothing; give it a '
      'metric that evaluations have'
    )
  return min(values, key=lambda value: asked.metric.sign * value) if values else numbers[key]


def folder(workdir, settings) -> str:
  """Where the evaluation of a run with settings of its sampling lies."""
  return os.path.join(workdir, output.EVALUATIONS, evaluations.name(_flags(settings)))


def _evaluated(place):
  """Is an evaluation there, and did it come to its end without a failure?"""
  if not storage.exists(os.path.join(place, growing.DATA)):
    return False
  told, _ = growing.read(place)
  return told['complete'] and not told.get('failed')


def _flags(settings):
  """The settings as the command line takes them."""
  return tuple(f'--set={word}' for word in settings)


def _evaluate(workdir, settings, data):
  """Evaluates a run with other settings, in a folder of its own."""
  made = places.placed_if_any(workdir_lib.load(workdir, settings), data)
  parts = kept.parts(workdir, made, examples=True)
  mesh = division.mesh(parts, settings, together=True)
  placed = division.placed(parts, mesh)
  evaluations.Run(workdir, parts, mesh, placed, changes=_flags(settings)).evaluate(None, None)
