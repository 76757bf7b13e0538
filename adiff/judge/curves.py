"""Evaluations of several checkpoints of a run: their numbers over the steps."""

from adiff.judge import section
from adiff.judge.page import charts, images

_KEY = 'step'


def of(evaluated: dict[int, list[section.Section]]) -> list[section.Section]:
  """evaluated: what was said of the checkpoint of each step. Numbers that have a better and a worse
  are shown, all in a table, and those of several steps as curves."""
  found = {
    step: {fact.key: fact for one in sections for fact in section.all_facts(one)}
    for step, sections in evaluated.items()
  }
  shown = {
    key: fact for facts in found.values() for key, fact in facts.items()
    if fact.better is not None and not isinstance(fact.value, str)
  }
  rows = [
    {
      'name': f'step {step:,}', _KEY: step,
      **{key: facts[key].value for key in shown if key in facts},
      **{f'{key}_ci95': facts[key].interval for key in shown if key in facts},
    }
    for step, facts in sorted(found.items())
  ]
  columns = tuple(
    section.Column(key, fact.name, fact.better, fact.meaning, fact.kind, fact.digits)
    for key, fact in shown.items()
  )
  best = tuple(_best(fact, rows) for fact in shown.values())
  return [
    section.Section('Checkpoints', (
      section.Table('Checkpoint', columns, (section.Group('', tuple(rows)),)),
      section.Facts(tuple(filter(None, best))),
    )),
    section.Section('Curves', tuple(
      _figure(fact, rows) for fact in shown.values() if len(_points(fact, rows)) > 1
    )),
  ]


def _points(fact, rows):
  """[step, number] pairs."""
  return [[row[_KEY], row[fact.key]] for row in rows if row.get(fact.key) is not None]


def _best(fact, rows):
  """Of which checkpoint a number is the best; None where it was never measured."""
  points = _points(fact, rows)
  if not points:
    return None
  step, _ = (min if fact.better == 'low' else max)(points, key=_number)
  return section.Fact(f'best_{fact.key}', f'checkpoint of the best {fact.name}', step)


def _number(point):
  _, number = point
  return number


def _figure(fact, rows):
  points = _points(fact, rows)
  lines = [{_KEY: step, fact.name: number} for step, number in points]
  return section.Figure(
    f'curve_{fact.key}', images.png_bytes(charts.curves(lines, [fact.name], ylabel=fact.name)),
    f'{fact.name[:1].upper()}{fact.name[1:]} of the checkpoints.', values={fact.key: points},
  )
