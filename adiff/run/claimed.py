"""The page of all claims: what is said, and what studies and benchmarks found.

A study is a folder with a study.json. A record is a file of benchmarks/, in the form of
judge/verdicts.py: RECORD.
"""

import os

from adiff.judge import claims, section, verdicts
from adiff.machine import files, json_file, storage
from adiff.run import listing, output, report

STUDY = {
  'study': {
    'name': str, 'metric': {'key': str, 'heading': str, 'better': str}, 'rows?': [dict],
  },
  'measured': [{'row': str, 'seed': int, 'numbers': {str: float}, 'points': [dict]}],
  'commit?': str, 'hardware?': str, 'diverged?': [list],
}
_STUDY_FILE = 'study.json'
_ADVICE = 'delete it, and run its study again'


def studies_in(folder) -> dict[str, dict]:
  """{name: what study.json tells} of the studies in the folders of a folder, without pages of
  claims; raises ValueError for a file that is none."""
  found = {}
  for name in sorted(files.names(folder)):
    path = os.path.join(folder, name, _STUDY_FILE)
    if storage.exists(path) and 'studies' not in json_file.read(path, advice=_ADVICE):
      told = json_file.read(path, STUDY, advice=_ADVICE)
      found[told['study']['name']] = told
  return found


def records(folder) -> dict[str, verdicts.Record]:
  """{name: record} of the .json files of a folder that have rows; raises ValueError where those are
  no record otherwise."""
  found = {}
  for name in sorted(files.names(folder)):
    path = os.path.join(folder, name)
    if name.endswith('.json') and 'rows' in json_file.read(path):
      told = json_file.read(path, verdicts.RECORD, advice='run its command again')
      found[name.removesuffix('.json')] = verdicts.record_of(told)
  return found


def write(out, names) -> str:
  """Writes the page, from the studies in the folders beside OUT and the records of the checkout;
  returns its path. names: of the files of a study, the page's first."""
  output.check_set(out, names, ())
  told = studies_in(storage.parent(storage.absolute(out)))
  found = {name: verdicts.study_of(one) for name, one in told.items()}
  storage.make_folder(out)
  known = records(os.path.join(listing.places()[-1].parent, 'benchmarks')) | found
  facts = [section.Fact('studies', 'studies', ', '.join(sorted(found)) if found else 'none')]
  about = {'title': 'What is said, and what was measured', 'studies': sorted(found)}
  return report.write(out, *names[:2], about, verdicts.sections(claims.CLAIMS, known), facts)
