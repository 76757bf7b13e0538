r"""The density of floats by the probability-flow ODE (Song et al. 2021, arXiv:2011.13456, eq. 39).

Along dx/dt = v(x, t) the density changes by d log p / dt = -div v, so from t_0, nearly clean, to
noise

  log p(x at t_0) = log N(x at 1; 0, sigma(1)^2) + int_{t_0}^1 div v dt.

The divergence is Hutchinson's estimate with random signs (Grathwohl et al. 2019, arXiv:1810.01367,
eq. 7). Blocks follow the chain rule, each given the clean ones before it; one walk serves them all,
since no block's velocity depends on another's noise. What is measured is the law that the
deterministic sampler makes where it clips no estimate (process.clip=0): no bound, but of another
law than the chain's.

*Dequantisation*, stated: continuous x0 is taken at x = alpha x0 without noise, so the density is
that of the data widened by sigma / alpha at t_0. Values on a lattice are taken with the noise of
t_0 and read off as `process.reading` says, as in the bound: an upper bound on the nats of the
lattice point (Zheng et al. 2023, arXiv:2305.03935, dequantise so, with a truncated normal).
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from adiff.sequence import ask as ask_lib


def needs(parts: Any) -> None:
  """Raises ValueError where config.eval.ode asks for an ODE that the process has not."""
  if parts.config.eval.ode and not parts.process.has_ode:
    raise ValueError(
      f'config.eval.ode={parts.config.eval.ode} follows the probability-flow ODE of gaussian '
      'noise, and this process has none; write eval.ode=0'
    )


def nats(denoise: ask_lib.Denoise, key, x0, *, blocks, process, coords, steps) -> jax.Array:
  """-log p(block | clean blocks before it) [B, K] of floats x0 [B, N, D], unbiased but for the
  error of the solver: Heun's method in `steps` steps, two calls and their gradients each."""
  blocks = dataclasses.replace(blocks, history=0.0)
  slots, shape = blocks.slots(coords), x0.shape[:2]
  key_noise, key_signs = jax.random.split(key)
  signs = jax.random.rademacher(key_signs, x0.shape, x0.dtype)

  def moved(x, level):
    """(v, div v of every block [B, K]); a vector times the Jacobian, which every kernel has."""
    def velocity(x):
      t = jnp.full(shape, level, x.dtype)
      asked, told = blocks.pack(x, x0, t)
      out = blocks.unpack(denoise(ask_lib.Ask(asked, told, slots)).out)
      return process.velocity(x, process.x0_hat(out, x, t), t)

    v, pull = jax.vjp(velocity, x)
    (turned,) = pull(signs)
    return v, blocks.sum_per_block(jnp.sum(signs * turned, axis=-1))

  def step(carry, ends):
    (x, total), (t, s) = carry, ends
    v, grown = moved(x, t)
    v_end, grown_end = moved(x + (s - t) * v, s)
    return (x + (s - t) / 2 * (v + v_end), total + (s - t) / 2 * (grown + grown_end)), None

  levels = jnp.append(process.levels(steps), 1.0).astype(x0.dtype)
  first = jnp.full(shape, levels[0], x0.dtype)
  x, read = _taken(key_noise, x0, first, process)
  zeros = jnp.zeros((len(x0), blocks.num_blocks), x0.dtype)
  (x, grown), _ = jax.lax.scan(step, (x, zeros), (levels[:-1], levels[1:]))
  _, sigma = process.scales(jnp.ones_like(first))
  log_prior = jnp.sum(jax.scipy.stats.norm.logpdf(x, scale=sigma), axis=-1)
  return blocks.sum_per_block(read - log_prior) - grown


def _taken(key, x0, t, process):
  """(x at level t, nats [B, N] to read x0 off it, less those of the noise in it)."""
  alpha, sigma = process.scales(t)
  if process.bin is None:
    return alpha * x0, -jnp.sum(jnp.log(alpha) * jnp.ones_like(x0), axis=-1)
  noise = jax.random.normal(key, x0.shape, x0.dtype)
  x = alpha * x0 + sigma * noise
  log_noise = jnp.sum(jax.scipy.stats.norm.logpdf(noise) - jnp.log(sigma), axis=-1)
  return x, process.reading(x0, x, t) + log_noise
