"""The page of several evaluations of one run, STEP/eval.json in a folder, over the steps.

  FOLDER/curves.html   for people
  FOLDER/curves.json   the same sections as data
"""

import os

from adiff.judge import curves, section
from adiff.machine import input_file, json_file
from adiff.run import growing, report

NAMES = ('curves.html', 'curves.json', 'pictures')
_FORM = {'title': str, 'sections': list, 'data?': str, 'average?': str, 'commit?': str}
_ADVICE = 'delete its folder, and evaluate it anew'
_PICTURE_BYTES = 32 * 2**20


def write(folder, steps) -> str:
  """Writes the page of what lies there of `steps`; returns its path. Raises ValueError for an
  evaluation that cannot be read, OSError where the folder cannot be written."""
  told, found = {'title': ''}, {}
  for step in steps:
    told, found[step] = _read(os.path.join(folder, str(step)))
  about = {'title': f'{told["title"]}, {len(found)} checkpoints', 'steps': list(found)}
  facts = [
    section.Fact(key, key, told.get(key)) for key in ('data', 'average', 'commit')
  ]
  return report.write(folder, *NAMES[:2], about, curves.of(found), facts)


def _read(place):
  """(what eval.json says, its sections)."""
  path = os.path.join(place, growing.DATA)
  told = json_file.read(path, _FORM, advice=_ADVICE)

  def picture(file):
    return input_file.read(os.path.join(place, file), limit=_PICTURE_BYTES)

  try:
    return told, section.from_data(told['sections'], picture)
  except section.Foreign as error:
    raise ValueError(f'{path}: {error}; {_ADVICE}') from error
