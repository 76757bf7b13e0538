r"""Importance-weighted bounds: how likely x0 is to a model that makes it along many paths.

A path leads from noise to data: an order in which the masked tokens of a block are revealed (ARDM,
arXiv:2110.02037), or a trajectory of the gaussian chain (DDPM, arXiv:2006.11239). The model's
p(x0) is the mean over random paths q of the weight p(x0, path) / q(path | x0), so

  -log p(x0) <= E[-log 1/n sum_{i <= n} w_i]      Burda et al. 2016 (arXiv:1509.00519), eq. 8

which falls with n to -log p(x0), theorem 1; n = 1 is the usual bound, of floats that of a chain of
so many steps. Each block is given the clean ones before it, and has paths of its own.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adiff.judge import likelihood
from adiff.process import absorbing
from adiff.process import base as process_base
from adiff.sequence import ask as ask_lib


def needs(parts: Any, orders: int | None = None) -> None:
  """Raises ValueError where the model has not as many paths; orders: None, config.eval.orders."""
  orders, process = parts.config.eval.orders if orders is None else orders, parts.process
  if orders <= 1:
    return
  if orders & (orders - 1):
    raise ValueError(f'orders={orders} must be a power of two: groups of paths are nested')
  if not (process.absorbing or process.has_ode) or process.by_law or parts.spec.by_kind:
    raise ValueError(
      f'orders={orders} weights orders of masked tokens or trajectories of gaussian noise, of one '
      'kind of tokens, and this process has neither; leave orders at 0 or 1'
    )
  if likelihood.is_exact(parts.blocks, process, parts.reveals):
    raise ValueError(
      f'orders={orders}: every block is revealed in one call, so that the likelihood is exact '
      'already; leave orders at 0 or 1'
    )


def nats(
  denoise: ask_lib.Denoise, key, x0, *, blocks, process, coords, steps, known=None, documents=None
) -> jax.Array:
  """-log of the weight of one random path a block [B, K]; arguments as in `likelihood.bound`.

  steps: of a trajectory, each a call of the network; an order has as many as its block has tokens.
  """
  how = dict(blocks=blocks, process=process, coords=coords)
  if process.absorbing:
    return by_order(denoise, key, x0, known=known, documents=documents, **how)
  if known is not None or documents is not None:
    raise ValueError('trajectories have no known tokens and no documents; pass whole examples')
  return by_trajectory(denoise, key, x0, steps=steps, **how)


def by_trajectory(
  denoise: ask_lib.Denoise, key, x0, *, blocks, process, coords, steps
) -> jax.Array:
  """-log p(trajectory, block | history) + log q(trajectory | block) [B, K] of floats x0 [B, N, D],
  for one trajectory of `steps` steps, by as many calls.

  The chain runs down `process.levels`, as ancestral sampling does: p(xs | xt) is q(xs | xt, x0) at
  x0_hat instead of x0. So a step of q with fresh noise n costs

    1/2 g^2 e^2 + g n e,  g^2 = SNR(s) - SNR(t), e = x0 - x0_hat

  whose mean is a term of VDM's loss in discrete time (arXiv:2107.00630). The ends are those of the
  bound: N(0, 1), and `process.reading`.
  """
  blocks = dataclasses.replace(blocks, history=0.0)
  slots, shape = blocks.slots(coords), x0.shape[:2]
  levels = process.levels(steps + 1)[::-1]
  alpha, sigma = (scale[:, 0].astype(x0.dtype) for scale in process.scales(levels))
  snr = (alpha / sigma) ** 2
  keep = jnp.sqrt(snr[:-1] / snr[1:])  # of eps, from a level to the next one

  def step(carry, now):
    (eps, total), (key, t, alpha, sigma, gap, keep) = carry, now
    t = jnp.full(shape, t, x0.dtype)
    xt = alpha * x0 + sigma * eps
    asked, told = blocks.pack(xt, x0, t)
    out = blocks.unpack(denoise(ask_lib.Ask(asked, told, slots)).out)
    error = x0 - process.x0_hat(out, xt, t)
    noise = jax.random.normal(key, x0.shape, x0.dtype)
    nats = jnp.sum(gap**2 / 2 * error**2 + gap * noise * error, axis=-1)
    eps = keep * eps + jnp.sqrt(1 - keep**2) * noise
    return (eps, total + blocks.sum_per_block(nats)), None

  key_end, key_walk = jax.random.split(key)
  eps = jax.random.normal(key_end, x0.shape, x0.dtype)
  end = (alpha[0] * x0 + sigma[0] * eps) ** 2 / 2 - eps**2 / 2 - jnp.log(sigma[0])
  (eps, total), _ = jax.lax.scan(
    step, (eps, blocks.sum_per_block(jnp.sum(end, axis=-1))),
    (jax.random.split(key_walk, steps), levels[:-1], alpha[:-1], sigma[:-1],
     jnp.sqrt(snr[1:] - snr[:-1]), keep),
  )
  t = jnp.full(shape, levels[-1], x0.dtype)
  read = process.reading(x0, alpha[-1] * x0 + sigma[-1] * eps, t)
  return total + blocks.sum_per_block(read)


def by_order(
  denoise: ask_lib.Denoise, key, x0, *, blocks, process, coords, known=None, documents=None
) -> jax.Array:
  """-log p(block | history, order) [B, K] under absorbing noise, for one random order of every
  block's tokens, by one call a token of the largest block; arguments as in `nats`.

  exp(-nats) is an unbiased estimate of the block's probability (ARDM, arXiv:2110.02037, eq. 2).
  """
  blocks = dataclasses.replace(blocks, history=0.0)
  free = jnp.ones(x0.shape, bool) if known is None else ~known
  rank = absorbing.ranks(key, free, blocks)
  sizes = jnp.asarray(blocks.sizes, jnp.float32)
  slots = blocks.slots(coords, **(documents or {}))

  def reveal(total, place):
    hidden = (free & (rank >= place)) | (x0 == process.mask_id)
    xt = jnp.where(hidden, process.mask_id, x0)
    level = blocks.per_token(blocks.sum_per_block(hidden.astype(jnp.float32)) / sizes[None])
    x, t = blocks.pack(xt, x0, level)
    out, _ = denoise(ask_lib.Ask(x, t, slots))
    nats = process_base.cross_entropy(blocks.unpack(out), x0)
    return total + blocks.sum_per_block(jnp.where(free & (rank == place), nats, 0)), None

  zeros = jnp.zeros((len(x0), blocks.num_blocks), jnp.float32)
  return jax.lax.scan(reveal, zeros, jnp.arange(max(blocks.sizes)))[0]


def importance(nats) -> dict[int, np.ndarray]:
  """{number of paths: bound [n]} from `nats` [n, paths, K], paths a power of two.

  -log mean exp(-nats) over a group of paths is an upper bound on -log p, and the mean over groups
  of 2 k never lies above that over groups of k (Burda et al. 2016, arXiv:1509.00519, theorem 1).
  """
  nats = np.asarray(nats, np.float64)
  num = nats.shape[1]
  if num & (num - 1):
    raise ValueError(f'{num} paths do not form nested groups; take 1, 2, 4, 8, ...')
  bounds, log_p, size = {}, -nats, 1
  while True:
    bounds[size] = -log_p.mean(1).sum(-1)
    if log_p.shape[1] == 1:
      return bounds
    log_p = np.logaddexp(log_p[:, 0::2], log_p[:, 1::2]) - np.log(2)
    size *= 2


def summary(nats, *, dims) -> dict:
  """A report of nats [n, paths, K]: likelihood.total of the bound of all paths, and `rows` {paths,
  nats, ci95} of their nested groups. `gain` of a row is what the bound fell by from the row above,
  over the same paths."""
  rows, before = [], None
  for size, bound in importance(nats).items():
    mean, half = likelihood.interval(bound)
    row = {'paths': size, 'nats': float(mean), 'ci95': float(half)}
    if before is not None:
      gain, gain_half = likelihood.interval(before - bound)
      row |= {'gain': float(gain), 'gain_ci95': float(gain_half)}
    rows.append(row)
    before = bound
  return {**likelihood.total(before, dims=dims), 'paths': size, 'rows': rows}
