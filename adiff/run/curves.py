"""The page of several evaluations of one run, STEP/eval.json in a folder, over the steps.

  FOLDER/curves.html   for people
  FOLDER/curves.json   the same sections as data
"""

import os

from adiff.judge import curves, section
from adiff.run import growing, report

NAMES = ('curves.html', 'curves.json', 'pictures')


def write(folder, steps) -> str:
  """Writes the page of what lies there of `steps`; returns its path. Raises ValueError for an
  evaluation that cannot be read, OSError where the folder cannot be written."""
  told, found = {'title': ''}, {}
  for step in steps:
    told, found[step] = growing.read(os.path.join(folder, str(step)))
  about = {'title': f'{told["title"]}, {len(found)} checkpoints', 'steps': list(found)}
  facts = [
    section.Fact(key, key, told.get(key)) for key in ('data', 'average', 'commit')
  ]
  return report.write(folder, *NAMES[:2], about, curves.of(found), facts)
