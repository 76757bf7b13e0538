"""Work in chunks, so that memory is bounded whatever the number of examples, on all cores."""

import os
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

VALUES = 2**22  # of all chunks that are worked on at a time: 32 MiB in float64
THREADS = 8  # at most


def slices(num, width, values=VALUES) -> Iterator[slice]:
  """Slices of `num` rows of `width` values, each of at most so many values or of one row."""
  rows = max(1, values // max(width, 1))
  return (slice(start, min(start + rows, num)) for start in range(0, num, rows))


def each(act: Callable[[slice], Any], num, width) -> list[Any]:
  """act(slice) of the slices, in their order, on a thread a core.

  act spends its time outside of Python's lock, and returns no view of a larger array, which would
  be kept with it.
  """
  threads = min(cores(), THREADS)
  with futures.ThreadPoolExecutor(threads) as pool:
    return list(pool.map(act, slices(num, width, VALUES // threads)))


def cores() -> int:
  """Cores that this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return 1 if os.cpu_count() is None else os.cpu_count()
