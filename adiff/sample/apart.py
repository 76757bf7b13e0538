"""Every block by itself, all of them at once: each behind the same finished past, whatever the
others become.

With a walk's own sample as the past this is that walk. So it says what a block becomes in fewer
steps at the same noise and behind the same past: what these steps alone do to it.
"""

import dataclasses

import jax
import jax.numpy as jnp

from adiff.nn import network as network_lib
from adiff.sample import walk
from adiff.sample.solvers import base as solvers_base
from adiff.sequence import ask as ask_lib
from adiff.sequence import tokens as tokens_lib
from adiff.sequence import turns


def sample(
  denoise: ask_lib.Denoise, keys, levels, num_steps, past, *, blocks, process, solver, coords,
  hints=None,
) -> jax.Array:
  """x0 [B, N, ..]: every block after `num_steps` steps, as walk.sample makes them one by one.

  keys [B], one an example; levels [T + 1] from 1 on, of every block, of which num_steps (int32 [],
  at most T) are gone down; past [B, N, ..] what blocks read of those before them.
  """
  fixed = walk.Fixed(blocks, process, solver, solvers_base.uncut)
  x, _ = walk.initial(keys, blocks, process)
  keys = walk.token_keys(keys, 0, blocks.num_tokens)
  seen = walk.finished(fixed, keys, past)
  slots = _slots(blocks, coords)
  told = network_lib.hinted(denoise, hints, past)

  def take(index, flight):
    row = walk.Row(*(
      jnp.broadcast_to(value, blocks.num_tokens)
      for value in (levels[index], levels[index + 1], index)
    ))

    def call(y, t, s):
      view = walk.in_flight(fixed, flight, row, None, y, t, s)
      view = jax.tree.map(tokens_lib.join, seen, view, is_leaf=tokens_lib.is_tokens)
      out = told(ask_lib.Ask(view.x, view.t, slots, view.s, view.hint)).out
      return out[:, -blocks.num_tokens:]

    t, s = walk.levels(row, keys)
    level = solver.level(process, flight.x, t, s)
    out = told.head.law(call(flight.x, level, solver.ahead(flight.x, level, s)))
    return walk.step(fixed, flight, row, None, keys, out, call)

  with turns.loop('steps', len(levels) - 1):
    return jax.lax.fori_loop(0, num_steps, take, walk.Flight(x, solver.init(x))).x


def errors(denoise, keys, levels, num_steps, reference, *, blocks, **how) -> jax.Array:
  """[K]: squared distance of every block after `num_steps` steps from the `reference` [B, N, D]
  that it is made behind, summed over its values and averaged over examples."""
  x = sample(denoise, keys, levels, num_steps, reference, blocks=blocks, **how)
  return jnp.mean(blocks.sum_per_block(jnp.sum((x - reference) ** 2, -1)), axis=0)


def _slots(blocks, coords):
  """Slots [2 N]: the finished past, which is read, and behind it the working copy."""
  work = dataclasses.replace(blocks, causal=False).token_slots(coords)
  past = blocks.token_slots(coords)
  past = past._replace(stream=jnp.ones_like(past.stream), readable=past.readable)
  work = work._replace(readable=jnp.zeros_like(work.readable))
  return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), past, work)
