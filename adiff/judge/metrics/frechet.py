"""Fréchet distance between two sets of features, and the Inception Score formula."""

import numpy as np


def _root(cov):
  """The symmetric square root of a covariance."""
  values, vectors = np.linalg.eigh(cov)
  # Noise around a zero eigenvalue would grow to its square root: 1e-16 becomes 1e-8.
  values = np.where(values > len(values) * np.finfo(np.float64).eps * values[-1], values, 0)
  return (vectors * np.sqrt(values)) @ vectors.T


def gaussian_frechet(mean_a, cov_a, mean_b, cov_b) -> float:
  """Squared 2-Wasserstein distance of two Gaussians.

  |m_a - m_b|^2 + tr A + tr B - 2 tr (A^1/2 B A^1/2)^1/2 (Dowson and Landau 1982). The last trace
  is the sum of singular values of A^1/2 B^1/2, which stays real and exact for singular
  covariances. mean [F], cov [F, F], symmetric.
  """
  cross = np.linalg.svd(_root(cov_a) @ _root(cov_b), compute_uv=False).sum()
  squared = np.sum((mean_a - mean_b) ** 2) + np.trace(cov_a) + np.trace(cov_b) - 2 * cross
  return float(max(squared, 0.0))  # Rounding may leave -1e-15.


def moments(features) -> tuple[np.ndarray, np.ndarray]:
  """(mean [F], covariance [F, F]) of features [n, F], n >= 2."""
  return features.mean(0), np.atleast_2d(np.cov(features.T))


def frechet(a, b) -> float:
  """Fréchet distance of features a [n, F] and b [m, F] (Heusel et al. 2017, arXiv:1706.08500).

  The estimate is biased upwards for few samples: compare equal counts only. Raises ValueError for
  fewer than two samples or different widths.
  """
  a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
  if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
    raise ValueError(
      f'the Frechet distance compares features [n, F] and [m, F] with n, m >= 2, not '
      f'{list(a.shape)} and {list(b.shape)}; take both from one classifier'
    )
  return gaussian_frechet(*moments(a), *moments(b))


def inception_score(probabilities) -> float:
  """exp of the mean KL(p(y|x) || p(y)) of class probabilities [n, C]; between 1 and C.

  Salimans et al. 2016, arXiv:1606.03498, with whatever classifier gave the probabilities.
  """
  p = np.asarray(probabilities, np.float64)
  tiny = np.finfo(np.float64).tiny  # 0 log 0 = 0.
  divergence = p * (np.log(np.maximum(p, tiny)) - np.log(np.maximum(p.mean(0), tiny)))
  return float(np.exp(divergence.sum(1).mean()))
