"""Evaluates checkpoints of a run, each one once: while it trains, or after it.

  WORKDIR/eval/STEP/eval.json, report.html   of one checkpoint; the folder appears whole
  WORKDIR/eval/curves.html, curves.json      all of them over the steps
  WORKDIR/eval/made_by.json                  the settings that they were evaluated with
  WORKDIR/eval/lock                          held by the follower

What is there is done; so a follower that was killed goes on where it was. A checkpoint that was
damaged, or deleted before its turn came (config.train.keep), is named and passed over.
"""

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator

import jax
from absl import logging

from adiff.machine import files, hosts, manifest
from adiff.run import division, growing, stopped
from adiff.run import workdir as workdir_lib

PAUSE = 2.0  # seconds between two looks
NAMES = ('lock', workdir_lib.MADE_BY)  # what lies beside the folders of steps
_FOLDER, _NONE, _END = 'eval', -1, -2


def place(workdir) -> str:
  """Where the evaluations of the checkpoints of a run lie."""
  return os.path.join(workdir, _FOLDER)


def _nothing():
  pass


def follow(
  workdir, last: int, evaluate: Callable, settings: dict, after: Callable[[], None] = _nothing, *,
  share: Callable = hosts.alone,
) -> None:
  """Calls evaluate(step, folder) for every checkpoint, until the one of step `last` had its turn,
  or the run was stopped for good (stopped.py) and all that there are had theirs.

  settings: what the evaluations follow from besides the checkpoint, as JSON. after: called when
  one more is done. share: the context in which a process works, see sharding.working: alone, on
  checkpoints that no other one has claimed, or together with all others. Raises ValueError where
  another follower is at work, or where one has evaluated with other settings.
  """
  top, passed = place(workdir), set()

  def all_of_them():
    with share():
      while (step := hosts.told(_next(workdir, top, passed, last))) != _END:
        if step == _NONE:
          time.sleep(PAUSE)
        elif not _one(workdir, top, step, evaluate):
          passed.add(step)
        elif hosts.first():
          after()

  with _begun(top, settings):
    hosts.together(all_of_them)
    if jax.process_count() > 1 and done(top):
      hosts.by_first(after)  # those of all hosts


def each(
  workdir, top, steps, evaluate: Callable, settings: dict, *, share: Callable = hosts.alone
) -> None:
  """Calls evaluate(step, folder) for those of `steps` that the folder `top` has not yet; else as
  `follow`."""

  def all_of_them():
    with share():
      for step in steps:
        if not hosts.told(step in done(top)):
          _one(workdir, top, step, evaluate)

  with _begun(top, settings):
    hosts.together(all_of_them)


def _next(workdir, top, passed, last):
  """The oldest checkpoint whose turn it is, or _NONE yet, or _END: there will be none. One before
  the last may be open when that is done: its host was killed."""
  had = done(top) | passed
  ended = stopped.is_there(workdir)  # before the look: none is saved after that
  waiting = [step for step in manifest.sealed(workdir) if step not in had and step <= last]
  if waiting:
    return waiting[0]
  if ended and last not in had:
    logging.warning('%s was stopped for good: %s lies there', workdir, stopped.FILE)
  return _END if ended or last in had else _NONE


@contextlib.contextmanager
def _begun(top, settings) -> Iterator[None]:
  """Holds the folder of evaluations, all of the same settings."""

  def begin():
    held.enter_context(workdir_lib.lock(top, 'is being written'))
    workdir_lib.check_made_by(top, settings, f'delete {top}, or evaluate with the same settings')

  with contextlib.ExitStack() as held:
    hosts.by_first(begin)
    hosts.together(lambda: division.check_joined(top, settings))
    yield


def _one(workdir, top, step, evaluate) -> bool:
  """Evaluates a checkpoint; False where another process does, or it had to be passed over."""
  path = os.path.join(top, str(step))
  hosts.saving(lambda: step in done(top))  # whoever makes it
  if not hosts.claim(path):
    return False
  try:
    own = functools.partial(files.folder, names=growing.NAMES, first=True)
    with (own if hosts.first() else contextlib.nullcontext)(path) as draft:
      evaluate(step, draft)
  except (ValueError, OSError) as error:
    if step in manifest.sealed(workdir) and not isinstance(error, manifest.Damaged):
      raise
    logging.warning('checkpoint %s is passed over: %s', step, error)
    return False
  return True


def done(top) -> set[int]:
  """Steps whose evaluations lie in a folder."""
  return {manifest.step_of(name) for name in files.whole_folders(top)} - {None}
