"""Variety: how many different pictures, and of which classes, are made?"""

import numpy as np

MOST = 2_000  # features of a set
CLOSE = 1e-3  # share of pairs of real pictures that are called close


def class_entropy(classes, num) -> float:
  """Entropy in nats of the shares of classes 0..num-1 among int [n]: log num where all are equally
  frequent, 0 where there is one."""
  shares = np.bincount(classes, minlength=num) / len(classes)
  shares = shares[shares > 0]
  return float(-(shares * np.log(shares)).sum()) + 0.0


def support(real, fake) -> float | None:
  """How many different examples there are among samples, as a share of those among real ones: 1
  where they are as varied, 1/4 where two samples are close four times as often; None where no two
  are.

  The birthday test of Arora and Zhang (2017, arXiv:1706.08224): of n draws from M equally frequent
  examples n^2 / 2M pairs are equal. Close is what a thousandth of the pairs of real features are;
  features real [n, F] and fake [m, F], at most MOST of each, the first ones. Raises ValueError for
  fewer than two of a set.
  """
  from scipy.spatial import distance  # half a second to import, for this alone

  if min(len(real), len(fake)) < 2:
    raise ValueError(
      f'{len(real)} real and {len(fake)} made features have no pairs; give two or more of each'
    )
  pairs = [distance.pdist(np.asarray(one[:MOST], np.float64)) for one in (real, fake)]
  close = np.quantile(pairs[0], CLOSE, method='inverted_cdf')
  theirs, ours = (np.mean(one <= close) for one in pairs)
  return float(theirs / ours) if ours else None
