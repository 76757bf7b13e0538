"""Which examples of a split are looked at where not all of them are.

Splits are often sorted, by class or by time, so that their first ones say little of the rest. Who
looks at N examples of a split asks here, whoever it is: the bound, profiles, tests and pictures.
"""

import numpy as np

SEED = 0  # not the config's: runs that are compared look at the same examples


def spread(size, num) -> np.ndarray:
  """int64 [min(size, num)]: different indices of a split of `size` examples, sorted.

  One at random in each of `num` equal stretches, so that a sorted split is covered from end to end
  and a periodic one is not met in step; the same ones at every call. All where num >= size.
  """
  if num >= size:
    return np.arange(size)
  edges = np.arange(num + 1) * size // max(num, 1)
  return np.random.default_rng(SEED).integers(edges[:-1], edges[1:])
