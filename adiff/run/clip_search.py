r"""Which window of noise levels teaches with the least noise: a search, on a trained network.

  python -m adiff.run.clip_search --workdir=runs/text

A clipped window of levels lowers the variance of the gradient, the best window depends on the size
of the blocks, and BD3-LM (Arriola et al. 2025, arXiv:2503.09573, section 5) searches it by the
variance of the loss. Here the gradient itself is measured: M times on the same batch, with M
independent noises,

  noise = E ||g - E g||^2 / ||E g||^2,

the squared noise-to-signal ratio of a step. It does not depend on the scale of the loss. All
windows meet the same noise keys, so that they are compared pair by pair.
"""

import argparse
import dataclasses
import functools
import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from adiff.data import batches
from adiff.learn import state
from adiff.machine import checkpoint
from adiff.run import build
from adiff.run import workdir as workdir_lib
from adiff.sequence import plan as plan_lib

FULL = (0.0, 1.0)
SMALLEST = 1e-6  # share of ||mean g||^2 that is taken for signal at least


def grid(widths=(0.5, 0.6, 0.7, 0.8, 0.9), stride=0.1) -> list[tuple[float, float]]:
  """Windows (low, high) of these widths whose low ends are multiples of stride."""
  if not stride > 0:
    raise ValueError(f'stride={stride} must be positive; write for example 0.1')
  lows = [np.arange(0, 1 - width + 1e-9, stride) for width in widths]
  return [
    (round(float(low), 9), round(float(low + width), 9))
    for width, own in zip(widths, lows, strict=True) for low in own
  ]


def search(
  recipe, params, batch, key, *, windows, draws=8, draw=plan_lib.uniform, progress=False
) -> list[dict]:
  """[{'low', 'high', 'noise', 'loss'}] of the windows and of the full range, the least noise first.

  recipe: a dataclass with the fields and the `objective` of recipe.Plain; of several block sizes
  the first is measured. batch: rows of one step, as `objective` takes them. windows: (low, high)
  each; draw(low, high) is the draw of one. draws: gradients a window, M. noise: squared
  noise-to-signal ratio of one step's gradient; loss: the mean objective. Raises ValueError for a
  window outside [0, 1] or fewer than two draws.
  """
  if draws < 2:
    raise ValueError(f'a variance needs at least two draws, not {draws}')
  windows = list(dict.fromkeys([FULL, *map(tuple, windows)]))
  for window in windows:
    plan_lib.clipped(*window)  # refuses what is no window
  measure = jax.jit(functools.partial(_measure, recipe, draw, draws))
  found = []
  for low, high in tqdm.tqdm(windows, desc='windows', disable=not progress, leave=False):
    noise, loss = measure(jnp.float32(low), jnp.float32(high), params, batch, key)
    found.append({'low': low, 'high': high, 'noise': float(noise), 'loss': float(loss)})
  return sorted(found, key=lambda row: row['noise'])


def _measure(recipe, draw, draws, low, high, params, batch, key):
  """(noise, mean loss) of one window; low and high are traced, so one program serves all.

  Mean and sum of squared distances to it are updated gradient by gradient (Welford 1962), so that
  three gradients are held at once and nothing cancels.
  """
  recipe = dataclasses.replace(recipe, draw=(draw(low, high),) * len(recipe.draw))
  gradient = jax.value_and_grad(recipe.objective, has_aux=True)

  def add(total, index):
    mean, squares, losses = total
    (loss, _), grads = gradient(params, batch, jax.random.fold_in(key, index))
    away = jax.tree.map(lambda g, m: (g - m).astype(jnp.float32), grads, mean)
    count = (index + 1).astype(jnp.float32)
    mean = jax.tree.map(lambda m, a: m + a / count, mean, away)
    squares = squares + (count - 1) / count * _norm(away)
    return (mean, squares, losses + loss / draws), None

  zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), params)
  start = zeros, jnp.float32(0), jnp.float32(0)
  (mean, squares, loss), _ = jax.lax.scan(add, start, jnp.arange(draws))
  variance, total = squares / (draws - 1), _norm(mean)
  # The mean of M gradients still holds 1 / M of the variance.
  signal = jnp.maximum(total - variance / draws, SMALLEST * total)
  return variance / jnp.maximum(signal, jnp.finfo(jnp.float32).tiny), loss


def _norm(tree):
  """Sum of squares of all leaves."""
  return sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree))


def _read(workdir):
  """(parts, step, averaged parameters) of a workdir whose draw can be searched."""
  config = workdir_lib.load(workdir)
  parts = build.build(config)
  workdir_lib.check_contract(workdir, parts.contract)
  if not parts.process.discrete:
    raise ValueError(
      f'{workdir} was trained with process gaussian; a window is searched for noise on symbols: '
      'choose a run with process masked, uniform or mixed'
    )
  if config.draw.name == 'ones':
    raise ValueError(
      f'{workdir} was trained with draw ones, at one level alone; choose a run that saw several'
    )
  abstract = jax.eval_shape(parts.recipe.init, jax.random.key(0)).params
  return parts, *checkpoint.restore_params(workdir, abstract)


def table(found) -> str:
  """The rows of `search` as text: the window, its noise, that noise relative to the full range's,
  the loss."""
  full = next(row['noise'] for row in found if (row['low'], row['high']) == FULL)
  lines = [f'{"low":>6} {"high":>6} {"noise":>10} {"of full":>8} {"loss":>9}']
  lines += [
    f'{row["low"]:6.2f} {row["high"]:6.2f} {row["noise"]:10.4g} {row["noise"] / full:8.3f} '
    f'{row["loss"]:9.4f}' for row in found
  ]
  return '\n'.join(lines)


def main(argv=None):
  """Entry point of `python -m adiff.run.clip_search`: prints the table and the best window's flags,
  writes windows.json into the workdir; a mistake is one sentence and exit code 2."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--workdir', required=True, help='folder of a trained run')
  parser.add_argument('--draws', type=int, default=8, help='gradients a window')
  options = parser.parse_args(argv)
  try:
    if options.draws < 2:
      raise ValueError(f'--draws={options.draws} is no variance; write at least 2')
    parts, step, params = _read(options.workdir)
  except (ValueError, OSError) as error:
    parser.exit(2, f'adiff: {" ".join(str(error).split())}\n')
  config = parts.config
  source = batches.Batches(
    parts.source, 'train', config.train.batch_size, seed=config.seed, order=parts.blocks.order
  )
  # What one gradient sees: the first block size's share, the first micro-batch.
  share = len(parts.recipe.blocks) * config.train.microbatches
  batch = {name: leaf[::share] for name, leaf in source.batch_at(step).items()}
  draw = lambda low, high: plan_lib.atoms(
    plan_lib.uniform(low, high, shared=config.draw.shared), **dict(config.atoms)
  )
  found = search(
    parts.recipe, params, batch, state.stream(config.seed, 'windows'),
    windows=grid(), draws=options.draws, draw=draw, progress=True,
  )
  print(table(found))
  path = os.path.join(options.workdir, 'windows.json')
  with open(f'{path}.tmp', 'w') as file:
    json.dump({'step': step, 'draws': options.draws, 'windows': found}, file, indent=1)
  os.replace(f'{path}.tmp', path)
  low, high = found[0]['low'], found[0]['high']
  print(f'--config.draw.name=clipped --config.draw.low={low:g} --config.draw.high={high:g}')


if __name__ == '__main__':
  main()
