"""Kernel distance (KID): like the Fréchet distance, without bias for few samples.

Bińkowski et al. 2018, arXiv:1801.01401: the squared maximum mean discrepancy of two sets of
features [n, F] and [m, F] under the kernel (x y / F + 1)^3.
"""

import numpy as np

MOST = 2_000  # features of a set


def distance(real, fake) -> float:
  """The unbiased estimate, which may be below zero; of at most MOST features of each set, its first
  ones. Raises ValueError for fewer than two of a set, or features of two widths."""
  real, fake = (np.asarray(one, np.float64)[:MOST] for one in (real, fake))
  if real.ndim != 2 or fake.shape[1:] != real.shape[1:] or min(len(real), len(fake)) < 2:
    raise ValueError(
      f'the kernel distance compares features [n, F] and [m, F] with n, m >= 2, not '
      f'{list(real.shape)} and {list(fake.shape)}; take both from one network'
    )
  inside = [
    (kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1))
    for kernel in (_kernel(real, real), _kernel(fake, fake))
  ]
  return float(sum(inside) - 2 * _kernel(real, fake).mean())


def _kernel(a, b):
  return (a @ b.T / a.shape[1] + 1) ** 3
