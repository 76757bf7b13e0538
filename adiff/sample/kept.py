"""The walk of a solver that keeps what its block was before each step, as it is defined: in every
row the network is asked about all these states, for its answer about the last one. cached.py
computes the last one alone, against the keys of those before, and is equal.
"""

import jax
import jax.numpy as jnp

from adiff.sample import walk
from adiff.sample.solvers import base as solvers_base
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import plan as plan_lib
from adiff.sequence import states


def check(blocks: blocks_lib.Blocks, process) -> None:
  """Raises ValueError for what has no states of one block."""
  if blocks.num_blocks > 1 or process.discrete:
    raise ValueError(
      'a solver that keeps states makes one block of floats; write blocks.name=whole and '
      'process.name=gaussian, or another solver'
    )


def rows(
  denoise: ask_lib.Denoise, keys, plan: plan_lib.Plan, *, blocks, process, solver, coords
) -> jax.Array:
  """x [R, B, N, D] after every row; arguments as of walk.sample."""
  check(blocks, process)
  flight, _ = walk.initial(keys, blocks, process)
  flight = walk.Flight(flight, solver.init(flight))
  keys, slots = walk.token_keys(keys, 0, blocks.num_tokens), blocks.token_slots(coords)
  fixed = walk.Fixed(blocks, process, solver, solvers_base.uncut)
  matrix = blocks.per_token(jnp.asarray(plan.matrix, float))
  index = blocks.per_token(plan.index)
  before, made = [], []
  for number in range(plan.num_rows):
    row = walk.Row(matrix[number], matrix[number + 1], index[number])
    here = states.stream(slots, number + 1)

    def call(y, t, s, row=row, here=here, flight=flight):
      view = walk.in_flight(fixed, flight, row, None, y, t, s)
      views = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=1), *before, view)
      return denoise(walk.make_ask(blocks, None, views, here)).out[:, -blocks.num_tokens:]

    t, s = walk.levels(row, keys)
    level = solver.level(process, flight.x, t, s)
    ahead = solver.ahead(flight.x, level, s)
    out = denoise.head.law(call(flight.x, level, ahead))
    before.append(walk.in_flight(fixed, flight, row, None, flight.x, level, ahead))
    flight = walk.step(fixed, flight, row, None, keys, out, call)
    made.append(flight.x)
  return jnp.stack(made)
