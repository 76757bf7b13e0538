"""Verdicts: what our measurements say of what is said of autoregressive diffusion.

A claim (claims.py) has a measure and a rule; a verdict follows from what studies and records left
(by_study.py, by_record.py), and is "not measured" where there is nothing. A *study* trains networks
with several seeds; a *record* is a benchmark's file: rows of counts, bytes, seconds, or numbers of
networks that a page tells of. Verdicts about trained networks need three seeds; a difference
decides where its interval excludes zero.
"""

import dataclasses
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from adiff.judge import section, studied, swept

SUPPORTED, REFUTED, MIXED, NOT_MEASURED = 'supported', 'refuted', 'mixed', 'not measured'
SEEDS = 3
# A record as JSON; a suite of benchmarks/run.py tells more. rows: {name: number, word, or [value,
# low, high]}; seeds: of the networks that were trained, where there are any.
RECORD = {
  'rows': [dict], 'commit': str, 'hardware': str, 'command?': str, 'about?': str, 'page?': str,
  'seeds?': int,
}


class Study(NamedTuple):
  """What a study left."""

  metric: studied.Metric
  rows: Mapping[str, list[studied.Measured]]
  origin: str  # commit and hardware
  places: Mapping[str, swept.Place] = types.MappingProxyType({})  # of rows, where there is an axis
  diverged: Sequence[tuple[str, int]] = ()  # rows and seeds


class Lacking(Exception):
  """A row, a number or a seed is not there, by which a claim would be decided."""


class Row(dict):
  """A row of a record, {column: value}; raises Lacking for a column that it has not."""

  def __missing__(self, column):
    raise Lacking(f'a row has no {column}')


class Record(NamedTuple):
  """What a benchmark left."""

  rows: tuple[Row, ...]
  origin: str  # commit and hardware
  seeds: int | None = None
  command: str = ''
  page: str = ''  # where people read the same

  def row(self, **wanted) -> Row:
    """The first row with these values; raises Lacking where there is none."""
    for row in self.rows:
      if all(row.get(key) == value for key, value in wanted.items()):
        return row
    raise Lacking(f'no row has {wanted}')


class Verdict(NamedTuple):
  """What became of one claim."""

  word: str
  number: str = ''  # what was measured, in words
  seeds: int | None = None  # None: of counts, laws and bytes, which have none


UNKNOWN = Verdict(NOT_MEASURED)


def of_halves(*held: bool) -> str:
  """The word for a claim of several parts: all hold, some, or none."""
  return SUPPORTED if all(held) else MIXED if any(held) else REFUTED


def of_differences(*found: str) -> str:
  """The word for a claim that one row is better than others, by studied.verdict of each: supported
  where it is better than all, refuted where worse than some and better than none."""
  if all(word == studied.BETTER for word in found):
    return SUPPORTED
  lost = studied.WORSE in found and studied.BETTER not in found
  return REFUTED if lost else MIXED


@dataclasses.dataclass(frozen=True)
class Claim:
  """A sentence, and how we find out."""

  number: int
  words: str
  measure: str
  rule: str = ''
  sources: tuple[str, ...] = ()  # studies and records that decide it, see OTHERS
  decide: Callable[..., Verdict] | None = None  # of them, in this order; may raise Lacking
  late: bool = False  # was the rule written when its number was known already?


OTHERS = 'the other claims'  # as a source: {number: Verdict} of those before


def study_of(told: Mapping[str, Any]) -> Study:
  """What study.json tells."""
  rows = {}
  for one in told['measured']:
    run = studied.Measured(one['row'], one['seed'], one['numbers'], tuple(one['points']))
    rows.setdefault(run.row, []).append(run)
  asked = told['study']
  places = {row['name']: swept.Place(*row['place']) for row in asked.get('rows', ())
            if row.get('place')}
  return Study(
    studied.Metric(**asked['metric']), rows, f'{told.get("commit")}, {told.get("hardware")}',
    places, [(row, seed) for row, seed in told.get('diverged', ())],
  )


def record_of(told: Mapping[str, Any]) -> Record:
  """What a benchmark's file of the form RECORD tells."""
  return Record(
    tuple(map(Row, told['rows'])), f'{told["commit"]}, {told["hardware"]}', told.get('seeds'),
    told.get('command', ''), told.get('page', ''),
  )


def found(
  claims: Sequence[Claim], evidence: Mapping[str, Study | Record]
) -> dict[int, Verdict]:
  """{number: what becomes of the claim} by the studies and records that there are."""
  known = {}
  for claim in claims:
    known[claim.number] = _verdict(claim, {**evidence, OTHERS: dict(known)})
  return known


def _verdict(claim, evidence):
  """What becomes of one claim."""
  if claim.decide is None or not evidence.keys() >= set(claim.sources):
    return UNKNOWN
  try:
    return claim.decide(*(evidence[name] for name in claim.sources))
  except Lacking:
    return UNKNOWN


# ---- The page ------------------------------------------------------------------------------------

_COLUMNS = (
  section.Column('verdict', 'Verdict'), section.Column('found', 'Our number'),
  section.Column('measure', 'Measured by'), section.Column('rule', 'Rule, fixed beforehand'),
  section.Column('seeds', 'Seeds'), section.Column('origin', 'From, commit and hardware'),
)
_RECORDS = (
  section.Column('command', 'Command'), section.Column('page', 'Page'),
  section.Column('seeds', 'Seeds'), section.Column('origin', 'Commit and hardware'),
)


def rule(claim: Claim) -> str:
  """The rule of a claim, and whether it came late."""
  return f'{claim.rule} (written after the measurement)' if claim.late else claim.rule


def sections(
  claims: Sequence[Claim], evidence: Mapping[str, Study | Record]
) -> list[section.Section]:
  """All claims, those that were not measured too, and the records."""
  known, rows = found(claims, evidence), []
  for claim in claims:
    verdict = known[claim.number]
    own = [name for name in claim.sources if name != OTHERS]
    if verdict is not UNKNOWN:
      own = [f'{name}: {evidence[name].origin}' for name in own]
    rows.append({
      'name': f'{claim.number}. {claim.words}', 'verdict': verdict.word, 'found': verdict.number,
      'measure': claim.measure, 'rule': rule(claim), 'seeds': verdict.seeds,
      'origin': '; '.join(own),
    })
  words = [verdict.word for verdict in known.values()]
  facts = tuple(
    section.Fact(word.replace(' ', '_'), word, words.count(word), tile=f'claims {word}')
    for word in (SUPPORTED, REFUTED, MIXED, NOT_MEASURED)
  )
  records = tuple(
    {'name': name, **{column.key: getattr(one, column.key) for column in _RECORDS}}
    for name, one in sorted(evidence.items()) if isinstance(one, Record)
  )
  made = [section.Section('Claims', (
    section.Facts(facts, shown=False),
    section.Table('Claim', _COLUMNS, (section.Group('', tuple(rows), ranked=False),)),
  ))]
  if records:
    made.append(section.Section('Records', (
      section.Table('Record', _RECORDS, (section.Group('', records, ranked=False),)),
    )))
  return made
