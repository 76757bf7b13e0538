"""Finished runs side by side: one page and one JSON, made of what their workdirs say.

  OUT/compare.html   for people
  OUT/compare.json   the same sections as data

Sections are aligned by title, tables by their columns. The best of a column is marked only where
the numbers of all runs are of one kind (section.Column): a bound and a likelihood, or distances in
other features or of other counts of samples, stand side by side and are not ranked. No code of a
workdir runs, and no model is read.
"""

import dataclasses
import json
import os
from typing import Any

from adiff.judge import section
from adiff.judge.page import page
from adiff.machine import files

# Of one run alone; the table of runs and the differences of configs say it of several.
_SINGLE = ('Reproduce', 'Config')
_RUNS = (
  section.Column('title', 'Config'),
  section.Column('step', 'Step'),
  section.Column('flops_per_step', 'FLOP a training step', meaning='Floating-point operations of '
                 'the matrix products of one step, forward and backward.'),
  section.Column('flops', 'FLOP of the training', meaning='Of all its steps.'),
  section.Column('nfe', 'NFE', meaning='Network evaluations per sample, one after another, as the '
                 'config samples.'),
  section.Column('seconds', 'Seconds of sampling', digits=2, meaning='For all samples together, on '
                 'the hardware of the run.'),
  section.Column('num_samples', 'Samples'),
)
_ORIGIN = (
  section.Column('data', 'Data'),
  section.Column('hardware', 'Hardware'),
  section.Column('commit', 'Commit'),
  section.Column('command', 'Command'),
)


@dataclasses.dataclass(frozen=True)
class Run:
  """A workdir's evaluation."""

  name: str  # short, one among those that are compared
  report: dict[str, Any]  # its eval.json
  sections: tuple[section.Section, ...]  # () where an earlier version wrote it


def compare(workdirs, out) -> int:
  """Writes both files and prints where the page is; returns the exit code.

  Raises ValueError for fewer than two workdirs, or one that is missing or unfinished; OSError where
  `out` cannot be written.
  """
  runs = read(workdirs)
  found = sections(runs)
  title = f'{len(runs)} runs side by side'
  os.makedirs(out, exist_ok=True)
  path = os.path.join(out, 'compare.html')
  _write_pictures(out, found)
  report = {
    'title': title, 'runs': [{'name': run.name, **_about(run)} for run in runs],
    'sections': section.as_data(found),
  }
  files.write_json(os.path.join(out, 'compare.json'), section.plain(report))
  facts = [section.Fact('runs', 'runs', ', '.join(run.name for run in runs))]
  with files.whole(path) as file:
    file.write(page.page(title, facts, found))
  print(path)
  return 0


def _write_pictures(out, found):
  """The pictures that the JSON names."""
  os.makedirs(os.path.join(out, 'pictures'), exist_ok=True)
  for figure in section.figures(found):
    with files.whole(os.path.join(out, figure.file), 'wb') as file:
      file.write(figure.picture)


def read(workdirs) -> list[Run]:
  """The runs of workdirs, in this order; raises ValueError as `compare`."""
  workdirs = [os.path.normpath(workdir) for workdir in workdirs]
  if len(set(workdirs)) < max(len(workdirs), 2):
    raise ValueError(
      'there is nothing to compare; name two workdirs or more, each once, as --workdirs=A,B'
    )
  names = [os.path.basename(os.path.abspath(workdir)) for workdir in workdirs]
  if len(set(names)) < len(names):
    names = workdirs
  return [_read(name, workdir) for name, workdir in zip(names, workdirs, strict=True)]


def _read(name, workdir):
  """One run."""
  path = os.path.join(workdir, 'eval.json')
  try:
    with open(path) as file:
      report = json.load(file)
    step, steps = report['step'], report['config']['train']['steps']
  except FileNotFoundError as error:
    raise ValueError(
      f'{workdir} has no eval.json; train it to its end, or write --mode=eval --workdir={workdir}'
    ) from error
  except (KeyError, TypeError, ValueError) as error:
    raise ValueError(
      f'{path} is no evaluation; write it anew with --mode=eval --workdir={workdir}'
    ) from error
  if step < steps:
    raise ValueError(
      f'{workdir} was evaluated at step {step} of {steps}; train it to its end, or leave it away'
    )

  def picture(file):
    try:
      with open(os.path.join(workdir, file), 'rb') as content:
        return content.read()
    except FileNotFoundError as error:
      raise ValueError(
        f'{workdir} has no {file}; write it anew with --mode=eval --workdir={workdir}'
      ) from error

  return Run(name, report, tuple(section.from_data(report.get('sections', ()), picture)))


def _about(run):
  """The row of a run in the first tables."""
  known = {**run.report, **run.report.get('numbers', {})}
  return {
    column.key: 'not recorded' if known.get(column.key) in (None, '') else known[column.key]
    for column in (*_RUNS, *_ORIGIN)
  }


def sections(runs) -> list[section.Section]:
  """What there is to say of runs together."""
  rows = tuple({'name': run.name, **_about(run)} for run in runs)
  groups = (section.Group('', rows, ranked=False),)
  parts = [section.Table('Run', columns, groups) for columns in (_RUNS, _ORIGIN)]
  old = [run.name for run in runs if not run.sections]
  if old:
    parts.append(section.Text(
      f'Evaluated by an earlier version: {", ".join(old)}. Write --mode=eval --workdir=WORKDIR to '
      'have the numbers here.'
    ))
  found = [section.Section('Runs', tuple(parts)), _differences(runs)]
  return found + [_together(title, runs) for title in _titles(runs)]


