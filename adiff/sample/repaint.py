r"""Holes by resampling (RePaint, Lugmayr et al. 2022, arXiv:2201.09865, algorithm 1), for networks
that have learnt one level a block alone: then tokens cannot be shown clean beside noisy ones.

In every row of a plan, from level t to s, `1 + plan.resamples` times:

  x  <- the solver's step of all tokens, from t to s
  x  <- of given tokens, their data noised to s
  x  <- x noised from s to t, but for the last time

Its law is not that of `walk.sample` with given tokens, the conditional one. A round is a step of
Langevin dynamics at level s, whose law is that of the unknown tokens beside given ones at level s,
which know their own data no better than that level tells; so it tends to the conditional law as the
plan has more steps *and* each is made more often, for an exact denoiser. Without resampling, known
and unknown parts do not fit together. tests/sample/test_repaint.py has the law of every plan in
closed form where data are normal, and how far it is from the conditional one.
"""

import jax
import jax.numpy as jnp

from adiff.process import base as process_base
from adiff.sample import walk
from adiff.sample.solvers import base as solvers_base
from adiff.sequence import ask as ask_lib
from adiff.sequence import plan as plan_lib

_ROUND = 2  # what a token's key is folded with, behind that of its prior (walk.py)


def check(blocks, process) -> None:
  """Raises ValueError for what cannot be resampled."""
  if blocks.num_blocks > 1 or not process.has_ode:
    raise ValueError(
      f'resampling makes one block of floats, and these are {blocks.num_blocks} of '
      f'{"floats" if process.has_ode else "symbols"}; write resamples=0'
    )


def sample(
  denoise: ask_lib.Denoise, keys, plan: plan_lib.Plan, given, given_mask, *,
  blocks, process, solver, coords,
) -> jax.Array:
  """x0 [B, N, D], given tokens among them as they are; arguments as of walk.sample."""
  check(blocks, process)
  x, _ = walk.initial(keys, blocks, process, given, start=plan.start)
  keys, slots = walk.token_keys(keys, 0, blocks.num_tokens), blocks.token_slots(coords)
  fixed = walk.Fixed(blocks, process, solver, solvers_base.uncut)
  rounds = 1 + plan.resamples

  def take_round(x, now):
    row, index = now
    t, s = walk.levels(row, keys)
    flight = walk.Flight(x, solver.init(x))  # what a solver remembers was before the noise

    def call(y, t, s):
      view = walk.in_flight(fixed, flight, row, None, y, t, s)
      return denoise(walk.make_ask(blocks, None, view, slots)).out

    out = call(x, t, solver.ahead(x, t, s))
    own = walk.fold(walk.fold(keys, _ROUND + index), row.index)
    x = walk.step(fixed, flight, row, None, own, out, call).x
    key_known, key_again = process_base.split(walk.fold(own, 1))
    x = jnp.where(given_mask[..., None], process.add_noise(key_known, given, s), x)
    again = index + 1 < rounds
    return jnp.where(again, noised(process, key_again, x, s, t), x), None

  def take_row(x, row):
    rows = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (rounds, *leaf.shape)), row)
    x, _ = jax.lax.scan(take_round, x, (rows, jnp.arange(rounds)))
    return x, None

  matrix = blocks.per_token(jnp.asarray(plan.matrix, float))
  x, _ = jax.lax.scan(
    take_row, x, walk.Row(matrix[:-1], matrix[1:], blocks.per_token(plan.index))
  )
  return jnp.where(given_mask[..., None], given, x)


def noised(process, key, x, s, t) -> jax.Array:
  """x at level s, noised on to a higher level t [B, N]: q(x_t | x_s)."""
  (a_s, s_s), (a_t, s_t) = process.scales(s), process.scales(t)
  ratio = a_t / a_s
  fresh = jnp.sqrt(jnp.maximum(s_t**2 - (ratio * s_s) ** 2, 0))
  return ratio * x + fresh * process_base.sampled(jax.random.normal, key, x.shape)
