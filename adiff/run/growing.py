"""The files of an evaluation, written anew with every section that is made.

  FOLDER/report.html    for people
  FOLDER/eval.json      for programs: `numbers` by name, and the page's `sections` as data
  FOLDER/pictures/      the page's figures

A later failure, or the end of the process, loses one section alone. `complete` in eval.json says
whether all of them were tried, and `failed` which ones failed and why.
"""

import datetime
import json
import os

from adiff.judge import base, section
from adiff.machine import hosts, input_file, json_file, provenance
from adiff.run import eyes, references, report

REPORT, DATA = 'report.html', 'eval.json'
# What lies in the folder of an evaluation.
NAMES = (REPORT, DATA, 'pictures', references.FILE, eyes.FILE)
_FACTS = {  # of the head of a page: what they are called there
  'step': 'step', 'average': 'parameters', 'split': 'split', 'date': 'date',
  'hardware': 'hardware', 'commit': 'commit',
}

_FORM = {
  'title': str, 'sections': list, 'numbers?': dict, 'data?': str, 'average?': str, 'commit?': str,
}
_ADVICE = 'delete its folder, and evaluate it anew'
_PICTURE_BYTES = 32 * 2**20


def told(**facts) -> dict:
  """What is told of an evaluation besides its sections: the facts, and who made it, and when."""
  return {
    **facts,
    'commit': provenance.commit(),
    'hardware': provenance.hardware(),
    'date': datetime.datetime.now(datetime.UTC).strftime('%Y-%m-%d %H:%M UTC'),
  }


class Growing:
  """The files of an evaluation, written anew with every section."""

  def __init__(self, folder, told, attempts, last):
    """last: sections that stand behind those of the judge, who may replace them."""
    self.folder, self._told, self._attempts, self._last = folder, told, attempts, last
    self._found = []

  def replace(self, found):
    """Writes with another section behind those of the judge, in the place of that of its title."""
    self._last = [found if one.title == found.title else one for one in self._last]
    self.write()

  def take(self, sections):
    """Writes after each of them."""
    for one in sections:
      self._found.append(one)
      self.write()

  def write(self, *, complete=False):
    """Writes what there is."""
    told, failed = self._told, self._attempts.failed
    behind = [*self._last, *(self._attempts.shown(what) for what in failed)]
    sections = base.latest(self._found)
    titles = {one.title for one in sections}
    sections += [one for one in behind if one.title not in titles]
    facts = [section.Fact(key, _FACTS[key], told.get(key)) for key in _FACTS]
    if told.get('other_data'):
      facts.insert(0, section.Fact('other_data', 'other data than those of the run', told['data']))
    told |= {
      'complete': complete, 'failed': dict(failed),
      'numbers': section.numbers(sections),
    }
    hosts.agree(lambda: report.write(self.folder, REPORT, DATA, told, sections, facts))


def read(folder) -> tuple[dict, list[section.Section]]:
  """(what eval.json says, its sections) of a folder; raises ValueError for what cannot be read,
  FileNotFoundError."""
  path = os.path.join(folder, DATA)
  told = json_file.read(path, _FORM, advice=_ADVICE)

  def picture(file):
    return input_file.read(os.path.join(folder, file), limit=_PICTURE_BYTES)

  try:
    return told, section.from_data(told['sections'], picture)
  except section.Foreign as error:
    raise ValueError(f'{path}: {error}; {_ADVICE}') from error


def provenance_sections(told) -> list[section.Section]:
  """How to repeat an evaluation, and its config, if it has one."""
  commit = f' at commit {told["commit"]}' if told['commit'] else ''
  found = [section.Section('Reproduce', (
    section.Text(f'From the repository root{commit}.'), section.Text(told['command'], 'code'),
  ))]
  if 'config' in told:
    config = json.dumps(told['config'], indent=2, default=str, ensure_ascii=False)
    found.append(section.Section('Config', (
      section.Text(config, 'folded', 'The whole truth about this run, as JSON'),
    )))
  return found
