"""What the runs of a study say together: rows of configs side by side, each with several seeds.

A row's numbers are means over its seeds with 95% intervals of Student's t. Two rows are compared at
equal cost: the best each of them does for what both can pay, by Welch's t (Biometrika 34, 1947).
"Equal calls" and "equal FLOPs" are different questions, for a call of a block is cheaper than one
of the whole, so every axis has an answer of its own.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from adiff.judge import base, quality, section
from adiff.judge.page import charts, images

# What sampling costs: key of a point, in words.
AXES = (
  ('nfe', 'sequential network calls a sample'), ('gflop', 'GFLOP a sample'),
  ('seconds', 'seconds a sample, in a batch'),
)
BETTER, WORSE, UNDECIDED = 'better', 'worse', 'undecided'
_SLACK = 1.001  # costs that are equal but for rounding


@dataclasses.dataclass(frozen=True)
class Measured:
  """A finished run. numbers: of the run; points: of its samples, a dict for each way of sampling,
  with `name`, the costs of AXES and what a judge measured."""

  row: str
  seed: int
  numbers: dict[str, float]
  points: tuple[dict[str, Any], ...]


@dataclasses.dataclass(frozen=True)
class Metric:
  """By what rows are compared."""

  key: str  # of points, or of numbers
  heading: str
  better: str  # low or high

  @property
  def sign(self) -> int:
    """1 where less is better, else -1."""
    return 1 if self.better == 'low' else -1


class Mean(NamedTuple):
  """A number of several seeds."""

  value: float
  half: float | None  # width of the 95% interval; None: one seed has none
  num: int


class Compared(NamedTuple):
  """Two rows where both pay at most `cost`."""

  axis: str
  cost: float | None  # None: what is compared costs no samples
  ours: Mean
  theirs: Mean
  difference: Mean  # ours - theirs
  verdict: str  # of ours


def mean(values: Sequence[float]) -> Mean:
  """The mean and its interval; values: one a seed, at least one."""
  num = len(values)
  if num == 1:
    return Mean(float(values[0]), None, 1)
  error = np.std(values, ddof=1) / math.sqrt(num)
  return Mean(float(np.mean(values)), float(stats.t.ppf(0.975, num - 1) * error), num)


def difference(ours: Sequence[float], theirs: Sequence[float]) -> Mean:
  """What two means differ by, with Welch's interval; None where either has one seed."""
  value = float(np.mean(ours) - np.mean(theirs))
  sizes = len(ours), len(theirs)
  if min(sizes) == 1:
    return Mean(value, None, min(sizes))
  parts = [np.var(one, ddof=1) / len(one) for one in (ours, theirs)]
  total = sum(parts)
  if not total:
    return Mean(value, 0.0, min(sizes))
  freedom = total**2 / sum(part**2 / (size - 1) for part, size in zip(parts, sizes, strict=True))
  return Mean(value, float(stats.t.ppf(0.975, freedom) * math.sqrt(total)), min(sizes))


def verdict(metric: Metric, apart: Mean) -> str:
  """Is what the difference is of better? Undecided where the interval has 0, or there is none."""
  if apart.half is None or abs(apart.value) <= apart.half:
    return UNDECIDED
  return BETTER if metric.sign * apart.value < 0 else WORSE


def compared(metric: Metric, ours, theirs) -> list[Compared]:
  """Two rows, each a list of Measured, over every cost that samples have; or, where the metric is
  none of samples, as they are."""
  told = [[run.numbers[metric.key] for run in runs if metric.key in run.numbers]
          for runs in (ours, theirs)]
  rows = [points(metric, runs) for runs in (ours, theirs)]
  if not all(rows):
    return [_compared(metric, 'training', None, *told)] if all(told) else []
  found = []
  for axis, _ in AXES:
    dear = [max(point[axis].value for point in row) for row in rows]
    chosen = [_best(metric, row, axis, min(dear)) for row in rows]
    if all(chosen):
      found.append(_compared(metric, axis, min(dear), *chosen))
  return found


def _compared(metric, axis, cost, ours, theirs):
  apart = difference(ours, theirs)
  return Compared(axis, cost, mean(ours), mean(theirs), apart, verdict(metric, apart))


def _best(metric, row, axis, cost):
  """The metric of the best point that costs no more, a value a seed; None: there is none."""
  paid = [point for point in row if point[axis].value <= cost * _SLACK]
  if not paid:
    return None
  return min(paid, key=lambda point: metric.sign * point['metric'].value)['values']


def points(metric: Metric, runs) -> list[dict[str, Any]]:
  """The ways of sampling of one row that all its seeds have: {'name', 'metric': Mean, 'values': one
  a seed, and a Mean by each other key that is a number}."""
  found = []
  for first in runs[0].points:
    same = [point for run in runs for point in run.points if point['name'] == first['name']]
    if len(same) < len(runs) or any(point.get(metric.key) is None for point in same):
      continue
    keys = [key for key, value in first.items() if isinstance(value, int | float)]
    means = {
      key: mean([point[key] for point in same]) for key in keys
      if all(point.get(key) is not None for point in same)
    }
    if all(axis in means for axis, _ in AXES):
      values = [point[metric.key] for point in same]
      found.append({
        'name': first['name'], **means, 'metric': mean(values), 'values': values,
        'gflop_is': first.get('gflop_is'),
      })
  return found


