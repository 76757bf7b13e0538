"""Trivial generators that a model has to beat: print them beside every score."""

import numpy as np
import threadpoolctl

_RIDGE = 4e-4  # Added to covariances in units of the full value range: border pixels are constant.


def _unit(train, levels):
  """The examples, flat and scaled to [0, 1], and the number of their levels."""
  train = np.asarray(train)
  levels = int(train.max()) + 1 if levels is None else levels
  return train.reshape(len(train), -1) / (levels - 1), levels


def _images(flat, like, levels):
  """Inverse of `_unit`: whole numbers of the shape and the type of `like`."""
  values = np.clip(np.rint(flat * (levels - 1)), 0, levels - 1)
  return values.astype(np.asarray(like).dtype).reshape(-1, *np.shape(like)[1:])


def gaussian_mixture(train, num, *, components=40, seed=0, levels=None) -> np.ndarray:
  """`num` samples [num, ...] of a full-covariance Gaussian mixture fitted to train [n, ...].

  Rounded and clipped to 0..levels-1 (None: the largest training value + 1), in the dtype of train,
  shuffled. Deterministic in the seed. Raises ValueError for fewer examples than components.
  """
  from sklearn import mixture  # seconds to import, for this alone

  if len(train) < components:
    raise ValueError(f'{len(train)} examples cannot fit {components} components; lower components')
  flat, levels = _unit(train, levels)
  with threadpoolctl.threadpool_limits(1):  # Small products: threads would only wait.
    model = mixture.GaussianMixture(components, reg_covar=_RIDGE, random_state=seed).fit(flat)
  samples = model.sample(num)[0]  # Sorted by component.
  order = np.random.default_rng(seed).permutation(num)
  return _images(samples[order], train, levels)


def class_gaussians(
  train, labels, num_per_label, *, seed=0, levels=None
) -> tuple[np.ndarray, np.ndarray]:
  """(samples [n, ...], labels int32 [n]) of one full-covariance Gaussian per label.

  num_per_label: an int, or one count per distinct label in sorted order. All labels equal gives
  the single Gaussian. Rounded and clipped as in `gaussian_mixture`.
  """
  flat, levels = _unit(train, levels)
  names = np.unique(labels)
  counts = np.broadcast_to(num_per_label, names.shape)
  rng = np.random.default_rng(seed)
  samples = []
  for name, count in zip(names, counts, strict=True):
    members = flat[np.asarray(labels) == name]
    if len(members) < 2:
      raise ValueError(f'label {name} has {len(members)} example; a Gaussian needs two or more')
    cov = np.cov(members.T) + _RIDGE * np.eye(flat.shape[1])
    samples.append(rng.multivariate_normal(members.mean(0), cov, count, method='eigh'))
  return _images(np.concatenate(samples), train, levels), np.repeat(names, counts).astype(np.int32)
