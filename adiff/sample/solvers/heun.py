r"""Heun's second-order method, two calls a step (Karras et al. 2022, arXiv:2206.00364, algorithm
1).

The probability-flow ODE, dx/dt = alpha' x0_hat + sigma' eps_hat, by the trapezoid rule in t:
Euler's step, and the mean of the velocities at both its ends. A token's last step, to sigma = 0, is
Euler's in sigma / alpha, as it is there: it ends at x0_hat, without noise left, and asks once.
"""

import dataclasses

import jax
import jax.numpy as jnp

from adiff.sample.solvers import base, ode
from adiff.sequence import turns


@dataclasses.dataclass(frozen=True)
class Heun(base.Solver):
  """Order 2, deterministic."""

  calls = 2

  def needs(self, parts):
    ode.needs_ode(self, parts.process)

  def asks(self, s, runs=()):
    return jnp.where(s > 0, 2, 1).astype(jnp.int32)

  def init(self, x):
    return ()

  def step(self, call, out, process, key, x, t, s, memory, narrow=base.uncut):
    between = (s > 0) & (s < t)
    ahead = jnp.where(between, s - t, 0)[..., None]
    first = process.estimate(out, x, t)
    # Where a token makes its last step or none, levels at which its velocity is finite.
    start, end = jnp.where(between, t, 1), jnp.where(between, s, 1)
    slope = process.velocity(x, first, start)
    guess = jnp.where(between[..., None], x + ahead * slope, process.move(x, first, t, s))

    def corrected(guess):
      second = process.estimate(call(guess, s, s), guess, s)
      both = slope + process.velocity(guess, second, end)
      return jnp.where(between[..., None], x + ahead / 2 * both, guess)

    with turns.branch('second'):
      return jax.lax.cond(jnp.any(between), corrected, lambda guess: guess, guess), memory
