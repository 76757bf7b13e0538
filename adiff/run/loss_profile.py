"""The loss profile of a masked model: what one token costs by how many of its block are masked.

It is what plans are made from (adiff/sample/budget.py). All numbers of masked tokens see the same
random order of a row, nested, so that the profile's noise is common to them: a plan chosen from
independent estimates would follow their noise.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from adiff.data import batches
from adiff.learn import state
from adiff.machine import sharding
from adiff.nn import network
from adiff.run import build
from adiff.sequence import ask as ask_lib
from adiff.sequence import conditions

MOST = 64  # numbers of masked tokens that are measured; those between are interpolated


def has_profile(parts: build.Parts) -> bool:
  """Are a block's tokens revealed in numbers, and can plans be compared on whole rows?"""
  sizes, rows = parts.blocks.sizes, parts.coded.examples(parts.config.eval.split, np.zeros(1, int))
  equal = len(set(sizes)) == 1 and sizes[0] > 1
  one_process = parts.process.absorbing and not parts.spec.by_kind
  return one_process and not parts.reveals and equal and 'weight' not in rows


def measure(parts: build.Parts, params, mesh, rows, *, samples, progress=False) -> np.ndarray:
  """[rows, B]: nats of one masked token of each row of the evaluated split, with k = 1..B of every
  block masked; the mean over `samples` orders. rows: their indices, as of `subset.spread`."""
  config, size, rows = parts.config, parts.blocks.sizes[0], np.asarray(rows)
  blocks = dataclasses.replace(parts.blocks, history=0.0)  # as in likelihood.bound

  def nats(params, key, batch, masked):
    denoise = network.condition(
      parts.recipe.network(params), conditions.of(batch, parts.spec.conds),
      history_cond=parts.history_cond,
    )
    x0 = batch['tokens']
    denoise = parts.told(denoise, x0)
    u = jnp.full((len(x0), blocks.num_blocks), (masked - 0.5) / size)
    free = jnp.ones(x0.shape[:2], bool)
    xt, t = parts.process.bound_noise(key, x0, u, blocks, free)
    x, t_slots = blocks.pack(xt, x0, t)
    ask = ask_lib.Ask(x, t_slots, blocks.slots(parts.spec.coords))
    h, _ = denoise.trunk(ask)
    out = denoise.head.bound(blocks.unpack(h), jax.random.fold_in(key, 1), ask, x0)
    # Each of k masked tokens counts B / k, so the mean over tokens is the mean of masked ones.
    return parts.process.bound(out, x0, xt, t).mean(1)

  measure_batch = jax.jit(nats, out_shardings=sharding.replicated(mesh))
  numbers = np.unique(np.rint(np.linspace(1, size, min(size, MOST))).astype(int))
  batch_size = sharding.round_up(mesh, config.eval.batch_size)
  local = sharding.local_rows(mesh, batch_size)
  split = config.eval.split
  profiles = []
  starts = range(0, len(rows), batch_size)
  for first in tqdm.tqdm(starts, desc='loss profile', disable=not progress, leave=False):
    index = rows[np.minimum(np.arange(first, first + batch_size), len(rows) - 1)]
    batch = parts.coded.examples(split, index[local])
    batch = batches.ordered(batch, blocks, parts.spec)
    told = conditions.of(batch, parts.spec.conds)
    batch = sharding.put_batch(mesh, {'tokens': batch['tokens'], **told}, batch_size)
    key = state.stream(config.seed, 'plans', int(index[0]))
    drawn = [
      [measure_batch(params, jax.random.fold_in(key, n), batch, float(k)) for k in numbers]
      for n in range(samples)
    ]
    profiles.append(np.asarray(drawn, np.float64).mean(0).T)
  profiles = np.concatenate(profiles)[:len(rows)]
  return np.stack([np.interp(np.arange(1, size + 1), numbers, row) for row in profiles])
