"""Sections of several runs as one list: aligned by title, tables by their columns.

The best of a column is marked only where the numbers of all runs are of one kind (section.Column):
a bound and a likelihood, or distances in other features or of other counts of samples, stand side
by side and are not ranked.
"""

import dataclasses
import itertools
import json

from adiff.judge import section


def together(runs) -> list[section.Section]:
  """runs: {name: its sections}; rows, figures and texts bear the names of their runs."""
  return [_together(title, runs) for title in _titles(runs)]


def _titles(runs):
  """Titles of all runs; what one run alone has stands behind what comes before it there."""
  titles = []
  for sections in runs.values():
    place = 0
    for title in (one.title for one in sections):
      if title not in titles:
        titles.insert(place, title)
      place = titles.index(title) + 1
  return titles


def _together(title, runs):
  """A section of all runs that have one of this title."""
  parts = {
    name: [part for one in sections if one.title == title for part in one.parts]
    for name, sections in runs.items()
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
  return section.Section(title, (
    *texts, *(part for table in tables for part in table), *_shown(parts)
  ))


def _shown(parts):
  """Figures and generated texts, with the names of their runs; equal figures side by side."""
  figures, texts = {}, []
  for number, (name, own) in enumerate(parts.items(), 1):
    for part in own:
      if isinstance(part, section.Figure):
        figures.setdefault(part.name, []).append(dataclasses.replace(
          part, name=f'{part.name}_{number}', caption=f'{name}: {part.caption}'
        ))
      elif isinstance(part, section.Passages):
        texts.append(dataclasses.replace(part, title=name))
      elif isinstance(part, section.Reveal):
        texts.append(dataclasses.replace(part, title=f'{name}: {part.title}'))
  return [*itertools.chain.from_iterable(figures.values()), *texts]


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
    columns, groups, references = {}, [], {}
    for name, own in parts.items():
      tables = [part for part in own if isinstance(part, section.Table) and part.title == title]
      columns[name] = [column for table in tables for column in table.columns]
      for group in (group for table in tables for group in table.groups):
        if group.ranked:
          groups.append(dataclasses.replace(group, heading=name))
        else:  # those of one data set are the same for all runs
          references.setdefault(json.dumps(group.rows), (group, []))[1].append(name)
    for group, names in references.values():
      whose = '' if len(names) == len(parts) else f', {", ".join(names)}'
      groups.append(dataclasses.replace(group, heading=f'{group.heading}{whose}'))
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
      runs = {}
      for name, kind in kinds.items():
        runs.setdefault(kind, []).append(name)
      why = '. '.join(f'{", ".join(names)}: {kind}' for kind, names in runs.items())
      unequal.setdefault(why, []).append(column.heading)
  if not groups:
    return []
  notes = [
    section.Text(
      f'Not ranked, for the numbers are of unequal kinds: {", ".join(headings)}. {why}.'
    ) for why, headings in unequal.items()
  ]
  return [section.Table(title, tuple(merged.values()), tuple(groups)), *notes]
