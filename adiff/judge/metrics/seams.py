"""Seams: do the pieces of a picture fit together at their borders, and in the large?

A picture [H, W, C] is cut into areas, int [H, W]: blocks of a plan, patches of a codec. Two pixels
beside or below each other lie in one area, or on two sides of a border.
"""

from typing import NamedTuple

import numpy as np

from adiff.judge import subset

PAIRS = 1_000  # pictures that a forest is fitted to, and that it is asked about, at most


class Ratio(NamedTuple):
  """A ratio and its 95% interval over pictures."""

  value: float
  low: float
  high: float


def steepness(pictures, areas) -> tuple[np.ndarray, np.ndarray]:
  """Mean absolute difference of neighbours, float64 [n] each: (on two sides of a border, inside an
  area), in levels.

  pictures [n, H, W, C]. Raises ValueError where no pair of neighbours is of the one sort, or of the
  other.
  """
  pictures, areas = np.asarray(pictures, np.float64), np.asarray(areas)
  if pictures.ndim != 4 or pictures.shape[1:3] != areas.shape:
    raise ValueError(
      f'areas {list(areas.shape)} are not those of pictures {list(pictures.shape)}; give a number '
      'to every pixel'
    )
  sums, pairs = np.zeros((2, len(pictures))), np.zeros(2)
  for axis in (0, 1):
    apart = np.diff(areas, axis=axis) != 0
    steps = np.abs(np.diff(pictures, axis=1 + axis)).mean(-1)
    for sort, chosen in enumerate((apart, ~apart)):
      sums[sort] += steps[:, chosen].sum(1)
      pairs[sort] += chosen.sum()
  if not pairs.all():
    raise ValueError(
      'a seam needs neighbours on two sides of a border and neighbours inside an area; give areas '
      'of several pixels each, and more than one of them'
    )
  return sums[0] / pairs[0], sums[1] / pairs[1]


def ratio(samples, real, areas) -> Ratio:
  """How steep borders are beside the inside of areas, in samples over real pictures: 1 where they
  cannot be told apart, above where pieces do not fit, below where borders are smoothed away.

  The interval is that of the logarithm of a ratio of means, to first order. Raises ValueError as
  `steepness`, and for pictures without any difference.
  """
  logarithm, variance = 0.0, 0.0
  for pictures, sign in ((samples, 1), (real, -1)):
    across, inside = steepness(pictures, areas)
    if not across.any() or not inside.any():
      raise ValueError('pictures without any step, across borders or inside, have no seams')
    logarithm += sign * np.log(across.mean() / inside.mean())
    variance += np.var(across / across.mean() - inside / inside.mean(), ddof=1) / len(across)
  half = 1.96 * np.sqrt(variance)
  return Ratio(*(float(np.exp(logarithm + way)) for way in (0.0, -half, half)))


class Pairs:
  """A forest that knows which halves of real pictures belong together: the upper and the lower one
  of the same picture, or of two.

  Half of its examples are pictures, half their upper halves with the lower half of another one of
  the same label, where that has two.
  """

  def __init__(self, real, labels, *, seed=0):
    """real [n, H, W, C], H >= 2, n >= 2; labels int [n]."""
    from sklearn import ensemble  # seconds to import, for this alone

    self._seed = seed
    self._forest = ensemble.RandomForestClassifier(100, random_state=seed, n_jobs=-1)
    few = subset.spread(len(real), PAIRS)
    self._forest.fit(*_examples(real[few], labels[few], seed))

  def accuracy(self, pictures, labels) -> float:
    """Share that it is right on: of real pictures that it was not fitted to more than 0.5 as far as
    halves tell of each other; of samples as much where theirs belong together as real ones do."""
    few = subset.spread(len(pictures), PAIRS)
    found, right = _examples(pictures[few], labels[few], self._seed + 1)
    return float(np.mean(self._forest.predict(found) == right))


def _examples(pictures, labels, seed):
  """(values [2 n, F] of whole pictures and of mixed ones, 1 and 0 for which they are)."""
  pictures, labels = np.asarray(pictures, np.float64), np.asarray(labels)
  if len(pictures) < 2 or pictures.shape[1] < 2:
    raise ValueError(
      f'halves of {list(pictures.shape)} pictures cannot be mixed; give two of two rows or more'
    )
  rng, middle = np.random.default_rng(seed), pictures.shape[1] // 2
  other = np.arange(len(pictures))
  for label in np.unique(labels):
    own = rng.permutation(np.flatnonzero(labels == label))
    other[own] = np.roll(own, 1)
  upper, lower = pictures[:, :middle], pictures[:, middle:]
  whole, mixed = (_joined(upper, below) for below in (lower, lower[other]))
  return np.concatenate([whole, mixed]), np.repeat([1, 0], len(pictures))


def _joined(upper, lower):
  """Pixels of both halves, and how far the rows that meet are apart: values [n, F]."""
  meet = np.abs(upper[:, -1] - lower[:, 0])
  return np.concatenate([one.reshape(len(one), -1) for one in (upper, lower, meet)], 1)
