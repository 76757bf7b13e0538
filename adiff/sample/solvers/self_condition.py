"""Self-conditioning: beside noisy tokens the network is shown its last estimate, with any solver
(Chen et al. 2023, arXiv:2208.04202, section 2.3)."""

import dataclasses

import jax.numpy as jnp

from adiff.sample.solvers import base
from adiff.sequence import blocks as blocks_lib


@dataclasses.dataclass(frozen=True)
class SelfCondition(base.Solver):
  """`inner`, which remembers x0_hat [.., num_hints] of a token's last step; 0 before the first and
  where a token is not in flight."""

  inner: base.Solver
  num_hints: int

  @property
  def calls(self):
    return self.inner.calls

  @property
  def adaptive(self):
    return self.inner.adaptive

  def check(self, process):
    self.inner.check(process)

  def level(self, process, x, t, s):
    return self.inner.level(process, x, t, s)

  def finished(self, process, x):
    return self.inner.finished(process, x)

  def init(self, x):
    return self.inner.init(x), jnp.zeros((*x.shape[:2], self.num_hints), float)

  def shown(self, x, carry, t, s):
    return blocks_lib.Hinted(x, jnp.where((s < t)[..., None], carry[1], 0))

  def step(self, denoise, out, process, key, x, t, s, carry):
    estimate = process.x0_hat(out, x, self.level(process, x, t, s)).astype(carry[1].dtype)
    hint = jnp.where((s < t)[..., None], estimate, carry[1])
    x, inner = self.inner.step(denoise, out, process, key, x, t, s, carry[0])
    return x, (inner, hint)
