r"""Multistep consistency sampling (Song et al. 2023, arXiv:2303.01469, algorithm 1): to the end of
the path in one call, then fresh noise up to the next level.

  x0 = x0_hat(network(x_t, t, 0)),    x_s = alpha(s) x0 + sigma(s) z,    z ~ N(0, 1)

A network that is told t alone is asked as the denoiser that it was: recipe consistency then makes
x0_hat the end of the path.
"""

import dataclasses

import jax.numpy as jnp

from adiff.process import base as process_base
from adiff.sample.solvers import base, ode


@dataclasses.dataclass(frozen=True)
class Consistency(base.Solver):
  """One call a step; what noise a step adds is a function of (example, token, step)."""

  renoises = True

  def needs(self, parts):
    ode.needs_ode(self, parts.process)

  def ahead(self, x, level, s):
    return jnp.zeros_like(level)

  def init(self, x):
    return ()

  def step(self, call, out, process: process_base.Process, key, x, t, s, memory, narrow=base.uncut):
    noised = process.add_noise(key, process.estimate(out, x, t), s)
    return jnp.where((s == t)[..., None], x, noised), memory
