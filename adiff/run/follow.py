"""Evaluates checkpoints of a run, each one once: while it trains, or after it.

  WORKDIR/eval/STEP/eval.json, report.html   of one checkpoint; the folder appears whole
  WORKDIR/eval/curves.html, curves.json      all of them over the steps
  WORKDIR/eval/made_by.json                  the settings that they were evaluated with
  WORKDIR/eval/lock                          held by the follower

What is there is done; so a follower that was killed goes on where it was. A checkpoint that was
damaged, or deleted before its turn came (config.train.keep), is named and passed over.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator

from absl import logging

from adiff.machine import files, manifest
from adiff.run import stopped
from adiff.run import workdir as workdir_lib

PAUSE = 2.0  # seconds between two looks
NAMES = ('lock', workdir_lib.MADE_BY)  # what lies beside the folders of steps
_FOLDER = 'eval'


def place(workdir) -> str:
  """Where the evaluations of the checkpoints of a run lie."""
  return os.path.join(workdir, _FOLDER)


def _nothing():
  pass


def follow(
  workdir, last: int, evaluate: Callable, settings: dict, after: Callable[[], None] = _nothing
) -> None:
  """Calls evaluate(step, folder) for every checkpoint, until the one of step `last` had its turn,
  or the run was stopped for good (stopped.py) and all that there are had theirs.

  settings: what the evaluations follow from besides the checkpoint, as JSON. after: called when
  one more is done. Raises ValueError where another follower is at work, or where one has evaluated
  with other settings.
  """
  top, passed = place(workdir), set()
  with _begun(top, settings):
    while last not in done(top) | passed:
      ended = stopped.is_there(workdir)  # before the look: none is saved after that
      open_steps = [step for step in manifest.sealed(workdir) if step not in done(top) | passed]
      if open_steps:
        passed |= _one(workdir, top, open_steps[0], evaluate)
        after()
      elif ended:
        logging.warning('%s was stopped for good: %s lies there', workdir, stopped.FILE)
        break
      else:
        time.sleep(PAUSE)


def each(workdir, top, steps, evaluate: Callable, settings: dict) -> None:
  """Calls evaluate(step, folder) for those of `steps` that the folder `top` has not yet; else as
  `follow`."""
  with _begun(top, settings):
    for step in steps:
      if step not in done(top):
        _one(workdir, top, step, evaluate)


@contextlib.contextmanager
def _begun(top, settings) -> Iterator[None]:
  """Holds the folder of evaluations, all of the same settings."""
  with workdir_lib.lock(top, 'is being written'):
    workdir_lib.check_made_by(top, settings, f'delete {top}, or evaluate with the same settings')
    yield


def _one(workdir, top, step, evaluate):
  """Evaluates a checkpoint; returns {step} where it had to be passed over."""
  try:
    with files.folder(os.path.join(top, str(step))) as draft:
      evaluate(step, draft)
  except (ValueError, OSError) as error:
    if step in manifest.sealed(workdir) and not isinstance(error, manifest.Damaged):
      raise
    logging.warning('checkpoint %s is passed over: %s', step, error)
    return {step}
  return set()


def done(top) -> set[int]:
  """Steps whose evaluations lie in a folder."""
  return {manifest.step_of(name) for name in files.whole_folders(top)} - {None}
