"""Windows: the plan cut into stretches during which the same blocks are in flight.

The cached walk computes a window's tokens alone; all before them are finished and cached, all after
them are noise that nobody reads yet. Blocks of two tokens, three rows each (levels of a block;
[ ] what a window computes):

    delay = 3                    delay = 1, a pyramid
    [1]   1                      [1]   1                window 1: block 1
    [.7]  1                      [.7   1 ]              window 2: blocks 1 and 2, to the end; a new
    [.3]  1                      [.3   .7]                window opens only where a block starts
     0  [ 1 ]                    [0    .3]
     0  [.7 ]                     0    0
     0  [.3 ]
     0    0
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adiff.sequence import plan as plan_lib


class Span(NamedTuple):
  """A window's rows of the plan and its blocks, each from the first to the one behind the last."""

  first_row: int
  end_row: int
  first_block: int
  end_block: int


class Window(NamedTuple):
  """Arrays, so that windows of equal shape can be scanned."""

  pending: np.ndarray  # int32 [] first of the tokens that finished since the last window
  start: np.ndarray  # int32 [] first token in flight
  t: np.ndarray  # [R, n] level of every token in flight before each row
  s: np.ndarray  # [R, n] and after it
  index: np.ndarray  # int32 [R, n] steps that its block has made before


class Stretch(NamedTuple):
  """Windows of equal shape, one after another."""

  num_pending: int  # tokens that finished since the window before, in each
  num_tokens: int  # tokens in flight, in each
  windows: Window  # stacked on a leading axis


def spans(plan: plan_lib.Plan) -> list[Span]:
  """A new window opens where a block starts."""
  starts, ends = plan.starts, plan.ends
  rows = sorted({int(row) for row in starts[plan.given:]}) + [plan.num_rows]
  return [
    Span(row, until, int(np.sum(ends <= row)), int(np.sum(starts <= row)))
    for row, until in zip(rows[:-1], rows[1:], strict=True)
  ]


def widest(plan: plan_lib.Plan) -> int:
  """Blocks in flight at once, at most (K: nothing can be cached)."""
  return max(span.end_block - span.first_block for span in spans(plan))


def stretches(plan: plan_lib.Plan, sizes) -> list[Stretch]:
  """The walk for blocks of `sizes` tokens."""
  first_token = np.cumsum([0, *sizes])
  block_of_token = np.repeat(np.arange(plan.num_blocks), sizes)
  matrix, index = plan.matrix, plan.index.astype(np.int32)
  groups, finished = [], 0  # groups of windows of equal shape; blocks finished before this window
  for first_row, end_row, first_block, end_block in spans(plan):
    tokens = block_of_token[first_token[first_block]:first_token[end_block]]
    window = Window(
      pending=np.int32(first_token[finished]),
      start=np.int32(first_token[first_block]),
      t=matrix[first_row:end_row, tokens],
      s=matrix[first_row + 1:end_row + 1, tokens],
      index=index[first_row:end_row, tokens],
    )
    num_pending = int(first_token[first_block] - first_token[finished])
    shape = num_pending, len(tokens), end_row - first_row
    if not groups or groups[-1][0] != shape:
      groups.append((shape, []))
    groups[-1][1].append(window)
    finished = first_block
  return [
    Stretch(num_pending, num_tokens, Window(*map(np.stack, zip(*group, strict=True))))
    for (num_pending, num_tokens, _), group in groups
  ]


def on_device(window: Window) -> Window:
  """A window, or several of a stretch, as arrays of jax: levels in the default float."""
  t, s = (jnp.asarray(level, float) for level in (window.t, window.s))
  return jax.tree.map(jnp.asarray, window._replace(t=t, s=s))


def part(stretch: Stretch, index) -> Stretch:
  """The windows of a stretch that `index`, a slice or a list, chooses."""
  return stretch._replace(windows=Window(*(leaf[index] for leaf in stretch.windows)))
