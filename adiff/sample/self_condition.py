"""Self-conditioning: beside noisy tokens the network is shown its last estimate, with any solver
(Chen et al. 2023, arXiv:2208.04202, section 2.3)."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adiff.nn import network
from adiff.sample.solvers import base


class Memory(NamedTuple):
  """What is remembered of every token."""

  inner: Any  # the inner solver's memory
  estimate: jax.Array  # [B, n, C] x0_hat of the token's last step; 0 before the first


@dataclasses.dataclass(frozen=True)
class SelfCondition(base.Solver):
  """`inner`, and the network is shown the last x0_hat of `num_hints` features; 0 where a token is
  not in flight.

  The estimate is the network's own, as in training, also where the law that is drawn from is cut:
  in the paper's algorithms 1 and 2 what comes back is what the network said.
  """

  inner: base.Solver
  num_hints: int

  @property
  def calls(self):
    return self.inner.calls

  def asks(self, s, runs=()):
    return self.inner.asks(s, runs)

  @property
  def adaptive(self):
    return self.inner.adaptive

  def needs(self, parts):
    self.inner.needs(parts)

  @property
  def as_process(self):
    return self.inner.as_process

  @property
  def renoises(self):
    return self.inner.renoises

  def level(self, process, x, t, s):
    return self.inner.level(process, x, t, s)

  def ahead(self, x, level, s):
    return self.inner.ahead(x, level, s)

  def finished(self, process, x):
    return self.inner.finished(process, x)

  def begun(self, x, keys):
    return self.init(x)._replace(inner=self.inner.begun(x, keys))

  def init(self, x):
    return Memory(self.inner.init(x), jnp.zeros((*x.shape[:2], self.num_hints), float))

  def shown(self, memory, t, s):
    return {network.ESTIMATE: jnp.where((s < t)[..., None], memory.estimate, 0)}

  def step(self, call, out, process, key, x, t, s, memory, narrow=base.uncut):
    estimate = process.x0_hat(out, x, self.level(process, x, t, s))
    estimate = estimate.astype(memory.estimate.dtype)
    estimate = jnp.where((s < t)[..., None], estimate, memory.estimate)
    x, inner = self.inner.step(call, out, process, key, x, t, s, memory.inner, narrow)
    return x, Memory(inner, estimate)
