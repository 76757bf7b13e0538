"""Finished runs side by side: one page and one JSON, made of what their workdirs say.

  OUT/compare.html   for people
  OUT/compare.json   the same sections as data

What the judges said is aligned by judge/align.py. No code of a workdir runs, and no model is read.
"""

import dataclasses
import hashlib
import json
import os
import shlex
from typing import Any

from adiff.judge import align, section
from adiff.machine import files, input_file, json_file, storage
from adiff.run import output, report

PICTURE_BYTES = 32 * 2**20
_FILES = ('compare.html', 'compare.json', 'pictures')
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
# What must be as it was written; the rest of eval.json is read by judge/section.py.
_FORM = {
  'step': int, 'config': {'train': {'steps': int}}, 'sections?': list, 'pictures?': {str: str},
  **{f'{key}?': str for key in ('title', 'data', 'hardware', 'commit', 'command')},
  'numbers?': {f'{column.key}?': float for column in _RUNS if column.key not in ('title', 'step')},
}
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
  told: dict[str, Any]  # its eval.json
  sections: tuple[section.Section, ...]  # () where an earlier version wrote it


def compare(workdirs, out) -> int:
  """Writes both files and prints where the page is; returns the exit code.

  Raises ValueError for fewer than two workdirs, or one that is missing or unfinished; OSError where
  `out` cannot be written.
  """
  output.check_page(out, _FILES)
  runs = read(workdirs)
  found = sections(runs)
  about = {
    'title': f'{len(runs)} runs side by side',
    'runs': [{'name': run.name, **_about(run)} for run in runs],
  }
  facts = [section.Fact('runs', 'runs', ', '.join(run.name for run in runs))]
  with files.folder(out, _FILES) as draft:
    report.write(draft, *_FILES[:2], about, found, facts)
  print(os.path.join(out, _FILES[0]))
  return 0


def read(workdirs) -> list[Run]:
  """The runs of workdirs, in this order; raises ValueError as `compare`."""
  workdirs = [storage.normal(workdir) for workdir in workdirs]
  if len(set(workdirs)) < max(len(workdirs), 2):
    raise ValueError(
      'there is nothing to compare; name two workdirs or more, each once, as --workdirs=A,B'
    )
  names = [os.path.basename(storage.absolute(workdir)) for workdir in workdirs]
  if len(set(names)) < len(names):
    names = workdirs
  return [_read(name, workdir) for name, workdir in zip(names, workdirs, strict=True)]


def _flag(workdir):
  """--workdir as a shell takes it."""
  return shlex.quote(f'--workdir={workdir}')


def _read(name, workdir):
  """One run."""
  if storage.is_folder(workdir):
    files.check_inside(workdir)
  path = os.path.join(workdir, 'eval.json')
  anew = f'write it anew with --mode=eval {_flag(workdir)}'
  advice = f'it is no evaluation, {anew}'
  try:
    told = json_file.read(path, _FORM, advice=advice)
  except FileNotFoundError as error:
    raise ValueError(
      f'{workdir} has no eval.json; train it to its end, or write --mode=eval {_flag(workdir)}'
    ) from error
  step, steps = told['step'], told['config']['train']['steps']
  if step < steps:
    raise ValueError(
      f'{workdir} was evaluated at step {step} of {steps}; train it to its end, or leave it away'
    )

  if not told.get('complete', True):
    raise ValueError(
      f'the evaluation in {path} was interrupted; write it anew with --mode=eval '
      f'--workdir={workdir}'
    )

  def picture(file):
    place, digests = os.path.join(workdir, file), told.get('pictures') or {}
    try:
      content = input_file.read(place, limit=PICTURE_BYTES)
    except FileNotFoundError as error:
      raise ValueError(
        f'{workdir} has no {file}; {anew}'
      ) from error
    if file in digests and hashlib.sha256(content).hexdigest() != digests[file]:
      raise ValueError(f'{place} is not what was written with eval.json; {anew}')
    return content

  try:
    found = section.from_data(told.get('sections') or (), picture)
  except section.Foreign as error:
    raise ValueError(f'{path}: {error}; {advice}') from error
  return Run(name, told, tuple(found))


def _about(run):
  """The row of a run in the first tables."""
  known = {**run.told, **(run.told.get('numbers') or {})}
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
  return found + align.together({
    run.name: [one for one in run.sections if one.title not in _SINGLE] for run in runs
  })


def _differences(runs):
  """The keys in which the configs differ."""
  configs = [dict(_flat(run.told['config'])) for run in runs]
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
