"""A fixed number of tokens a step, read off the plan (MaskGIT, arXiv:2202.04200, section 3.2).

After a step to level s, floor(s B + 1/2) of the block's B tokens are masked. Known tokens are among
the B and revealed from the start, so they make the first steps idle, not the last ones crowded.
"""

import dataclasses
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np

from adiff.process import base as process_base
from adiff.sample.solvers import unmasking
from adiff.sequence import values


@dataclasses.dataclass(frozen=True)
class Scheduled(unmasking.Unmasking):
  """choose: which tokens are revealed, 'random' ones or those of the highest 'confidence', max_v
  p(v)."""

  choose: Annotated[str, values.one_of('random', 'confidence')] = 'random'

  def __post_init__(self):
    values.check_fields(self, 'solver')

  @property
  def sure(self):
    return self.choose == 'confidence'

  def reveals(self, levels, size):
    keep = np.floor(np.float32(levels[1:]) * np.float32(size) + np.float32(0.5)).astype(int)
    return -np.diff(np.minimum.accumulate([size, *keep[:-1], 0]))

  def select(self, key, probs, eligible, t, s):
    flying = s < t
    size = jnp.sum(flying, axis=1, keepdims=True)
    level = jnp.max(jnp.where(flying, s, 0), axis=1, keepdims=True)
    keep = jnp.floor(level * size.astype(s.dtype) + 0.5).astype(size.dtype)
    count = jnp.sum(eligible, axis=1, keepdims=True) - keep
    if self.choose == 'random':
      score = process_base.sampled(jax.random.uniform, key, eligible.shape)
    else:
      score = jnp.max(probs, axis=-1)
    return unmasking.first(score, eligible, count)
