"""Rules on what studies left: a claim about trained networks as a number and a word.

Each takes a study, or several, and returns a verdict; where a row or a seed is missing it raises
Lacking. Rows are named as in configs/studies.py.
"""

from typing import Any

import numpy as np

from adiff.judge import studied
from adiff.judge.verdicts import (
  MIXED,
  REFUTED,
  SEEDS,
  SUPPORTED,
  Lacking,
  Study,
  Verdict,
  of_halves,
)

NEAR = 1.1  # of the best Fréchet distance: as good


def seeds_of(study: Study, *names: str) -> int:
  """How many seeds all these rows have; raises Lacking below three."""
  seeds = min(len(study.rows.get(name, ())) for name in names)
  if seeds < SEEDS:
    raise Lacking(f'{seeds} seeds of {", ".join(names)}')
  return seeds


def points_of(study: Study, row: str) -> list[dict[str, Any]]:
  """The ways of sampling of a row, as studied.points; raises Lacking where there is none."""
  found = studied.points(study.metric, study.rows[row])
  if not found:
    raise Lacking(f'{row} made no samples')
  return found


def best_of(study: Study, row: str) -> dict[str, Any]:
  """Its best way of sampling."""
  return min(points_of(study, row), key=lambda one: study.metric.sign * one['metric'].value)


def steps_of(point: dict[str, Any]) -> float:
  """Steps a block of a way of sampling; raises Lacking where it has none."""
  if 'steps' not in point:
    raise Lacking('its points have no steps')
  return point['steps'].value


def numbers_of(study: Study, row: str, key: str) -> list[float]:
  """A number of the runs of a row, one a seed; raises Lacking below three."""
  values = [run.numbers[key] for run in study.rows[row] if key in run.numbers]
  if len(values) < SEEDS:
    raise Lacking(f'{row} has no {key}')
  return values


def shown(mean: studied.Mean, digits: int = 2) -> str:
  """A number and its interval in words."""
  return f'{mean.value:.{digits}f} +- {mean.half:.{digits}f}'


def fewest_steps(study: Study, row: str) -> int:
  """Steps a block from which on a row is within a tenth of its best."""
  points = points_of(study, row)
  best = min(point['metric'].value for point in points)
  return int(min(steps_of(point) for point in points if point['metric'].value <= NEAR * best))


def few_steps(study: Study) -> Verdict:
  """Blocks come within a tenth of their best in 16 steps, the whole needs 100 or more."""
  seeds = seeds_of(study, 'block', 'whole')
  block, whole = (fewest_steps(study, row) for row in ('block', 'whole'))
  return Verdict(
    of_halves(block <= 16, whole >= 100), f'block {block}, whole {whole} steps', seeds
  )


def cheaper(study: Study) -> Verdict:
  """What blocks pay to be as good as the whole at its best, over what the whole pays for it."""
  seeds = seeds_of(study, 'block', 'whole')
  block, whole = (points_of(study, row) for row in ('block', 'whole'))
  goal = NEAR * min(point['metric'].value for point in whole)
  words, less = [], []
  for axis, name in studied.AXES:
    paid = [
      min((point[axis].value for point in row if point['metric'].value <= goal), default=np.inf)
      for row in (block, whole)
    ]
    ratio = paid[0] / paid[1]
    less.append(ratio < 1)
    words.append(f'{name.split(",")[0]}: ' + (f'{ratio:.2f}' if np.isfinite(ratio) else 'never'))
  return Verdict(of_halves(*less), f'blocks over whole, {"; ".join(words)}', seeds)


def not_worse(study: Study) -> Verdict:
  """Blocks beside the whole at every cost, by the verdicts of the study's page."""
  seeds = seeds_of(study, 'block', 'whole')
  found = studied.compared(study.metric, study.rows['block'], study.rows['whole'])
  if not found:
    raise Lacking('there is nothing to compare')
  verdicts = {one.verdict for one in found}
  word = MIXED
  if studied.WORSE not in verdicts:
    word = SUPPORTED
  elif verdicts == {studied.WORSE}:
    word = REFUTED
  words = '; '.join(
    f'{one.axis}: {one.difference.value:+.2f} +- {one.difference.half:.2f}' for one in found
  )
  return Verdict(word, f'{study.metric.heading}, block less whole, {words}', seeds)


