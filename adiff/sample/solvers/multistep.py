r"""DPM-Solver++(2M): second order at one call a step (Lu et al. 2022, arXiv:2211.01095, algorithm
2).

x0_hat is extrapolated to the middle of the step in l = log(alpha / sigma): with h = l_s - l_t and
h' that of the step before, D = x0_t + h / (2 h') (x0_t - x0_before). A block's first step has
nothing before it and its last one ends at sigma = 0 (h infinite): both are of first order.
"""

import dataclasses

import jax.numpy as jnp

from adiff.sample.solvers import base, ode


@dataclasses.dataclass(frozen=True)
class Multistep(base.Solver):
  """Order 2, deterministic; remembers x0_hat and h of the last step."""

  def needs(self, parts):
    ode.needs_ode(self, parts.process)

  def init(self, x):
    return jnp.zeros_like(x), jnp.zeros_like(x[..., :1])

  def step(self, call, out, process, key, x, t, s, memory, narrow=base.uncut):
    before, h_before = memory
    x0 = process.estimate(out, x, t)
    (a_t, s_t), (a_s, s_s) = process.scales(t), process.scales(s)
    safe = (a_t > 1e-6) & (s_s > 1e-6) & (s < t)[..., None]
    ones = jnp.ones_like(a_t)
    a_t, s_t, a_s, s_s = (jnp.where(safe, scale, ones) for scale in (a_t, s_t, a_s, s_s))
    h = jnp.where(safe, jnp.log(a_s * s_t / (s_s * a_t)), 0)
    known = safe & (h_before > 0)
    ahead = jnp.where(known, h / (2 * jnp.where(known, h_before, 1)), 0)
    x = process.move(x, x0 + ahead * (x0 - before), t, s)
    return x, (x0, h)
