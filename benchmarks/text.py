r"""From diffusion to autoregression on tiny_shakespeare: held-out nats a character by block size.

  python -m benchmarks.text --data_dir=FOLDER_OF_TFDS
  python -m benchmarks.text --data_dir=FOLDER_OF_TFDS --steps=4000 --width=128

One network a row and seed, 256 characters of context, constant learning rate, averaged parameters.
Every row sees the same batches in the same steps; rows that cost less go on until they have used as
many FLOPs as the dearest one. The held-out characters are measured with equal noise, so that rows
are compared row of text by row of text. A finished run is kept in FOLDER and not run again; the
page is written anew after each.
"""

import argparse
import json
import pathlib
import time

import jax
import numpy as np
from scipy import stats

from adiff.data import batches
from adiff.judge import likelihood
from adiff.learn import state
from adiff.machine import cost, files, provenance, sharding
from adiff.run import build, evaluate
from configs import base, shakespeare

ROOT = pathlib.Path(__file__).resolve().parents[1]
# row: (row of configs/text.py, draw)
ROWS = {
  '1': ('ar', 'ones'), '4': ('block4', 'uniform'), '16': ('block16', 'uniform'),
  '64': ('block64', 'uniform'), 'full': ('full', 'uniform'),
  '1, uniform levels': ('ar', 'uniform'),
}


def make_parts(options, row, seed):
  """The parts of one run."""
  argument, draw = ROWS[row]
  c = shakespeare.get_config(argument)
  with c.unlocked():
    c.data.data_dir, c.data.num_tokens, c.seed = options.data_dir, 256, seed
    base.choose(
      c, 'model', 'denoiser', width=options.width, depth=options.depth, heads=2,
      rotary_base=10_000.0,
    )
    base.choose(c, 'draw', draw)
    c.optim.schedule = 'constant'
    c.train.batch_size, c.train.ema = options.batch, 0.995
    c.eval.samples, c.eval.batch_size = 2, 16
  return build.build(c)


def run(options, row, seed, flops):
  """{steps: nats [examples]} of one network at options.steps and at `flops` in all."""
  parts = make_parts(options, row, seed)
  recipe, config = parts.recipe, parts.config
  now = jax.jit(recipe.init)(state.stream(seed, 'init'))
  own = cost.step(parts).flops
  stops = {'equal steps': options.steps, 'equal FLOPs': round(options.steps * flops / own)}
  key = state.stream(seed, 'train')
  update = jax.jit(
    lambda s, b: recipe.update(s, b, jax.random.fold_in(key, s.step)), donate_argnums=0
  )
  source = batches.Batches(parts.coded, 'train', config.train.batch_size, seed=seed)
  measure = evaluate.Bound(parts, sharding.make_mesh())
  result, begun = {'flops_per_step': own, 'steps': stops}, time.monotonic()
  for step, batch in batches.in_turn([source]):
    for name, stop in stops.items():
      if step == stop:
        nats, _ = measure.samples(recipe.served(now), samples=config.eval.samples)
        result[name] = (nats.mean(1).sum(1) / config.data.num_tokens).tolist()
    if step >= max(stops.values()):
      break
    now, scalars = update(now, batch)
    if step % 100 == 0:
      print(f'{row:>18}, seed {seed}: step {step}, loss {float(scalars["loss"]):.3f}', flush=True)
  return result | {'minutes': (time.monotonic() - begun) / 60}


def page(options, results):
  """The table, in Markdown."""
  lines = [
    '# Text: from diffusion to autoregression', '',
    f'tiny_shakespeare by characters, {options.seeds} seeds, {options.steps} steps of '
    f'{options.batch} x 256 characters, width {options.width}, depth {options.depth}. '
    f'Hardware: {provenance.hardware()}; commit {provenance.commit()}. Command: '
    f'`python -m benchmarks.text --data_dir=FOLDER --steps={options.steps} '
    f'--width={options.width} --depth={options.depth} --batch={options.batch}`.', '',
    'Held-out nats a character (the last 10% of the text), mean over seeds, with the 95% interval '
    'over rows of text. Tokens a block; FLOPs relative to one token a block. `difference`: to the '
    'row above, paired by seed and row of text, with a 95% Student interval over seeds.', '',
  ]
  for budget in ('equal steps', 'equal FLOPs'):
    lines += [f'## {budget[0].upper() + budget[1:]}', '',
              '| tokens a block | steps | FLOPs a step | nats | difference |',
              '| --- | --- | --- | --- | --- |']
    above = None
    for row in ROWS:
      runs = [results.get(f'{row}-{seed}') for seed in range(options.seeds)]
      if any(one is None for one in runs):
        continue
      nats = np.array([one[budget] for one in runs])
      mean, half = likelihood.interval(nats.mean(0))
      cost = runs[0]['flops_per_step'] / results['1-0']['flops_per_step']
      if row == '1, uniform levels':
        above = np.array([results[f'1-{seed}'][budget] for seed in range(options.seeds)])
      lines.append(
        f'| {row} | {runs[0]["steps"][budget]} | {cost:.2f} | {mean:.4f} +- {half:.4f} | '
        f'{"" if above is None else _difference(nats, above)} |'
      )
      above = nats
    lines += ['']
  return '\n'.join(lines) + '\nThe last row is compared with the first.\n'


def _difference(nats, above):
  """Mean and 95% interval over seeds of the paired difference, as text."""
  each = (nats - above).mean(1)
  text = f'{each.mean():+.4f}'
  if len(each) > 1:
    half = stats.t.ppf(0.975, len(each) - 1) * each.std(ddof=1) / len(each) ** 0.5
    text += f' +- {half:.4f}'
  return text


def main():
  """Runs what is missing."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--data_dir', required=True, help='folder that holds tiny_shakespeare/')
  parser.add_argument('--folder', type=pathlib.Path, default=ROOT / 'runs' / 'text_blocks')
  parser.add_argument('--report', type=pathlib.Path, default=ROOT / 'benchmarks' / 'text.md')
  parser.add_argument('--seeds', type=int, default=3)
  parser.add_argument('--steps', type=int, default=1200)
  parser.add_argument('--width', type=int, default=64)
  parser.add_argument('--depth', type=int, default=2)
  parser.add_argument('--batch', type=int, default=8)
  options = parser.parse_args()
  options.folder.mkdir(parents=True, exist_ok=True)
  costs = {}
  for row in ROWS:
    costs[row] = cost.step(make_parts(options, row, 0)).flops
  results = {}
  for seed in range(options.seeds):
    for row in ROWS:
      name = f'{row}-{seed}'
      place = options.folder / f'{name}.json'
      if not place.exists():
        result = run(options, row, seed, max(costs.values()))
        files.write_json(place, result)
      results[name] = json.loads(place.read_text())
      if seed == options.seeds - 1:
        options.report.write_text(page(options, results))


if __name__ == '__main__':
  main()
