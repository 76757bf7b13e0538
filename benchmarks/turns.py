"""Candidates measured side by side: compiled before, then one call each in every round."""

import time

import jax
import numpy as np

from adiff.machine import rates


def compiled(function, *arguments):
  """(callable, seconds of compilation, bytes of temporary memory)."""
  begun = time.monotonic()
  program = jax.jit(function).lower(*arguments).compile()
  seconds = time.monotonic() - begun
  return program, seconds, program.memory_analysis().temp_size_in_bytes


def take_turns(candidates, rounds):
  """{name: seconds [rounds]} of {name: thunk}, one call each in every round."""
  for thunk in candidates.values():
    jax.block_until_ready(thunk())
  times = {name: [] for name in candidates}
  for _ in range(rounds):
    for name, thunk in candidates.items():
      begun = time.monotonic()
      jax.block_until_ready(thunk())
      times[name].append(time.monotonic() - begun)
  return times


class Limits:
  """The best rate of matrix products, FLOP/s, and bandwidth, bytes/s, seen so far. A shared machine
  changes from minute to minute: `look` before and after what they are set against."""

  def __init__(self, dtype='float32'):
    """dtype: of the matrix products."""
    self.rate = self.bandwidth = 0.0
    # A CPU's cores are busy with 1,024 rows; an accelerator's need more.
    self.products = dict(dtype=dtype, size=1024 if jax.default_backend() == 'cpu' else 8192)

  def look(self, rate=0.0):
    """rate: of somebody else's matrix products."""
    self.rate = max(self.rate, rates.matmul_rate(**self.products), rate)
    self.bandwidth = max(self.bandwidth, rates.bandwidth())


def ratio(slow, fast) -> float:
  """How often `fast` goes into `slow`: the median over the rounds, in which both ran one after the
  other."""
  return float(np.median(np.divide(slow, fast)))


def audit(ratio, model) -> str:
  """'failed' where a measured ratio exceeds the cost model's by a tenth: then the baseline was
  handicapped."""
  return 'passed' if ratio <= 1.1 * model else 'failed'


def call(program, *arguments):
  """A thunk for `take_turns`."""
  return lambda: program(*arguments)


def summary(seconds) -> dict:
  """{'ms', 'spread'} of one candidate: the median, and the distance between the quartiles."""
  low, middle, high = np.percentile(seconds, [25, 50, 75])
  return {'ms': 1e3 * middle, 'spread': 1e3 * (high - low)}
