"""The page of all claims: what is said, and what studies and benchmarks found.

A study is a folder with a study.json, or a file of benchmarks/studies/, where a checkout keeps
some. A record is a file of benchmarks/, in the form of judge/verdicts.py: RECORD.
"""

import os

from adiff.judge import claims, section, verdicts
from adiff.machine import files, hosts, json_file, storage
from adiff.run import listing, output, report

STUDY = {
  'study': {
    'name': str, 'metric': {'key': str, 'heading': str, 'better': str}, 'rows?': [dict],
  },
  'measured': [{'row': str, 'seed': int, 'numbers': {str: float}, 'points': [dict]}],
  'commit?': str, 'hardware?': str, 'diverged?': [list], 'complete?': bool,
}
_STUDY_FILE, _KEPT = 'study.json', 'studies'
_ADVICE = 'delete it, and run its study again'


def studies_in(folder) -> dict[str, dict]:
  """{name: what study.json tells} of the studies in the folders of a folder, without pages of
  claims; raises ValueError for a file that is none, or two folders of one study."""
  found = {}
  for name in sorted(files.names(folder)):
    path = os.path.join(folder, name, _STUDY_FILE)
    if storage.exists(path) and 'studies' not in json_file.read(path, advice=_ADVICE):
      told = json_file.read(path, STUDY, advice=_ADVICE)
      if told['study']['name'] in found:
        raise ValueError(
          f'{folder} holds the study {told["study"]["name"]} twice, the second time in {name}; '
          'leave one of them there'
        )
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


def evidence(folder) -> dict[str, verdicts.Record | verdicts.Study]:
  """{name: record or study} that a folder `benchmarks` keeps."""
  kept, found = os.path.join(folder, _KEPT), records(folder)
  for name in sorted(files.names(kept)):
    if name.endswith('.json'):
      told = json_file.read(os.path.join(kept, name), STUDY, advice=_ADVICE)
      found[name.removesuffix('.json')] = verdicts.study_of(told)
  return found


def _beside(known, told):
  """What is known and {name: what study.json tells}, which comes first, but not an unfinished study
  where one is known; raises ValueError for a study that has the name of a record."""
  found = dict(known)
  for name, one in told.items():
    if isinstance(known.get(name), verdicts.Record):
      raise ValueError(f'the study {name} has the name of a record of benchmarks/; rename it')
    if name not in known or one.get('complete', True):
      found[name] = verdicts.study_of(one)
  return found


def write(out, names) -> str:
  """Prints all claims and writes their page, from the studies in the folders beside OUT, and from
  what the checkout keeps; returns its path. names: of the files of a study, the page's first."""
  output.check_set(out, names, ())
  told = studies_in(storage.parent(storage.absolute(out)))
  known = _beside(evidence(os.path.join(listing.places()[-1].parent, 'benchmarks')), told)
  storage.make_folder(out)
  for number, verdict in verdicts.found(claims.CLAIMS, known).items():
    words = f'{verdict.word}: {verdict.number}' if verdict.number else verdict.word
    hosts.say(f'{number}. {claims.CLAIMS[number - 1].words} {words}')
  facts = [section.Fact('studies', 'studies', ', '.join(sorted(told)) if told else 'none')]
  about = {'title': 'What is said, and what was measured', 'studies': sorted(told)}
  return report.write(out, *names[:2], about, verdicts.sections(claims.CLAIMS, known), facts)
