r"""How fast the parts are, side by side in one process.

  python -m benchmarks.run --suite=attention     ours, dense and query-chunked attention
  python -m benchmarks.run --suite=train         two streams against one, as steps and as FLOPs

Candidates take turns, round by round; compiled before and once run; medians and the spread between
quartiles are shown. The matrix-product rate of the machine is measured in the same run. Prints a
table; writes FOLDER/SUITE.json, .md and .png.
"""

import argparse
import json
import os
import pathlib
import time

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

from adiff import blocks as blocks_lib
from adiff import build, cost, evaluate, logs, mask
from adiff.nn import attention
from configs import toy

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[1]
CHUNKS = (64, 128, 256, 512)
HEADS, DIM = 8, 64


def compiled(function, *arguments):
  """(callable, seconds of compilation, bytes of temporary memory)."""
  begun = time.monotonic()
  program = jax.jit(function).lower(*arguments).compile()
  seconds = time.monotonic() - begun
  return program, seconds, program.memory_analysis().temp_size_in_bytes


def take_turns(candidates, rounds):
  """{name: seconds [rounds]} of {name: thunk}, one call each in every round."""
  for thunk in candidates.values():
    jax.block_until_ready(thunk())
  found = {name: [] for name in candidates}
  for _ in range(rounds):
    for name, thunk in candidates.items():
      begun = time.monotonic()
      jax.block_until_ready(thunk())
      found[name].append(time.monotonic() - begun)
  return found


def dense(q, k, v, allowed):
  """Attention that makes every score."""
  q, k, v = (jnp.swapaxes(leaf, 1, 2) for leaf in (q, k, v))
  scores = jnp.einsum('bhqd,bhkd->bhqk', q, k) * q.shape[-1] ** -0.5
  weights = jax.nn.softmax(jnp.where(allowed[None, None], scores, -1e30))
  return jnp.swapaxes(jnp.einsum('bhqk,bhkd->bhqd', weights, v), 1, 2)


def chunked(chunk):
  """`dense`, `chunk` queries at a time."""

  def run(q, k, v, allowed):
    size = q.shape[1]
    parts = [
      dense(q[:, first:first + chunk], k, v, allowed[first:first + chunk])
      for first in range(0, size, chunk)
    ]
    return jnp.concatenate(parts, axis=1)

  return run


def _ours(slots):
  return lambda q, k, v, allowed: attention.attention(q, k, v, attention.visible(slots, slots))


def _gradient(f):
  return jax.grad(lambda arrays, allowed: jnp.sum(jnp.sin(f(*arrays, allowed))))


def _call(program, *arguments):
  return lambda: program(*arguments)


