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

from adiff.sequence import blocks as blocks_lib
from adiff.sequence import plan as plan_lib
from adiff.sequence import tokens as tokens_lib

MOST_SHAPES = 8  # of a period


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


class Shape(NamedTuple):
  """What windows that share a program have in common."""

  pending: tokens_lib.Runs  # of the tokens that finished since the window before
  flight: tokens_lib.Runs  # and of those in flight
  num_rows: int

  @property
  def num_pending(self) -> int:
    return tokens_lib.count(self.pending)

  @property
  def num_tokens(self) -> int:
    return tokens_lib.count(self.flight)


class Stretch(NamedTuple):
  """Windows of a few shapes that come again and again, in the same order: a *period* (frame, sound,
  frame, sound). Most often it is one shape."""

  shapes: tuple[Shape, ...]  # of the windows of a period
  windows: tuple[Window, ...]  # for each, those of all periods, stacked on a leading axis

  @property
  def periods(self) -> int:
    return len(self.windows[0].start)


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


def listed(plan: plan_lib.Plan, blocks: blocks_lib.Blocks) -> list[tuple[Shape, Window]]:
  """All windows of the walk, one after another."""
  first_token, block_of_token = blocks.first_token, blocks.block_of_token
  matrix, index = plan.matrix, plan.index.astype(np.int32)
  windows, finished = [], 0  # blocks finished before this window
  for first_row, end_row, first_block, end_block in spans(plan):
    pending, start, end = (int(first_token[k]) for k in (finished, first_block, end_block))
    tokens = block_of_token[start:end]
    window = Window(
      pending=np.int32(pending),
      start=np.int32(start),
      t=matrix[first_row:end_row, tokens],
      s=matrix[first_row + 1:end_row + 1, tokens],
      index=index[first_row:end_row, tokens],
    )
    shape = Shape(
      tokens_lib.between(blocks.runs, pending, start),
      tokens_lib.between(blocks.runs, start, end), end_row - first_row,
    )
    windows.append((shape, window))
    finished = first_block
  return windows


def grouped(windows: list[tuple[Shape, Window]]) -> list[Stretch]:
  """The windows as stretches, as few as there may be from the first one on."""
  shapes, stretches, at = [shape for shape, _ in windows], [], 0
  while at < len(shapes):
    length, times = max(
      (_periods(shapes, at, length) for length in range(1, MOST_SHAPES + 1)),
      key=lambda found: (found[0] * found[1], -found[0]),
    )
    own = [window for _, window in windows[at:at + length * times]]
    stretches.append(Stretch(
      tuple(shapes[at:at + length]),
      tuple(Window(*map(np.stack, zip(*own[i::length], strict=True))) for i in range(length)),
    ))
    at += length * times
  return stretches


def _periods(shapes, at, length) -> tuple[int, int]:
  """(length, how often the `length` shapes from `at` on come, one after another): (1, 1) where they
  come once."""
  own, times = shapes[at:at + length], 1
  while len(own) == length and shapes[at + times * length:at + (times + 1) * length] == own:
    times += 1
  return (length, times) if times > 1 else (1, 1)


def stretches(plan: plan_lib.Plan, blocks: blocks_lib.Blocks) -> list[Stretch]:
  """The walk through the blocks."""
  return grouped(listed(plan, blocks))


def on_device(window: Window) -> Window:
  """A window, or several that are stacked, as arrays of jax: levels in the default float."""
  t, s = (jnp.asarray(level, float) for level in (window.t, window.s))
  return jax.tree.map(jnp.asarray, window._replace(t=t, s=s))


def part(stretch: Stretch, index) -> Stretch:
  """The periods of a stretch that `index`, a slice or a list, chooses."""
  return stretch._replace(
    windows=tuple(Window(*(leaf[index] for leaf in own)) for own in stretch.windows)
  )
