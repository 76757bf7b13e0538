r"""Which window of noise levels teaches with the least noise: a search, on a trained network.

  python -m benchmarks.clip_search --workdir=runs/text

A clipped window of levels lowers the variance of the gradient, the best window depends on the size
of the blocks, and BD3-LM (Arriola et al. 2025, arXiv:2503.09573, section 5) searches it by the
variance of the loss. Here the gradient itself is measured: M times on the same batch, with M
independent noises,

  noise = E ||g - E g||^2 / ||E g||^2,

the squared noise-to-signal ratio of a step. It does not depend on the scale of the loss. All
windows meet the same noise keys, so that they are compared pair by pair.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from adiff.sequence import draw as draw_lib

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
  recipe, params, batch, key, *, windows, draws=8, draw=draw_lib.Draw.within, progress=False
) -> list[dict]:
  """[{'low', 'high', 'noise', 'loss'}] of the windows and of the full range, the least noise first.

  recipe: a dataclass with the fields and the `objective` of plain.Plain; of several block sizes
  the first is measured. batch: rows of one step, as `objective` takes them. windows: (low, high)
  each; draw(low, high) is the draw of one. draws: gradients a window, M. noise: squared
  noise-to-signal ratio of one step's gradient; loss: the mean objective. Raises ValueError for a
  window outside [0, 1] or fewer than two draws.
  """
  if draws < 2:
    raise ValueError(f'a variance needs at least two draws, not {draws}')
  windows = list(dict.fromkeys([FULL, *map(tuple, windows)]))
  for window in windows:
    draw_lib.clipped(*window)  # refuses what is no window
  measure = jax.jit(functools.partial(_measure, recipe, draw, draws))
  rows = []
  for low, high in tqdm.tqdm(windows, desc='windows', disable=not progress, leave=False):
    noise, loss = measure(jnp.float32(low), jnp.float32(high), params, batch, key)
    rows.append({'low': low, 'high': high, 'noise': float(noise), 'loss': float(loss)})
  return sorted(rows, key=lambda row: row['noise'])


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


def table(rows) -> str:
  """The rows of `search` as text: the window, its noise, that noise relative to the full range's,
  the loss."""
  full = next(row['noise'] for row in rows if (row['low'], row['high']) == FULL)
  lines = [f'{"low":>6} {"high":>6} {"noise":>10} {"of full":>8} {"loss":>9}']
  lines += [
    f'{row["low"]:6.2f} {row["high"]:6.2f} {row["noise"]:10.4g} {row["noise"] / full:8.3f} '
    f'{row["loss"]:9.4f}' for row in rows
  ]
  return '\n'.join(lines)
