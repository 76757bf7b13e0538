"""Memorisation: are samples closer to the training set than fresh real examples are?"""

import numpy as np

_CHUNK = 512


def nearest(samples, train) -> tuple[np.ndarray, np.ndarray]:
  """(index int64 [n], Euclidean distance float64 [n]) of the training example nearest to each.

  samples [n, ...] and train [m, ...] are flattened; integer images are compared as numbers.
  """
  from scipy.spatial import distance  # half a second to import, for this alone

  samples = np.asarray(samples, np.float64).reshape(len(samples), -1)
  train = np.asarray(train, np.float64).reshape(len(train), -1)
  index, gaps = [], []
  for start in range(0, len(samples), _CHUNK):
    matrix = distance.cdist(samples[start:start + _CHUNK], train)
    index.append(matrix.argmin(1))
    gaps.append(matrix.min(1))
  return np.concatenate(index), np.concatenate(gaps)


def nn_ratio(samples, train, test) -> float:
  """Median distance sample -> train over median distance test -> train.

  About 1 for fresh samples of the same law, well below 1 for copies (0 when exact), above 1 for
  samples that resemble nothing. Raises ValueError when test examples are copies of training ones.
  """
  base = np.median(nearest(test, train)[1])
  if base == 0:
    raise ValueError(
      'half of the test examples are copies of training examples; remove duplicates first'
    )
  return float(np.median(nearest(samples, train)[1]) / base)