# ---- The page ------------------------------------------------------------------------------------

_NUMBERS = (
  section.Column('seeds', 'Seeds'),
  section.Column('steps', 'Training steps'),
  section.Column('flops', 'FLOP of training', meaning='Matrix products and convolutions.'),
  section.Column('parameters', 'Parameters'),
  section.Column('minutes', 'Minutes of training', digits=2, meaning='Evaluation included.'),
  section.Column('latency', 'Seconds for one sample', digits=2),
  section.Column('cache_kib', 'Cache a sample (KiB)'),
  section.Column('nats', 'Bound (nats)', 'low', digits=4),
)
_POINTS = (
  section.Column('nfe', 'NFE', meaning='Network evaluations per sample, one after another.'),
  section.Column('gflop', 'GFLOP a sample'),
  base.GFLOP_IS,
  section.Column('seconds', 'Seconds a sample', digits=2, meaning='In a batch.'),
  *(section.Column(*measure) for measure in quality.MEASURES),
)


def sections(
  metric: Metric, runs: Sequence[Measured], names: Sequence[str]
) -> list[section.Section]:
  """The page of what is finished of rows called `names`, in this order; the first one is what the
  others are compared with."""
  rows = {name: [run for run in runs if run.row == name] for name in names}
  rows = {name: own for name, own in rows.items() if own}
  sampled = {name: points(metric, own) for name, own in rows.items()}
  found = [_numbers(rows, _NUMBERS if any(sampled.values()) else _with(metric))]
  if any(sampled.values()):
    found.append(_sampled(metric, sampled))
  if len(rows) > 1 and names[0] in rows:
    found.append(_verdicts(metric, rows))
  return found


def _row(name, means, columns):
  """Those of the means that have a column, as the row of a table."""
  keys = [column.key for column in columns if column is not base.GFLOP_IS]
  shown = {key: means[key] for key in keys if key in means}
  values = {key: one.value for key, one in shown.items()}
  return {'name': name, **values, **{f'{key}_ci95': one.half for key, one in shown.items()}}


def _with(metric):
  """The columns of runs, the metric that samples do not have among them."""
  if metric.key in [column.key for column in _NUMBERS]:
    return _NUMBERS
  return (*_NUMBERS, section.Column(metric.key, metric.heading, metric.better))


def _numbers(rows, columns):
  """What a row takes, and what its runs came to."""
  told = []
  for name, runs in rows.items():
    keys = [key for key in runs[0].numbers if all(key in run.numbers for run in runs)]
    means = {key: mean([run.numbers[key] for run in runs]) for key in keys}
    told.append({**_row(name, means, columns), 'seeds': len(runs)})
  return section.Section('Rows', (
    section.Table('Row', columns, (section.Group('', tuple(told)),)),
    section.Text('Means over seeds; intervals are 95%, of the seeds alone.'),
  ))


def _sampled(metric, sampled):
  """Every way of sampling, and the metric over each cost."""
  told = [
    {**_row(f'{name}, {point["name"]}', point, _POINTS), 'gflop_is': point['gflop_is']}
    for name, row in sampled.items() for point in row
  ]
  drawn = [
    {
      'name': name, metric.key: point['metric'].value, 'ci95': point['metric'].half,
      **{axis: point[axis].value for axis, _ in AXES},
    }
    for name, row in sampled.items() for point in row
  ]
  figures = [
    section.Figure(
      f'over_{axis}', images.png_bytes(charts.quality_vs_cost(
        drawn, metric=metric.key, cost=axis, xlabel=words, ylabel=metric.heading
      )), f'{metric.heading} over {words}; means over seeds, whiskers are 95% intervals.',
    ) for axis, words in AXES if any(row[axis] for row in drawn)
  ]
  return section.Section('Quality and cost', (
    section.Table('Row and steps', _POINTS, (section.Group('', tuple(told)),)), *figures,
  ))


_VERDICTS = (
  section.Column('axis', 'At equal'), section.Column('cost', 'Cost at most', digits=3),
  section.Column('ours', 'The first row'), section.Column('theirs', 'The other'),
  section.Column('apart', 'Difference'), section.Column('verdict', 'The first row is'),
)


def _verdicts(metric, rows):
  """The first row beside every other one."""
  (first, ours), *others = rows.items()
  words = {**dict(AXES), 'training': 'training'}
  told = tuple(
    {
      'name': f'{first} against {name}', 'axis': words[one.axis], 'cost': one.cost,
      'ours': one.ours.value, 'ours_ci95': one.ours.half, 'theirs': one.theirs.value,
      'theirs_ci95': one.theirs.half, 'apart': one.difference.value,
      'apart_ci95': one.difference.half, 'verdict': one.verdict,
    }
    for name, theirs in others for one in compared(metric, ours, theirs)
  )
  return section.Section('Verdicts', (
    section.Text(
      f'{metric.heading}, {"less" if metric.better == "low" else "more"} is better: the best of '
      'each row for what both can pay. Undecided: the 95% interval of the difference has 0.'
    ),
    section.Table('Rows', _VERDICTS, (section.Group('', told, ranked=False),)),
  ))
