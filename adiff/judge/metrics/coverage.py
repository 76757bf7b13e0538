"""Precision, recall, density and coverage: does every sample look real, is all of reality covered?

All four count k-nearest-neighbour balls, which hold the points at a distance <= their radius: where
features are tied, a point on the rim counts. Precision and recall: Kynkaanniemi et al. 2019,
arXiv:1904.06991. Density and coverage, robust to outliers: Naeem et al. 2020, arXiv:2002.09797.
"""

import numpy as np

from adiff.judge.metrics import chunks

K = 5  # neighbours


def radii(points, k=K) -> np.ndarray:
  """Distance float64 [n] of each point [n, F] to its k-th neighbour among the others.

  n^2 F operations; memory of a chunk of distances a core.
  """
  from scipy.spatial import distance  # half a second to import, for this alone

  def act(rows):  # rank 0 is the point itself; the copy lets go of the other distances
    return np.partition(distance.cdist(points[rows], points), k, axis=1)[:, k].copy()

  return np.concatenate(chunks.each(act, len(points), len(points)))


def _balls(points, centres, radii):
  """(balls that hold each point [n], whether each ball holds a point [m])."""
  from scipy.spatial import distance  # half a second to import, for this alone

  def act(rows):
    within = distance.cdist(points[rows], centres) <= radii
    return within.sum(1), within.any(0)

  inside, hit = zip(*chunks.each(act, len(points), len(centres)), strict=True)
  return np.concatenate(inside), np.any(hit, axis=0)


def scores(real, fake, *, k=K, real_radii=None) -> dict[str, float]:
  """{'precision', 'recall', 'density', 'coverage'} of features real [n, F] and fake [m, F].

  Precision: share of fakes inside a ball of a real one; recall: the reverse; density: balls that
  hold a fake, over k (may exceed 1); coverage: share of real balls that hold a fake. real_radii:
  `radii` of the real ones, where they are known already. Raises ValueError unless both sets have
  more than k points.
  """
  real = np.asarray(real, np.float64).reshape(len(real), -1)
  fake = np.asarray(fake, np.float64).reshape(len(fake), -1)
  if k < 1 or min(len(real), len(fake)) <= k:
    raise ValueError(
      f'{len(real)} real and {len(fake)} fake points cannot have {k} neighbours each; '
      'pass more samples or a smaller k of at least 1'
    )
  inside, hit = _balls(fake, real, radii(real, k) if real_radii is None else real_radii)
  recalled, _ = _balls(real, fake, radii(fake, k))
  return {
    'precision': float(np.mean(inside > 0)),
    'recall': float(np.mean(recalled > 0)),
    'density': float(inside.mean() / k),
    'coverage': float(hit.mean()),
  }