def _titles(runs):
  """Titles of all runs; what one run alone has stands behind what comes before it there."""
  titles = []
  for run in runs:
    place = 0
    for title in (one.title for one in run.sections if one.title not in _SINGLE):
      if title not in titles:
        titles.insert(place, title)
      place = titles.index(title) + 1
  return titles


def _differences(runs):
  """The keys in which the configs differ."""
  configs = [dict(_flat(run.report['config'])) for run in runs]
  keys = sorted({key for config in configs for key in config})
  columns = tuple(section.Column(f'run {i}', run.name) for i, run in enumerate(runs))
  rows = []
  for key in keys:
    values = [json.dumps(config[key]) if key in config else 'absent' for config in configs]
    if len(set(values)) > 1:
      named = {column.key: value for column, value in zip(columns, values, strict=True)}
      rows.append({'name': key, **named})
  if not rows:
    return section.Section('Configs', (section.Text('The configs are equal.'),))
  table = section.Table('Key', columns, (section.Group('', tuple(rows), ranked=False),))
  return section.Section('Configs', (section.Text('Only the keys that differ.'), table))


def _flat(tree, prefix=''):
  """('a.b', value) pairs of a tree of dictionaries."""
  for key, value in tree.items():
    if isinstance(value, dict):
      yield from _flat(value, f'{prefix}{key}.')
    else:
      yield f'{prefix}{key}', value


def _together(title, runs):
  """A section of all runs that have one of this title."""
  parts = {
    run.name: [part for one in run.sections if one.title == title for part in one.parts]
    for run in runs
  }
  words = {}  # text: the runs that say it
  for name, own in parts.items():
    for part in own:
      if isinstance(part, section.Text):
        words.setdefault(part, []).append(name)
  texts = [
    part if len(names) == len(runs) else
    dataclasses.replace(part, words=f'{", ".join(names)}: {part.words}')
    for part, names in words.items()
  ]
  tables = [_facts(parts), *_tables(parts)]
  others = [
    _named(part, name, number) for number, (name, own) in enumerate(parts.items(), 1)
    for part in own
  ]
  return section.Section(title, (
    *texts, *(part for table in tables for part in table), *filter(None, others)
  ))


def _facts(parts):
  """The facts that a section shows, a row a run: a table, and why something is not ranked."""
  found = {
    name: [fact for part in own if isinstance(part, section.Facts) and part.shown
           for fact in part.facts]
    for name, own in parts.items()
  }
  columns = {
    name: [
      section.Column(fact.key, fact.name, fact.better, fact.meaning, fact.kind, fact.digits)
      for fact in facts
    ] for name, facts in found.items()
  }
  rows, beside = [], {}
  for name, facts in found.items():
    row = {'name': name}
    for fact in facts:
      row |= {fact.key: fact.value, f'{fact.key}_ci95': fact.interval}
      for whose, value in fact.beside.items():
        beside.setdefault((whose, name), {'name': f'{whose} ({name})'})[fact.key] = value
    if facts:
      rows.append(row)
  groups = [section.Group('', tuple(rows))] if rows else []
  if beside:
    groups.append(section.Group('For comparison', tuple(beside.values()), ranked=False))
  return _merged('Run', columns, groups)


def _tables(parts):
  """The tables of a section, each of all runs that have it: by title, one below the other."""
  titles = dict.fromkeys(
    part.title for own in parts.values() for part in own if isinstance(part, section.Table)
  )
  for title in titles:
    columns, groups, seen = {}, [], []
    for name, own in parts.items():
      tables = [part for part in own if isinstance(part, section.Table) and part.title == title]
      columns[name] = [column for table in tables for column in table.columns]
      for group in (group for table in tables for group in table.groups):
        if group.ranked:
          groups.append(dataclasses.replace(group, heading=name))
        elif group.rows not in seen:  # references of one data set are the same for all
          seen.append(group.rows)
          groups.append(dataclasses.replace(group, heading=f'{group.heading}, {name}'))
    groups.sort(key=lambda group: not group.ranked)
    yield _merged(title, columns, groups)


def _merged(title, columns, groups):
  """A table of columns {run: its columns}, and a line that says what is not ranked and why."""
  merged, unequal = {}, {}
  for own in columns.values():
    for column in own:
      merged.setdefault(column.key, column)
  for key, column in merged.items():
    kinds = {
      name: next((one.kind for one in own if one.key == key), 'no such number')
      for name, own in columns.items()
    }
    if column.better and len(set(kinds.values())) > 1:
      merged[key] = dataclasses.replace(
        column, ranked=False, kind='; or '.join(dict.fromkeys(kinds.values()))
      )
      unequal.setdefault(tuple(kinds.items()), []).append(column.heading)
  if not groups:
    return []
  notes = [
    section.Text(f'Not ranked, for the numbers are of unequal kinds: {", ".join(headings)}. '
                 + '. '.join(f'{name}: {kind}' for name, kind in kinds) + '.')
    for kinds, headings in unequal.items()
  ]
  return [section.Table(title, tuple(merged.values()), tuple(groups)), *notes]


def _named(part, name, number):
  """A figure or generated text with the name of its run; None for other parts."""
  if isinstance(part, section.Figure):
    caption = f'{name}: {part.caption}'
    return dataclasses.replace(part, name=f'{part.name}_{number}', caption=caption)
  if isinstance(part, section.Passages):
    return dataclasses.replace(part, title=name)
  if isinstance(part, section.Reveal):
    return dataclasses.replace(part, title=f'{name}: {part.title}')
  return None
