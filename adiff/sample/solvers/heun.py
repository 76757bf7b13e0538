r"""Heun's second-order method, two calls a step (Karras et al. 2022, arXiv:2206.00364, algorithm
1).

The probability-flow ODE is solved exactly but for x0_hat (DPM-Solver++, arXiv:2211.01095, eq. 8);
with rho = alpha/sigma,

  x_s = sigma_s / sigma_t x_t + sigma_s int x0_hat d rho.

The trapezoid rule in rho replaces x0_hat by the mean of its values at both ends; that has no
singular end: at alpha = 0 and at sigma = 0 the step is finite.
"""

import dataclasses

from adiff.sample.solvers import base


@dataclasses.dataclass(frozen=True)
class Heun(base.Solver):
  """Order 2, deterministic."""

  calls = 2

  def needs(self, parts):
    base.needs_ode(self, parts.process)

  def init(self, x):
    return ()

  def step(self, call, out, process, key, x, t, s, memory, narrow=base.uncut):
    first = process.estimate(out, x, t)
    guess = process.move(x, first, t, s)
    second = process.estimate(call(guess, s, s), guess, s)
    return process.move(x, (first + second) / 2, t, s), memory
