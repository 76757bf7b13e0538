"""Batches as a pure function of (seed, step): restart and re-sharding are exact by construction.

There is no iterator to save. Step n of a run reads positions n * batch_size onwards of an endless
shuffled sequence (every epoch in a new order), whatever happened before, on however many processes.
"""

import collections
import dataclasses
import functools
import itertools
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grain
import jax
import numpy as np

from adiff.data import base
from adiff.judge import subset
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import values

_PREFETCH = 4
_STALLED = 600  # seconds without a batch: the storage is gone
_EXAMPLE = 2**11  # bytes that an example takes beside its tokens: each is gathered by itself


def _check(source, split, batch_size, blocks, rows):
  """The number of examples of the split; raises ValueError where no batch can be made of it."""
  size = source.size(split)
  if size < 1:
    raise ValueError(f"split '{split}' is empty; choose another split or add examples to it")
  if batch_size < 1:
    raise ValueError(f'batch_size={batch_size}; a batch holds at least one example')
  num_tokens, own = source.spec.num_tokens, range(batch_size)[slice(None) if rows is None else rows]
  values.check_memory(
    f'a batch of batch_size={batch_size} examples',
    len(own) * (_EXAMPLE + 4 * source.spec.num_floats),
    'write a smaller one',
  )
  if blocks is not None and blocks.num_tokens != num_tokens:
    raise ValueError(f'blocks order {blocks.num_tokens} tokens, and examples have {num_tokens}')
  return size


def ordered(examples, blocks, spec) -> dict[str, Any]:
  """Examples with what they have of every token in block order."""

  def one(name, value):
    cond = spec.conds.get(name)
    per_token = len(value.shape) > 1 if cond is None else cond.per_token
    return blocks.from_raster(value) if per_token else value

  return {name: one(name, value) for name, value in examples.items()}


class _Reader:
  """Examples of a split, their tokens in block order; several threads share those that take long
  to decode, and what they give does not depend on how many they are."""

  def __init__(self, source, split, blocks, workers):
    self._read = functools.partial(source.examples, split)
    self._blocks, self._spec = blocks, source.spec
    self._parts = base.threads(workers) if source.source.decodes else 1
    self._pool = futures.ThreadPoolExecutor(self._parts, thread_name_prefix='decode')

  def examples(self, indices):
    """The examples of `indices`."""
    indices = np.asarray(indices, np.int64)
    parts = min(self._parts, len(indices))
    if parts > 1:
      found = list(self._pool.map(self._read, np.array_split(indices, parts)))
      examples = jax.tree.map(lambda *parts: np.concatenate(parts), *found)
    else:
      examples = self._read(indices)
    return dict(examples) if self._blocks is None else ordered(examples, self._blocks, self._spec)


@dataclasses.dataclass(frozen=True, eq=False)
class Batches:
  """Endless training batches of `source`; `batch_at(step)` is pure in (seed, step).

  With a share, of that share of the split: different examples spread over it, the same ones for
  every seed, at least one. A batch larger than the split wraps around into the next epoch. Raises
  ValueError for an unknown or empty split.
  """

  source: base.Coded
  split: str
  batch_size: int  # of the global batch, on all processes together
  _: dataclasses.KW_ONLY
  seed: int
  blocks: blocks_lib.Blocks | None = None  # whose order tokens have; None: raster order
  rows: slice | None = None  # the part of the global batch that this process feeds; None: all
  workers: int = 0  # threads that decode pictures; 0: one a core
  share: float = 1.0  # of the split, above 0

  def __post_init__(self):
    _check(self.source, self.split, self.batch_size, self.blocks, self.rows)

  @functools.cached_property
  def _reader(self):
    return _Reader(self.source, self.split, self.blocks, self.workers)

  @functools.cached_property
  def _num(self):
    """Of the examples that there are, or of a share of them."""
    return max(1, round(self.share * self.source.size(self.split)))

  @functools.cached_property
  def _chosen(self):
    return subset.spread(self.source.size(self.split), self._num)

  @functools.cached_property
  def _shuffled(self):
    return grain.MapDataset.range(self._num).seed(self.seed).shuffle().repeat()

  def indices_at(self, step) -> np.ndarray:
    """int64 [b]: the examples of step `step`, restricted to this process's part."""
    rows = slice(None) if self.rows is None else self.rows
    places = range(self.batch_size)[rows]
    start = step * self.batch_size
    found = np.array([self._shuffled[start + place] for place in places], np.int64)
    return found if self._num == self.source.size(self.split) else self._chosen[found]

  def batch_at(self, step) -> dict[str, np.ndarray]:
    """{'tokens': [b, N(, D)] in block order, 'label': int32 [b], what else the examples have} of
    step `step` (from 0)."""
    return self._reader.examples(self.indices_at(step))


def in_turn(several, start=0) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
  """Yields (step, batch) from `start` on, without end: several Batches take turns, one a step. A
  thread prepares the next batches.

  Raises TimeoutError, an OSError, where a batch takes longer than ten minutes.
  """
  pool = futures.ThreadPoolExecutor(1, thread_name_prefix='batches')
  pending = collections.deque()
  steps = itertools.count(start)
  try:
    while True:
      while len(pending) < _PREFETCH:
        step = next(steps)
        pending.append((step, pool.submit(several[step % len(several)].batch_at, step)))
      step, future = pending.popleft()
      try:
        batch = future.result(timeout=_STALLED)
      except TimeoutError as error:
        raise TimeoutError(
          f'the batch of step {step} is not there after {_STALLED} seconds; see to the storage '
          'of the data, then run the same command again'
        ) from error
      yield step, batch
  finally:
    pool.shutdown(wait=False, cancel_futures=True)  # a thread may wait for ever


def once(
  source, split, batch_size, blocks=None, *, rows=None, num=None, workers=0
) -> Iterator[dict[str, np.ndarray]]:
  """Yields every example of a split once, in order, as batches of one size, for evaluation; or
  `num` of them, spread over the split.

  Each batch is as that of `Batches`; copies of the last example fill up the last batch. blocks,
  rows and workers as there. Raises ValueError for an unknown or empty split.
  """
  size = _check(source, split, batch_size, blocks, rows)
  chosen = subset.spread(size, size if num is None else num)
  reader = _Reader(source, split, blocks, workers)
  for start in range(0, len(chosen), batch_size):
    places = np.arange(start, start + batch_size)[slice(None) if rows is None else rows]
    yield reader.examples(chosen[np.minimum(places, len(chosen) - 1)])