def one_knob(study: Study) -> Verdict:
  """One network's quality falls with its number of steps, which sampling alone chooses."""
  rows = [row for row in ('block', 'whole') if len(study.rows.get(row, ())) >= SEEDS]
  if not rows:
    raise Lacking('no row has the seeds')
  better, words = [], []
  for row in rows:
    points = sorted(points_of(study, row), key=steps_of)
    if len(points) < 2:
      raise Lacking(f'{row} was sampled with one number of steps')
    few, many = points[0], points[-1]
    apart = studied.difference(many['values'], few['values'])
    better.append(studied.verdict(study.metric, apart) == studied.BETTER)
    words.append(f'{row}: {few["metric"].value:.2f} at {steps_of(few):g} steps, '
                 f'{many["metric"].value:.2f} at {steps_of(many):g}')
  return Verdict(of_halves(*better), '; '.join(words), seeds_of(study, *rows))


def small_teams(study: Study) -> Verdict:
  """Minutes, evaluation included, and whether every seed ends below twice the distance 0.57 of the
  real test split."""
  seeds = seeds_of(study, 'block')
  minutes = studied.mean(numbers_of(study, 'block', 'minutes'))
  best = best_of(study, 'block')
  held = minutes.value <= 60 and max(best['values']) < 2 * 0.57
  return Verdict(
    SUPPORTED if held else REFUTED,
    f'{minutes.value:.1f} minutes to a {study.metric.heading} of {shown(best["metric"])}', seeds,
  )


def teaches(study: Study) -> Verdict:
  """Accuracy that samples of blocks teach, over that of as many real pictures."""
  seeds = seeds_of(study, 'block')
  ratio = studied.mean(numbers_of(study, 'block', 'taught_ratio'))
  word = SUPPORTED if ratio.value - ratio.half > 0.95 else REFUTED if (
    ratio.value + ratio.half < 0.95) else MIXED
  return Verdict(word, f'{shown(ratio, 3)} of the accuracy that real pictures teach', seeds)


def seams(study: Study) -> Verdict:
  """Steepness across blocks between 0.95 and 1.05 of that of real pictures, and halves that are
  known for pairs as real ones are."""
  seeds = seeds_of(study, 'block')
  ratio = studied.mean(numbers_of(study, 'block', 'seam_blocks'))
  apart = studied.difference(*(numbers_of(study, 'block', key) for key in ('pairs', 'pairs_real')))
  fits = 0.95 <= ratio.value - ratio.half and ratio.value + ratio.half <= 1.05
  return Verdict(
    of_halves(fits, abs(apart.value) <= apart.half),
    f'ratio {shown(ratio)}; pairs known, samples less real {shown(apart)}', seeds,
  )


def compounding(study: Study) -> Verdict:
  """Does a wrong block move later ones as far as it moved, do later blocks fit worse, and own
  samples become less likely towards the end?"""
  seeds = seeds_of(study, 'block')
  moved = studied.mean(numbers_of(study, 'block', 'moved_last'))
  pairs = [
    studied.difference(numbers_of(study, 'block', f'{key}_last'),
                       numbers_of(study, 'block', f'{key}_first'))
    for key in ('block_frechet', 'own_gap')
  ]
  held = [moved.value - moved.half > 1, *(one.value - one.half > 0 for one in pairs)]
  return Verdict(
    of_halves(*held), f'a wrong first block moves the last by {shown(moved)} of its change; '
    f'relative Fréchet, last less first {shown(pairs[0])}; nats of own samples over held-out ones, '
    f'last less first {shown(pairs[1])}', seeds,
  )


def coarse_to_fine(study: Study) -> Verdict:
  """Are bands of a whole picture settled from coarse to fine?"""
  seeds = seeds_of(study, 'whole')
  order, first, last = (
    studied.mean(numbers_of(study, 'whole', f'settled_{key}'))
    for key in ('in_order', 'coarsest', 'finest')
  )
  held = order.value == 1, first.value - first.half > last.value + last.half
  return Verdict(
    of_halves(*held), f'half settled at level {shown(first)} of the coarsest band, {shown(last)} '
    f'of the finest; {order.value:.0%} of neighbouring bands in order', seeds,
  )


def easier(study: Study, dealt) -> Verdict:
  """Do steps that are dealt out by what they mend fall from block to block, and does another
  picture's past cost nats?"""
  seeds = seeds_of(study, 'block')
  plan = [int(steps) for steps in dealt.rows[-1]['dealt out'].split('+')]
  gain = studied.mean(numbers_of(study, 'block', 'past_gain'))
  falls = plan == sorted(plan, reverse=True) and plan[-1] < plan[0]
  return Verdict(
    of_halves(falls, gain.value - gain.half > 0),
    f'steps by block {dealt.rows[-1]["dealt out"]}; nats that another past costs {shown(gain, 1)}',
    seeds,
  )
