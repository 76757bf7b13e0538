"""Trivial generators that a model has to beat: print them beside every score.

They are fitted to MOST examples at most, spread over the training set, and on their WIDTH principal
components where these are fewer than the values of an example: half a minute on one core and, for
3,072 values, half a GiB.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import threadpoolctl

from adiff.judge import subset
from adiff.judge.metrics import chunks

MOST, WIDTH = 10_000, 64
COMPONENTS = 40  # of the mixture
_RIDGE = 4e-4  # Added to covariances in units of the full value range: border pixels are constant.


def words(num, values) -> str:
  """What generators for `num` examples of so many values are fitted to."""
  what = 'the training split' if num <= MOST else f'{MOST:,} images spread over the training split'
  return what if values <= WIDTH else f'{WIDTH} principal components of {what}'


class _Space(NamedTuple):
  """Where a generator is fitted."""

  points: np.ndarray  # float64 [n, values], in units of the full value range
  chosen: np.ndarray  # which examples they are
  images: Callable[[np.ndarray], np.ndarray]  # points -> images of the shape and type of the others


def _space(train, seed, levels):
  """The examples that are fitted, in few dimensions."""
  from sklearn import decomposition  # seconds to import, for this alone

  train = np.asarray(train)
  levels = int(train.max()) + 1 if levels is None else levels
  chosen = subset.spread(len(train), MOST)
  points, back = train[chosen].reshape(len(chosen), -1).astype(np.float64), lambda part: part
  points /= levels - 1
  if points.shape[1] > WIDTH:
    width = min(WIDTH, len(points))
    fitted = decomposition.PCA(width, copy=False, svd_solver='randomized', random_state=seed)
    points, back = fitted.fit_transform(points), fitted.inverse_transform

  def images(samples):
    parts = []
    for rows in chunks.slices(len(samples), int(np.prod(train.shape[1:]))):
      values = np.clip(np.rint(back(samples[rows]) * (levels - 1)), 0, levels - 1)
      parts.append(values.astype(train.dtype).reshape(-1, *train.shape[1:]))
    return np.concatenate(parts)

  return _Space(points, chosen, images)


def smallest_class(labels) -> int:
  """How many examples of the rarest label are fitted."""
  return int(np.unique(labels[subset.spread(len(labels), MOST)], return_counts=True)[1].min())


def gaussian_mixture(train, num, *, components=COMPONENTS, seed=0, levels=None) -> np.ndarray:
  """`num` samples [num, ...] of a full-covariance Gaussian mixture fitted to train [n, ...].

  Rounded and clipped to 0..levels-1 (None: the largest training value + 1), in the dtype of train,
  shuffled. Deterministic in the seed. Raises ValueError for fewer examples than components.
  """
  from sklearn import mixture  # seconds to import, for this alone

  if len(train) < components:
    raise ValueError(f'{len(train)} examples cannot fit {components} components; lower components')
  space = _space(train, seed, levels)
  with threadpoolctl.threadpool_limits(1):  # Small products: threads would only wait.
    model = mixture.GaussianMixture(components, reg_covar=_RIDGE, random_state=seed).fit(
      space.points
    )
  samples = model.sample(num)[0]  # Sorted by component.
  order = np.random.default_rng(seed).permutation(num)
  return space.images(samples[order])


def class_gaussians(
  train, labels, num_per_label, *, seed=0, levels=None
) -> tuple[np.ndarray, np.ndarray]:
  """(samples [n, ...], labels int32 [n]) of one full-covariance Gaussian per label.

  num_per_label: an int, or one count per distinct label of what is fitted, in sorted order. All
  labels equal gives the single Gaussian. Rounded and clipped as in `gaussian_mixture`.
  """
  space = _space(train, seed, levels)
  labels = np.asarray(labels)[space.chosen]
  names = np.unique(labels)
  counts = np.broadcast_to(num_per_label, names.shape)
  rng = np.random.default_rng(seed)
  samples = []
  for name, count in zip(names, counts, strict=True):
    members = space.points[labels == name]
    if len(members) < 2:
      raise ValueError(f'label {name} has {len(members)} example; a Gaussian needs two or more')
    cov = np.cov(members.T) + _RIDGE * np.eye(members.shape[1])
    samples.append(rng.multivariate_normal(members.mean(0), cov, count, method='eigh'))
  return space.images(np.concatenate(samples)), np.repeat(names, counts).astype(np.int32)
