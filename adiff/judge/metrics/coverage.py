"""Precision, recall, density and coverage: does every sample look real, is all of reality covered?

All four count k-nearest-neighbour balls, which hold the points at a distance <= their radius: where
features are tied, a point on the rim counts. Precision and recall: Kynkaanniemi et al. 2019,
arXiv:1904.06991. Density and coverage, robust to outliers: Naeem et al. 2020, arXiv:2002.09797.
"""

import numpy as np

_CHUNK = 512


def _radii(points, k):
  """Distance of each point [n] to its k-th neighbour among the others."""
  from scipy.spatial import distance  # half a second to import, for this alone

  radii = [
    np.partition(distance.cdist(points[i:i + _CHUNK], points), k, axis=1)[:, k]
    for i in range(0, len(points), _CHUNK)
  ]
  return np.concatenate(radii)  # Rank 0 is the point itself.


def _balls(points, centres, radii):
  """(balls that hold each point [n], whether each ball holds a point [m])."""
  from scipy.spatial import distance  # half a second to import, for this alone

  inside, hit = [], np.zeros(len(centres), bool)
  for i in range(0, len(points), _CHUNK):
    within = distance.cdist(points[i:i + _CHUNK], centres) <= radii
    inside.append(within.sum(1))
    hit |= within.any(0)
  return np.concatenate(inside), hit


def scores(real, fake, *, k=5) -> dict[str, float]:
  """{'precision', 'recall', 'density', 'coverage'} of features real [n, F] and fake [m, F].

  Precision: share of fakes inside a ball of a real one; recall: the reverse; density: balls that
  hold a fake, over k (may exceed 1); coverage: share of real balls that hold a fake. Raises
  ValueError unless both sets have more than k points.
  """
  real = np.asarray(real, np.float64).reshape(len(real), -1)
  fake = np.asarray(fake, np.float64).reshape(len(fake), -1)
  if k < 1 or min(len(real), len(fake)) <= k:
    raise ValueError(
      f'{len(real)} real and {len(fake)} fake points cannot have {k} neighbours each; '
      'pass more samples or a smaller k of at least 1'
    )
  inside, hit = _balls(fake, real, _radii(real, k))
  recalled, _ = _balls(real, fake, _radii(fake, k))
  return {
    'precision': float(np.mean(inside > 0)),
    'recall': float(np.mean(recalled > 0)),
    'density': float(inside.mean() / k),
    'coverage': float(hit.mean()),
  }
