"""The energy distance: are two sets of points of one law? No features, no training."""

import numpy as np


def distance(real, fake) -> float:
  """2 E|x - y| - E|x - x'| - E|y - y'| of real [n, ..] and fake [m, ..], euclidean, without the
  pairs of a point with itself: unbiased, and 0 on average where both follow one law (Szekely and
  Rizzo 2013). Memory n m."""
  real, fake = (np.asarray(x, np.float64).reshape(len(x), -1) for x in (real, fake))
  if len(real) < 2 or len(fake) < 2:
    raise ValueError(f'{len(real)} and {len(fake)} examples have no distance; give two of each')
  own = (_within(one) for one in (real, fake))
  return float(2 * _between(real, fake).mean() - sum(own))


def _within(x):
  return _between(x, x).sum() / (len(x) * (len(x) - 1))


def _between(x, y):
  """|x - y| [n, m]."""
  squares = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
  return np.sqrt(np.maximum(squares, 0))
