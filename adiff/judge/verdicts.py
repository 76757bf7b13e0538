"""Verdicts: what our studies say of what is said of autoregressive diffusion.

A claim (claims.py) has a measure and a rule that were fixed before anything was measured; a verdict
follows from what a study left, and is "not measured" where there is nothing. Verdicts about trained
networks need three seeds; a difference decides where its interval excludes zero.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from adiff.judge import section, studied

SUPPORTED, REFUTED, MIXED, NOT_MEASURED = 'supported', 'refuted', 'mixed', 'not measured'
SEEDS = 3
_NEAR = 1.1  # of the best Fréchet distance: as good


class Study(NamedTuple):
  """What a study left."""

  metric: studied.Metric
  rows: Mapping[str, list[studied.Measured]]
  origin: str  # commit and hardware


class Verdict(NamedTuple):
  """What became of one claim."""

  word: str
  number: str  # what was measured, in words
  seeds: int | None = None


UNKNOWN = Verdict(NOT_MEASURED, '')


@dataclasses.dataclass(frozen=True)
class Claim:
  """A sentence, and how we find out."""

  number: int
  words: str
  measure: str
  rule: str = ''
  study: str = ''  # the one whose numbers decide; '': none does yet
  decide: Callable[[Study], Verdict] | None = None


def study_of(told: Mapping[str, Any]) -> Study:
  """What study.json tells."""
  rows = {}
  for one in told['measured']:
    run = studied.Measured(one['row'], one['seed'], one['numbers'], tuple(one['points']))
    rows.setdefault(run.row, []).append(run)
  metric = studied.Metric(**told['study']['metric'])
  return Study(metric, rows, f'{told.get("commit")}, {told.get("hardware")}')


def verdict(claim: Claim, studies: Mapping[str, Study]) -> Verdict:
  """What becomes of a claim, by the studies that there are."""
  if claim.decide is None or claim.study not in studies:
    return UNKNOWN
  return claim.decide(studies[claim.study])


# ---- Rules ---------------------------------------------------------------------------------------


def _seeds(study, *names):
  """Seeds that all rows have; 0 where one is missing."""
  return min(len(study.rows.get(name, ())) for name in names)


def _steps(point):
  return point['steps'].value


def fewest_steps(study: Study, row: str) -> int | None:
  """Steps a block from which on a row is within a tenth of its best; None without samples."""
  points = studied.points(study.metric, study.rows[row])
  if not points:
    return None
  best = min(point['metric'].value for point in points)
  return int(min(_steps(point) for point in points if point['metric'].value <= _NEAR * best))


def few_steps(study: Study) -> Verdict:
  """Blocks come within a tenth of their best in 16 steps, the whole needs 100 or more."""
  if _seeds(study, 'block', 'whole') < SEEDS:
    return UNKNOWN
  block, whole = (fewest_steps(study, row) for row in ('block', 'whole'))
  if block is None or whole is None:
    return UNKNOWN
  held = (block <= 16) + (whole >= 100)
  word = (REFUTED, MIXED, SUPPORTED)[held]
  return Verdict(word, f'block {block}, whole {whole} steps', _seeds(study, 'block', 'whole'))


def cheaper(study: Study) -> Verdict:
  """What blocks pay to be as good as the whole at its best, over what the whole pays for it."""
  if _seeds(study, 'block', 'whole') < SEEDS:
    return UNKNOWN
  block, whole = (studied.points(study.metric, study.rows[row]) for row in ('block', 'whole'))
  if not block or not whole:
    return UNKNOWN
  goal = _NEAR * min(point['metric'].value for point in whole)
  words, less = [], []
  for axis, name in studied.AXES:
    paid = [
      min((point[axis].value for point in row if point['metric'].value <= goal), default=np.inf)
      for row in (block, whole)
    ]
    ratio = paid[0] / paid[1]
    less.append(ratio < 1)
    words.append(f'{name.split(",")[0]}: ' + (f'{ratio:.2f}' if np.isfinite(ratio) else 'never'))
  word = SUPPORTED if all(less) else MIXED if any(less) else REFUTED
  return Verdict(word, f'blocks over whole, {"; ".join(words)}', _seeds(study, 'block', 'whole'))


def not_worse(study: Study) -> Verdict:
  """Blocks beside the whole at every cost, by the verdicts of the study's page."""
  if _seeds(study, 'block', 'whole') < SEEDS:
    return UNKNOWN
  found = studied.compared(study.metric, study.rows['block'], study.rows['whole'])
  if not found:
    return UNKNOWN
  verdicts = {one.verdict for one in found}
  word = MIXED
  if studied.WORSE not in verdicts:
    word = SUPPORTED
  elif verdicts == {studied.WORSE}:
    word = REFUTED
  words = '; '.join(
    f'{one.axis}: {one.difference.value:+.2f} +- {one.difference.half:.2f}' for one in found
  )
  return Verdict(word, f'{study.metric.heading}, block less whole, {words}',
                 _seeds(study, 'block', 'whole'))


def one_knob(study: Study) -> Verdict:
  """One network's quality falls with its number of steps, which sampling alone chooses."""
  rows = [row for row in ('block', 'whole') if _seeds(study, row) >= SEEDS]
  if not rows:
    return UNKNOWN
  better, words = [], []
  for row in rows:
    points = sorted(studied.points(study.metric, study.rows[row]), key=_steps)
    if len(points) < 2:
      return UNKNOWN
    few, many = points[0], points[-1]
    apart = studied.difference(many['values'], few['values'])
    better.append(studied.verdict(study.metric, apart) == studied.BETTER)
    words.append(f'{row}: {few["metric"].value:.2f} at {_steps(few):g} steps, '
                 f'{many["metric"].value:.2f} at {_steps(many):g}')
  word = SUPPORTED if all(better) else MIXED if any(better) else REFUTED
  return Verdict(word, '; '.join(words), _seeds(study, *rows))


# ---- The page ------------------------------------------------------------------------------------

_COLUMNS = (
  section.Column('verdict', 'Verdict'), section.Column('found', 'Our number'),
  section.Column('measure', 'Measured by'), section.Column('rule', 'Rule, fixed beforehand'),
  section.Column('seeds', 'Seeds'), section.Column('origin', 'Study, commit and hardware'),
)


def sections(claims, studies: Mapping[str, Study]) -> list[section.Section]:
  """All claims, those that were not measured too."""
  rows, counts = [], dict.fromkeys((SUPPORTED, REFUTED, MIXED, NOT_MEASURED), 0)
  for claim in claims:
    found = verdict(claim, studies)
    counts[found.word] += 1
    known = found is not UNKNOWN
    origin = f'{claim.study}, {studies[claim.study].origin}' if known else claim.study
    rows.append({
      'name': f'{claim.number}. {claim.words}', 'verdict': found.word, 'found': found.number,
      'measure': claim.measure, 'rule': claim.rule, 'seeds': found.seeds, 'origin': origin,
    })
  facts = tuple(
    section.Fact(word.replace(' ', '_'), word, number, tile=f'claims {word}')
    for word, number in counts.items()
  )
  return [section.Section('Claims', (
    section.Facts(facts, shown=False),
    section.Table('Claim', _COLUMNS, (section.Group('', tuple(rows), ranked=False),)),
  ))]
