"""How long devices had nothing to do because no batch was there: logged, and warned of."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from absl import logging

from adiff.machine import hosts

MUCH = 0.1  # share of the time from which it is worth a word
AGAIN = 600  # seconds between two words


class Waiting:
  """The clock of one training.

  A batch that comes while the devices still work on those before it costs nothing; one that comes
  later costs all the time that it was waited for, though devices were at work in part of it: what
  is told is at most what they waited. The first batch after the start does not count; sets that fit
  into memory are decoded for it.
  """

  def __init__(self):
    self._waited, self._since, self._told = 0.0, time.perf_counter(), -float('inf')

  def watched(self, batches: Iterable, busy: Callable[[], bool]) -> Iterator[Any]:
    """The batches, one by one. busy: is a step still being computed?"""
    batches = iter(batches)
    try:
      yield next(batches)
      while True:
        begun = time.perf_counter()
        batch = next(batches)
        if not busy():
          self._waited += time.perf_counter() - begun
        yield batch
    except StopIteration:
      return

  def share(self) -> float:
    """The share of the time since the last call, or `restart`, of the host that waited longest;
    warns where it is much. To be called by all processes."""
    now = time.perf_counter()
    seconds = max(now - self._since, 1e-9)
    found = hosts.most(min(self._waited / seconds, 1.0))
    if found > MUCH and hosts.first() and now - self._told > AGAIN:
      self._told = now
      logging.warning(
        'for up to %.0f%% of the last %.1f seconds devices waited for data; prepare pictures at '
        'their size (python -m adiff.data.prepare), give the host more cores (train.workers), or '
        'bring the data nearer', 100 * found, seconds,
      )
    self.restart()
    return found

  def restart(self) -> None:
    """Forgets what was, so that an evaluation or a save is not counted."""
    self._waited, self._since = 0.0, time.perf_counter()
