"""Pictures that are moved before they are encoded, as lessons.Moved moves them afterwards where
tokens are pixels."""

import zlib

import numpy as np


def copies(pictures, indices, *, split, copy, flip, crop, seed) -> np.ndarray:
  """One copy of each picture [n, H, W, C]: mirrored left to right with probability one half
  (flip), shifted by up to `crop` pixels, its edges repeated.

  A function of (seed, split, index, copy) and the picture alone, whatever is moved with it.
  """
  num, height, width = pictures.shape[:3]
  rows, columns = np.empty((num, height), int), np.empty((num, width), int)
  for place, index in enumerate(indices):
    rng = np.random.default_rng([seed, zlib.crc32(split.encode()), int(index), copy])
    mirrored, shift = rng.random() < 0.5, rng.integers(-crop, crop + 1, 2)
    rows[place] = np.clip(np.arange(height) + shift[0], 0, height - 1)
    columns[place] = np.clip(np.arange(width) + shift[1], 0, width - 1)
    if flip and mirrored:
      columns[place] = width - 1 - columns[place]
  return pictures[np.arange(num)[:, None, None], rows[:, :, None], columns[:, None]]
