"""Folders that processes take in turn, by their locks."""

import contextlib
import time

from adiff.machine import bucket_lock
from adiff.run import workdir as workdir_lib

PAUSE = 2.0  # seconds between two looks at what other processes do


def take(held: contextlib.ExitStack, folder) -> bool:
  """Is a folder ours until `held` closes? False where another process has it."""
  try:
    held.enter_context(workdir_lib.lock(folder))
  except bucket_lock.Held:
    return False
  return True


def wait(held: contextlib.ExitStack, folder) -> None:
  """Takes a folder that nobody has for long, once it is free."""
  while not take(held, folder):
    time.sleep(PAUSE / 10)
