"""Tokens of which the network is sure, at least one a call (Fast-dLLM, arXiv:2505.22618, section
3.3).

Confidence is max_v p(v): a function of the distribution, and of the network's own one, whatever is
cut from what symbols are drawn from. That of the drawn symbol would favour tokens that happened to
draw a likely one, and change the law even at one token a call.
"""

import dataclasses

import jax.numpy as jnp

from adiff.sample.solvers import unmasking
from adiff.sequence import values


@dataclasses.dataclass(frozen=True)
class Threshold(unmasking.Unmasking):
  """Reveals every token with a confidence above `threshold`; 1.0: one a call, of the exact law.

  edit: None, or the probability above which another symbol replaces one that was revealed earlier
  in the block in flight (LLaDA2.1's token editing), until the block's last token is revealed; the
  law of samples is then another.
  """

  threshold: values.Share = 0.9
  edit: values.Share | None = None

  def __post_init__(self):
    values.check_fields(self, 'solver')

  def select(self, key, probs, eligible, t, s):
    confidence = jnp.max(probs, axis=-1)
    return (confidence > self.threshold) | unmasking.first(confidence, eligible)

  def rewrite(self, probs, x):
    if self.edit is None:
      return x
    sure = jnp.max(probs, axis=-1) > self.edit
    return jnp.where(sure, jnp.argmax(probs, axis=-1).astype(x.dtype), x)
