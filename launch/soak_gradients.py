r"""Batches and gradients of a run's first steps: one process keeps them, several compare theirs.

  python -m launch.soak_gradients --workdir=runs/toy --kept=kept.npz
  python -m launch.soak_gradients --workdir=runs/toy --kept=kept.npz --processes=2/4@localhost:8476

The first call, where kept.npz is missing, trains from the start with the config of the workdir and
keeps the batch, the parameters and the gradient of every step. The second one takes the kept
parameters at every step, compares its rows of the batch, and the gradient, and prints the facts.
"""

import argparse
import json
import os

import jax
import numpy as np

from adiff.data import batches
from adiff.learn import base
from adiff.learn import state as state_lib
from adiff.machine import cost, files, hosts, sharding
from adiff.run import build, train
from adiff.run import workdir as workdir_lib


def keep(parts, mesh, path, *, steps) -> dict:
  """Trains, and writes arrays [steps, ...] of batch, params and gradient."""
  source, gradient = _source(parts, mesh), _gradient(parts, mesh)
  init, kept = parts.recipe.init, []
  key = state_lib.stream(parts.config.seed, 'init')
  shardings = build.state_shardings(parts, mesh, cost.state(parts))
  update, state = train.make_update(parts, mesh, shardings), sharding.born(init, shardings, key)
  for step, batch in batches.in_turn([source]):
    if step == steps:
      break
    placed = sharding.put_batch(mesh, batch, source.batch_size)
    params = state.params[base.DENOISER]
    here = {'params': params, 'gradient': gradient(params, placed, step)}
    kept.append({'batch': batch, **jax.tree.map(np.array, here)})  # copies: buffers are donated
    state, _ = update(state, placed)
  with files.whole(path, 'wb') as file:
    np.savez(file, *jax.tree.leaves(jax.tree.map(lambda *a: np.stack(a), *kept)))
  return {'steps': steps}


def compare(parts, mesh, path, *, steps) -> dict:
  """Facts of this process: which rows of how many batches differ, and how far gradients are apart.

  rows: [start, stop] of what its devices hold. apart: the largest difference of a number, as a
  share of the largest number in that step's gradient.
  """
  source, gradient = _source(parts, mesh), _gradient(parts, mesh)
  params = cost.state(parts).params[base.DENOISER]
  tree = jax.tree.structure({'batch': source.batch_at(0), 'params': params, 'gradient': params})
  with np.load(path) as file:
    kept = tree.unflatten(file[name] for name in file.files)
  rows, whole = source.rows, sharding.replicated(mesh)
  differing, apart = 0, 0.0
  for step, batch in batches.in_turn([source]):
    if step == steps:
      break
    theirs = jax.tree.map(lambda leaf, n=step: leaf[n], kept)
    placed = sharding.put_batch(mesh, batch, source.batch_size)
    differing += not all(
      batch[name].tobytes() == leaf[rows].tobytes() and all(
        np.array_equal(shard.data, leaf[shard.index]) for shard in placed[name].addressable_shards
      )
      for name, leaf in theirs['batch'].items()
    )
    spread = lambda leaf: jax.make_array_from_callback(leaf.shape, whole, leaf.__getitem__)
    ours = gradient(jax.tree.map(spread, theirs['params']), placed, step)
    pairs = list(zip(*map(jax.tree.leaves, (ours, theirs['gradient'])), strict=True))
    largest = max(np.abs(other).max() for _, other in pairs)
    apart = max(apart, *(float(np.abs(one - other).max() / largest) for one, other in pairs))
  facts = {'steps': steps, 'rows': [rows.start, rows.stop]}
  return {**facts, 'batches that differ': differing, 'apart': apart}


def _source(parts, mesh):
  """The batches of a training run, as train.py makes them."""
  config = parts.config
  return batches.Batches(
    parts.coded, 'train', config.train.batch_size, seed=config.seed, blocks=parts.blocks,
    rows=sharding.local_rows(mesh, config.train.batch_size),
  )


def _gradient(parts, mesh):
  """(params, batch, step) -> the gradient that `train.make_update` follows, whole everywhere."""
  key_train = state_lib.stream(parts.config.seed, 'train')
  return jax.jit(
    lambda params, batch, step: parts.recipe.gradient(
      params, batch, jax.random.fold_in(key_train, step), parts.recipe.share
    )[0],
    out_shardings=sharding.replicated(mesh),
  )


def main():
  """Keeps or compares; prints the facts as JSON."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--workdir', required=True, help='whose config it is')
  parser.add_argument('--kept', required=True, help='the .npz')
  parser.add_argument('--steps', type=int, default=50)
  parser.add_argument('--processes', help='INDEX/COUNT@HOST:PORT, as of the binary')
  parser.add_argument('--gather', type=int, default=60, help='seconds until all must be there')
  options = parser.parse_args()
  if options.processes:
    hosts.start(options.processes, options.gather)
  parts = build.build(workdir_lib.load(options.workdir))
  mesh = build.build_mesh(parts)
  act = compare if os.path.exists(options.kept) else keep
  with jax.set_mesh(mesh):
    print(json.dumps(act(parts, mesh, options.kept, steps=options.steps)), flush=True)


if __name__ == '__main__':
  main()
