"""Studies over an axis: each row at several values of a key, such as learning rates, FLOPs or data.

What a row comes to over an axis is either a law or a range. A law is metric = scale * value **
exponent, by least squares of the logarithms over all runs. A range tells which values work: where
no seed diverged and the mean is within half of the row's best one.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from adiff.judge import section, studied
from adiff.judge.page import charts, images

NEAR = 1.5  # times the best metric: it works


@dataclasses.dataclass(frozen=True)
class Axis:
  """What the rows of a study go over."""

  key: str  # of the config; flops: of the training
  heading: str
  law: bool  # tell the law of each row, or the range that works


class Place(NamedTuple):
  """Where a row of the study stands."""

  row: str  # the one that is gone over
  value: float


@dataclasses.dataclass(frozen=True)
class At:
  """A row at one value."""

  value: float
  metrics: tuple[float, ...]  # one a seed that came to its end
  diverged: int = 0  # seeds that did not

  @property
  def mean(self) -> studied.Mean | None:
    """None where all seeds diverged."""
    return studied.mean(self.metrics) if self.metrics else None


def metric_of(metric: studied.Metric, run: studied.Measured) -> float | None:
  """The metric of a run: that of its best way of sampling, or its own; None where it has none."""
  sampled = [point[metric.key] for point in run.points if point.get(metric.key) is not None]
  if sampled:
    return min(sampled, key=lambda value: metric.sign * value)
  return run.numbers.get(metric.key)


def rows(
  metric: studied.Metric, places: Mapping[str, Place], runs: Sequence[studied.Measured],
  diverged: Sequence[tuple[str, int]],
) -> dict[str, list[At]]:
  """{row: its values, growing} of what is finished. diverged: rows of the study, and seeds."""
  found = {}
  for run in runs:
    if (value := metric_of(metric, run)) is not None:
      found.setdefault(places[run.row], []).append(value)
  lost = [places[name] for name, _ in diverged]
  told = {}
  for place in sorted({*found, *lost}, key=lambda place: place.value):
    at = At(place.value, tuple(found.get(place, ())), lost.count(place))
    told.setdefault(place.row, []).append(at)
  return {row: told[row] for row in dict.fromkeys(place.row for place in places.values())
          if row in told}


class Law(NamedTuple):
  """metric = scale * value ** exponent."""

  scale: float
  exponent: studied.Mean  # its interval is 95%, of Student's t


def law(row: Sequence[At]) -> Law | None:
  """The law of a row; None for fewer than three runs or two values, or a metric not above 0."""
  pairs = [(at.value, value) for at in row for value in at.metrics]
  if len(pairs) < 3 or len({value for value, _ in pairs}) < 2 or min(map(min, pairs)) <= 0:
    return None
  fitted = stats.linregress(*np.log(pairs).T)
  half = stats.t.ppf(0.975, len(pairs) - 2) * fitted.stderr
  exponent = studied.Mean(float(fitted.slope), float(half), len(pairs))
  return Law(math.exp(fitted.intercept), exponent)


class Range(NamedTuple):
  """Which values of a row work, and how much seeds differ."""

  best: At
  low: float  # of the values around the best one that work, and so do all between
  high: float
  spread: float | None  # deviation of the metric over seeds at the best value; None: one seed
  diverged: float  # share of all runs

  @property
  def decades(self) -> float:
    """Powers of ten from the lowest to the highest value that works."""
    return math.log10(self.high / self.low)


def working(metric: studied.Metric, row: Sequence[At]) -> Range | None:
  """The range of a row; None where there is no value at which all seeds came to an end."""
  ended = [place for place, at in enumerate(row) if at.mean and not at.diverged]
  if not ended:
    return None
  best = min(ended, key=lambda place: metric.sign * row[place].mean.value)
  bound = row[best].mean.value * NEAR**metric.sign

  def works(at):
    return not at.diverged and at.mean and metric.sign * (at.mean.value - bound) <= 0

  low = high = best
  while low and works(row[low - 1]):
    low -= 1
  while high + 1 < len(row) and works(row[high + 1]):
    high += 1
  lost, ended = sum(at.diverged for at in row), sum(len(at.metrics) for at in row)
  values = row[best].metrics
  return Range(
    row[best], row[low].value, row[high].value,
    float(np.std(values, ddof=1)) if len(values) > 1 else None, lost / (lost + ended),
  )


# ---- The page ------------------------------------------------------------------------------------


def sections(
  metric: studied.Metric, axis: Axis, places: Mapping[str, Place],
  runs: Sequence[studied.Measured], diverged: Sequence[tuple[str, int]],
) -> list[section.Section]:
  """The page of what is finished of a study over an axis."""
  found = rows(metric, places, runs, diverged)
  return [_values(metric, axis, found), (_laws if axis.law else _ranges)(metric, axis, found)]


def _values(metric, axis, found):
  """Every row at every value, and the metric over the axis."""
  columns = (
    section.Column('value', axis.heading, digits=4),
    section.Column('metric', metric.heading, metric.better, digits=4),
    section.Column('seeds', 'Seeds'), section.Column('diverged', 'Diverged'),
  )
  told = [
    {
      'name': name, 'value': at.value, 'seeds': len(at.metrics), 'diverged': at.diverged,
      'metric': at.mean and at.mean.value, 'metric_ci95': at.mean and at.mean.half,
    } for name, row in found.items() for at in row
  ]
  drawn = [{**row, 'ci95': row['metric_ci95']} for row in told if row['metric'] is not None]
  figures = [section.Figure(
    'over_axis', images.png_bytes(charts.quality_vs_cost(
      drawn, metric='metric', cost='value', xlabel=axis.heading, ylabel=metric.heading
    )), f'{metric.heading} over {axis.heading}; means over seeds, whiskers are 95% intervals.',
  )] if drawn else []
  return section.Section(f'Over {axis.heading}', (
    section.Table('Row', columns, (section.Group('', tuple(told), ranked=False),)), *figures,
  ))


def _laws(metric, axis, found):
  columns = (
    section.Column('exponent', 'Exponent'), section.Column('scale', 'At 1'),
    section.Column('runs', 'Runs'),
  )
  told = tuple(
    {
      'name': name, 'exponent': one.exponent.value, 'exponent_ci95': one.exponent.half,
      'scale': one.scale, 'runs': one.exponent.num,
    } for name, row in found.items() if (one := law(row))
  )
  return section.Section('Laws', (
    section.Text(
      f'{metric.heading} as a power of {axis.heading}, fitted to all runs; the interval of the '
      'exponent is 95%, and says nothing beyond the values that were measured.'
    ),
    section.Table('Row', columns, (section.Group('', told, ranked=False),)),
  ))


def _ranges(metric, axis, found):
  columns = (
    section.Column('best', f'Best {axis.heading}', digits=4),
    section.Column('metric', metric.heading, metric.better, digits=4),
    section.Column('spread', 'Deviation over seeds', 'low'),
    section.Column('low', 'Works from'), section.Column('high', 'to'),
    section.Column('decades', 'Decades', 'high'),
    section.Column('diverged', 'Share that diverged', 'low'),
  )
  ranges = {name: working(metric, row) for name, row in found.items()}
  told = tuple(_range_row(name, one) for name, one in ranges.items() if one)
  none = [name for name, one in ranges.items() if one is None]
  return section.Section('Ranges', (
    section.Text(
      f'A value works where no seed diverged and the mean {metric.heading} is within a factor of '
      f'{NEAR:g} of the row\'s best; told is the stretch of such values around the best one.'
      + (f' None works of {", ".join(none)}.' if none else '')
    ),
    section.Table('Row', columns, (section.Group('', told),)),
  ))


def _range_row(name, found) -> dict[str, Any]:
  return {
    'name': name, 'best': found.best.value, 'metric': found.best.mean.value,
    'metric_ci95': found.best.mean.half, 'spread': found.spread, 'low': found.low,
    'high': found.high, 'decades': found.decades, 'diverged': found.diverged,
  }
