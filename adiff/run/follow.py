"""Evaluates the checkpoints of a run while it trains, each one once.

  WORKDIR/eval/STEP/eval.json, report.html   of one checkpoint; the folder appears whole
  WORKDIR/eval/made_by.json                  the settings that they were evaluated with
  WORKDIR/eval/lock                          held by the follower

What is there is done; so a follower that was killed goes on where it was. A checkpoint that was
damaged, or deleted before its turn came (config.train.keep), is named and passed over.
"""

import os
import time
from collections.abc import Callable

from absl import logging

from adiff.machine import files, manifest
from adiff.run import workdir as workdir_lib

PAUSE = 2.0  # seconds between two looks
_FOLDER = 'eval'


def follow(workdir, last: int, evaluate: Callable, settings: dict) -> None:
  """Calls evaluate(step, folder) for every checkpoint, until the one of step `last` had its turn.

  settings: what the evaluations follow from besides the checkpoint, as JSON. Raises ValueError
  where another follower is at work, or where one has evaluated with other settings.
  """
  top, passed = os.path.join(workdir, _FOLDER), set()
  with workdir_lib.lock(top, 'is being written'):
    workdir_lib.check_made_by(top, settings, f'delete {top}, or follow with the same settings')
    while last not in done(workdir) | passed:
      open_steps = [step for step in manifest.sealed(workdir) if step not in done(workdir) | passed]
      if not open_steps:
        time.sleep(PAUSE)
        continue
      step = open_steps[0]
      try:
        with files.folder(os.path.join(top, str(step))) as draft:
          evaluate(step, draft)
      except (ValueError, OSError) as error:
        if step in manifest.sealed(workdir) and not isinstance(error, manifest.Damaged):
          raise
        logging.warning('checkpoint %s is passed over: %s', step, error)
        passed.add(step)


def done(workdir) -> set[int]:
  """Steps that are evaluated."""
  top = os.path.join(workdir, _FOLDER)
  return {manifest.step_of(name) for name in os.listdir(top)} - {None}
