"""Maps of pictures: their edges, the layout of what stands in them, their low resolution; and how
well a picture follows a map that was asked for.

  name     map of a picture [H, W, C] of levels 0 .. L-1
  edges    bool [H, W, 1]: is the slope above a quarter of the range of a level? See `edges`
  layout   bool [H, W, 1]: does something stand before the ground? See `layout`
  low      float [H/f, W/f, C]: the mean level of every square of f x f pixels
"""

import numpy as np

NAMES = ('edges', 'layout', 'low')
_STEP = 0.25  # of the range of a level: what is an edge, and what differs from the ground


def edges(pictures, levels) -> np.ndarray:
  """bool [n, H, W, 1] of pictures [n, H, W, C]: Sobel's gradient, a quarter of it so that a step of
  one level has the slope 1, is longer than (levels - 1) / 4 in some channel. Borders are
  repeated."""
  padded = np.pad(np.asarray(pictures, np.float32), ((0, 0), (1, 1), (1, 1), (0, 0)), 'edge')
  smooth = lambda a, b, c: (a + 2 * b + c) / 4
  down = smooth(padded[:, :, :-2], padded[:, :, 1:-1], padded[:, :, 2:])
  across = smooth(padded[:, :-2], padded[:, 1:-1], padded[:, 2:])
  slope = np.hypot(down[:, 2:] - down[:, :-2], across[:, :, 2:] - across[:, :, :-2])
  return slope.max(-1, keepdims=True) > _STEP * (levels - 1)


def layout(pictures, levels) -> np.ndarray:
  """bool [n, H, W, 1] of pictures [n, H, W, C]: the level differs from that of the ground by more
  than (levels - 1) / 4 in some channel; the ground is the median of the border's pixels."""
  pictures = np.asarray(pictures, np.float32)
  border = np.concatenate([
    pictures[:, 0], pictures[:, -1], pictures[:, 1:-1, 0], pictures[:, 1:-1, -1]
  ], 1)
  ground = np.median(border, 1)[:, None, None]
  return np.abs(pictures - ground).max(-1, keepdims=True) > _STEP * (levels - 1)


def low(pictures, factor) -> np.ndarray:
  """float32 [n, H/f, W/f, C]: means over squares of f x f pixels."""
  num, height, width, channels = pictures.shape
  split = pictures.reshape(num, height // factor, factor, width // factor, factor, channels)
  return split.mean((2, 4), dtype=np.float32)


def of(name, pictures, levels, factor) -> np.ndarray:
  """The map of that name."""
  if name == 'low':
    return low(np.asarray(pictures), factor)
  return {'edges': edges, 'layout': layout}[name](pictures, levels)


def overlap(made, asked) -> tuple[np.ndarray, np.ndarray]:
  """(F1, intersection over union) [n] of boolean maps [n, ..]; 1 where both are empty."""
  made, asked = (map_.reshape(len(map_), -1) for map_ in (made, asked))
  both, either = (made & asked).sum(1), (made | asked).sum(1)
  total = both + either
  return (
    np.where(total, 2 * both / np.maximum(total, 1), 1.0),
    np.where(either, both / np.maximum(either, 1), 1.0),
  )


def difference(pictures, asked) -> np.ndarray:
  """[n] mean distance in levels of the low resolution of pictures from the one asked for, float
  [n, h, w, C]."""
  factor = pictures.shape[1] // asked.shape[1]
  return np.abs(low(np.asarray(pictures), factor) - asked).mean((1, 2, 3))


def consistent(pictures, asked, levels) -> np.ndarray:
  """The nearest pictures to `pictures` int [n, H, W, C] whose low resolution is the one asked for,
  float [n, h, w, C], but for rounding, which moves a mean by half a level at most.

  Nearest in the sum of squares, with levels in 0 .. levels-1: all pixels of a square move by one
  amount, and those that would leave the range stay at its end (the conditions of Karush, Kuhn and
  Tucker). The mean grows with that amount, which is bisected.
  """
  pictures = np.asarray(pictures)
  factor, most = pictures.shape[1] // asked.shape[1], levels - 1

  def moved(by):
    return np.clip(pictures + by.repeat(factor, 1).repeat(factor, 2), 0, most)

  least, last = np.full(asked.shape, -float(most)), np.full(asked.shape, float(most))
  for _ in range(24):
    middle = (least + last) / 2
    short = low(moved(middle), factor) < asked
    least, last = np.where(short, middle, least), np.where(short, last, middle)
  return np.rint(moved(last)).astype(pictures.dtype)
