"""One token a call, chosen uniformly at random: the exact law of continuous-time unmasking.

Between two reveals of the ancestral walk nothing changes, so only the reveals need a call; which
masked token is next is uniform, and its time is of no use to a network that is told the share of
masked tokens (first-hitting sampler, Zheng et al. 2024, arXiv:2409.02908; BD3-LM, arXiv:2503.09573,
section 3.2).
"""

import dataclasses

import jax
import numpy as np

from adiff.process import base as process_base
from adiff.sample.solvers import unmasking


@dataclasses.dataclass(frozen=True)
class FirstHitting(unmasking.Unmasking):
  """As many steps as a block has masked tokens; where the plan has fewer, its last step reveals the
  rest at once."""

  sure = False

  def reveals(self, levels, size):
    left = np.maximum(size - np.arange(len(levels)), 0)
    return -np.diff([*left[:-1], 0])

  def select(self, key, probs, eligible, t, s):
    return unmasking.first(process_base.sampled(jax.random.uniform, key, eligible.shape), eligible)
