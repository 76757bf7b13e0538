"""Masked noise on vectors of floats: a token is known or it is not (MAR, arXiv:2406.11838).

A hidden token is nan. What it may be is not said by a few numbers, as symbols are by logits, but by
a head that is a law by itself (nn/heads/diffusion.py). Of that head `out` is, where tokens are
compared with it, what each costs [B, N]; and where they are sampled, the law: (key, wanted) -> x0.
The head's own small steps, from noise to a token, are those of gaussian noise, `small`.
"""

import dataclasses
import functools
from typing import Annotated

import jax.numpy as jnp

from adiff.process import absorbing, gaussian
from adiff.sequence import values


@dataclasses.dataclass(frozen=True)
class MaskedVectors(absorbing.Absorbing):
  """Masking of tokens of `dim` floats; all but `dim` are of the small steps, see Gaussian."""

  dim: int
  schedule: Annotated[str, values.one_of(*gaussian.SCHEDULES)] = 'cosine'
  prediction: Annotated[str, values.one_of(*gaussian.PREDICTIONS)] = 'v'
  eta: values.Share = 1.0
  temperature: values.NotNegative = 1.0
  clip: values.NotNegative = 1.0
  bin: values.Positive | None = None
  log_snr: tuple[gaussian.LogSnr, gaussian.LogSnr] = (-10.0, 9.0)

  discrete = False
  by_law = True

  def __post_init__(self):
    values.check_fields(self, 'process')
    assert self.small

  @functools.cached_property
  def small(self) -> gaussian.Gaussian:
    """The noise of the head's small steps."""
    return gaussian.Gaussian(**dataclasses.asdict(self))

  @property
  def num_inputs(self) -> int:
    return self.dim + 1  # and whether it is known

  @property
  def num_outputs(self) -> int:
    return self.dim

  def masks(self, shape):
    return jnp.full((*shape, self.dim), jnp.nan)

  def hidden(self, x):
    return jnp.any(jnp.isnan(x), axis=-1)

  def nats(self, out, x0):
    return out

  def sample(self, key, out, wanted):
    return out(key, wanted)

  def x0_hat(self, out, xt, t):
    raise ValueError('process masked_vectors has a law of hidden tokens, and no estimate of them')
