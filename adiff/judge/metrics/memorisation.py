"""Memorisation: are samples closer to the training set than fresh real examples are?"""

import numpy as np

from adiff.judge.metrics import chunks


def nearest(samples, train) -> tuple[np.ndarray, np.ndarray]:
  """(index int64 [n], Euclidean distance float64 [n]) of the training example nearest to each.

  samples [n, ...] and train [m, ...] are flattened; integer images are compared as numbers, and
  exactly. n m D operations, in matrix products on all cores; memory of a few chunks.
  """
  samples = np.asarray(samples).reshape(len(samples), -1)
  train = np.asarray(train).reshape(len(train), -1)
  index, least = np.zeros(len(samples), np.int64), np.full(len(samples), np.inf)
  for there in chunks.slices(len(train), train.shape[1]):
    others = np.asarray(train[there], np.float64)
    squares = np.einsum('ij,ij->i', others, others)
    for here in chunks.slices(len(samples), max(samples.shape[1], len(others))):
      # |a - b|^2 - |a|^2: whole numbers of 53 bits at most where images are integers.
      squared = squares - 2 * (np.asarray(samples[here], np.float64) @ others.T)
      best, lowest = squared.argmin(1), squared.min(1)
      closer = lowest < least[here]
      index[here] = np.where(closer, there.start + best, index[here])
      least[here] = np.where(closer, lowest, least[here])
  gaps = [
    np.sqrt(((np.asarray(samples[here], np.float64) - train[index[here]]) ** 2).sum(1))
    for here in chunks.slices(len(samples), samples.shape[1])
  ]
  return index, np.concatenate(gaps)


def typical_gap(test, train) -> float:
  """Median distance of test examples to their nearest training example.

  Raises ValueError where it is zero: test examples are copies of training ones.
  """
  gap = float(np.median(nearest(test, train)[1]))
  if gap == 0:
    raise ValueError(
      'half of the test examples are copies of training examples; remove duplicates first'
    )
  return gap


def nn_ratio(samples, train, gap) -> float:
  """Median distance sample -> train over `gap`, the typical one of test examples.

  About 1 for fresh samples of the same law, well below 1 for copies (0 when exact), above 1 for
  samples that resemble nothing.
  """
  return float(np.median(nearest(samples, train)[1]) / gap)