def attention_suite(options, rate):
  """Forward and backward of two streams, by length and number of blocks."""
  rows = []
  cases = [(n, k) for n in options.lengths for k in (1, 4, 16, 64)]
  for num_tokens, num_blocks in cases:
    blocks = blocks_lib.equal(num_tokens, num_tokens // num_blocks)
    slots = blocks.slots(np.zeros((num_tokens, 1)))
    batch = max(1, 1024 // num_tokens)
    shape = (3, batch, blocks.num_slots, HEADS, DIM)
    arrays = jax.random.normal(jax.random.key(0), shape)
    allowed = jnp.asarray(mask.attend(slots, slots))
    kinds = {'ours': _ours(slots)}
    if num_tokens <= options.most_dense:
      kinds['dense'] = dense
    kinds |= {f'chunks of {c}': chunked(c) for c in CHUNKS if c < num_tokens}
    programs = {name: compiled(_gradient(f), arrays, allowed) for name, f in kinds.items()}
    times = take_turns({n: _call(p[0], arrays, allowed) for n, p in programs.items()},
                       options.rounds)
    pairs = int(np.asarray(allowed).sum())
    needed = 6 * 2 * batch * HEADS * DIM * pairs  # two products forward, four backward
    median = {name: float(np.median(one)) for name, one in times.items()}
    best = min((name for name in median if name.startswith('chunks')), key=median.get, default=None)
    for name in kinds:
      if name.startswith('chunks') and name != best:
        continue
      low, high = np.percentile(times[name], [25, 75])
      rows.append({
        'tokens': num_tokens, 'blocks': num_blocks, 'batch': batch, 'attention': name,
        'ms': 1e3 * median[name], 'spread': 1e3 * (high - low),
        'over ours': median[name] / median['ours'],
        'over the matmul rate': median[name] * rate / needed,
        'memory MiB': programs[name][2] / 2**20, 'compile s': programs[name][1],
      })
  return rows


def train_suite(options, rate):
  """A training step of two streams over one of the same network with one block."""
  rows = []
  for depth in (2, 6):
    steps = {}
    for num_blocks in (1, 4, 16):
      config = toy.get_config('block-masked')
      config.data.num_tokens = 256
      config.blocks.size = 256 // num_blocks
      config.model.width, config.model.depth, config.model.heads = options.width, depth, 6
      config.train.batch_size = 16
      parts = build.build(config)
      key = jax.random.key(0)
      state = jax.jit(parts.recipe.init)(key)
      batch = {
        'tokens': jnp.zeros((16, 256), jnp.int32), 'label': jnp.zeros(16, jnp.int32),
      }
      program, seconds, memory = compiled(parts.recipe.update, state, batch, key)
      call = _call(program, state, batch, key)
      steps[num_blocks] = call, seconds, memory, cost.step_flops(parts)
    times = take_turns({k: one[0] for k, one in steps.items()}, max(3, options.rounds // 3))
    median = {k: float(np.median(one)) for k, one in times.items()}
    for num_blocks, (_, seconds, memory, needed) in steps.items():
      low, high = np.percentile(times[num_blocks], [25, 75])
      rows.append({
        'depth': depth, 'blocks': num_blocks, 'ms': 1e3 * median[num_blocks],
        'spread': 1e3 * (high - low), 'over one block': median[num_blocks] / median[1],
        'FLOPs over one block': needed / steps[1][3],
        'of the matmul rate': needed / rate / median[num_blocks],
        'memory MiB': memory / 2**20, 'compile s': seconds,
      })
  return rows


SUITES = {'attention': attention_suite, 'train': train_suite}


def table(rows):
  """Markdown."""
  cell = lambda value: f'{value:.3g}' if isinstance(value, float) else str(value)
  names = list(rows[0])
  lines = ['| ' + ' | '.join(names) + ' |', '|' + ' --- |' * len(names)]
  return lines + ['| ' + ' | '.join(cell(row[name]) for name in names) + ' |' for row in rows]


def picture(rows, path):
  """Milliseconds of every row, as bars."""
  words = [n for n in rows[0] if not isinstance(rows[0][n], float) and n != 'batch']
  labels = [', '.join(f'{row[n]}' if n == 'attention' else f'{row[n]} {n}' for n in words)
            for row in rows]
  figure, axes = plt.subplots(figsize=(8, 0.24 * len(rows) + 1))
  axes.barh(labels, [row['ms'] for row in rows], xerr=[row['spread'] / 2 for row in rows])
  axes.invert_yaxis()
  axes.set_xscale('log')
  axes.set_xlabel('milliseconds')
  figure.savefig(path, bbox_inches='tight', dpi=120)


def main():
  """Runs one suite."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--suite', choices=SUITES, default='attention')
  parser.add_argument('--folder', type=pathlib.Path, default=ROOT / 'benchmarks')
  parser.add_argument('--rounds', type=int, default=9)
  parser.add_argument('--lengths', type=int, nargs='+', default=(64, 256, 1024))
  parser.add_argument('--most_dense', type=int, default=1024, help='longest row for `dense`')
  parser.add_argument('--width', type=int, default=384)
  options = parser.parse_args()
  load = os.getloadavg()[0]
  rate = logs.matmul_rate()
  rows = SUITES[options.suite](options, rate)
  facts = {
    'suite': options.suite, 'hardware': evaluate.hardware(), 'commit': evaluate.commit(),
    'load before': load, 'matmul GFLOP/s': rate / 1e9, 'rounds': options.rounds,
  }
  lines = [
    f'# {options.suite.capitalize()}', '', __doc__.split('\n\n')[2].replace('\n', ' '), '',
    '; '.join(f'{k} {v:.3g}' if isinstance(v, float) else f'{k} {v}' for k, v in facts.items()),
    '', *table(rows),
  ]
  if load > 0.5:
    lines.append('\nThe machine was not idle: read ratios, not times.')
  place = options.folder / options.suite
  options.folder.mkdir(parents=True, exist_ok=True)
  place.with_suffix('.json').write_text(json.dumps({**facts, 'rows': rows}, indent=1) + '\n')
  place.with_suffix('.md').write_text('\n'.join(lines) + '\n')
  picture(rows, place.with_suffix('.png'))
  print('\n'.join(lines))


if __name__ == '__main__':
  main()
