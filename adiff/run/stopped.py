"""The mark of a run that was stopped for good, WORKDIR/stopped: who waits for its next checkpoint
waits no longer.

Training leaves it where its loss is no longer finite; whoever gives up a run makes it, by `touch
WORKDIR/stopped`. A run that goes on takes it away, and one that was pre-empted has none.
"""

import contextlib
import os

from adiff.machine import files

FILE = 'stopped'


def is_there(workdir) -> bool:
  """Was the run stopped for good?"""
  return files.lies(os.path.join(workdir, FILE))


def leave(workdir, why: str) -> None:
  """Says so, with a sentence in the file; where that cannot be written nothing is lost."""
  with contextlib.suppress(OSError), files.whole(os.path.join(workdir, FILE)) as file:
    file.write(f'{why}\n')


def take_away(workdir) -> None:
  """The run goes on."""
  with contextlib.suppress(FileNotFoundError):
    files.delete(os.path.join(workdir, FILE))
