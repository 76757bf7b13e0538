"""Steps dealt out to blocks, on the digits that ship with adiff: solver budget beside equal steps.

  python -m benchmarks.budget_steps

Both make 1,797 samples in as many network calls in all, from the same noise; the Fréchet distance
to the training split is in the features of the report's classifier. The difference is paired by
seed, with its 95% interval over seeds (Student's t).
"""

import argparse
import pathlib

import numpy as np
import scipy.stats

import adiff
from adiff.judge import reference
from adiff.machine import provenance, sharding
from adiff.run import subject

ROOT = pathlib.Path(__file__).resolve().parents[1]
NUM = 1797


def real_of(model) -> reference.Reference:
  """Statistics of the real digits."""
  return reference.Reference.make(subject.make(
    model.parts, model.params, sharding.make_mesh(), workdir=model.workdir, bound={},
    attempt=lambda name, make: make(), tell=lambda words: None,
  ))


def frechet(real, model, seeds) -> np.ndarray:
  """Of the samples of each seed."""
  found = []
  for seed in range(seeds):
    made = model.sample(NUM, seed=seed, batch=NUM // 3, progress=False)
    found.append(real.scores(made.examples, made.labels)['frechet'])
  return np.array(found)


def row(real, steps, seeds) -> str:
  """A line of the table."""
  equal, dealt = (adiff.load('digits', steps=steps, solver=name) for name in (None, 'budget'))
  own, other = (frechet(real, model, seeds) for model in (dealt, equal))
  gained = own - other
  half = scipy.stats.t.ppf(0.975, seeds - 1) * gained.std(ddof=1) / seeds**0.5
  split = '+'.join(map(str, dealt.parts.plan.budgets))
  line = (
    f'| {sum(dealt.parts.plan.budgets)} | {split} | {other.mean():.3f} | {own.mean():.3f} | '
    f'{gained.mean():+.3f} +- {half:.3f} |'
  )
  print(line, flush=True)
  return line


def main():
  """Measures, and writes the page."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--seeds', type=int, default=3)
  parser.add_argument('--steps', type=int, nargs='+', default=[2, 4], help='a block, on average')
  parser.add_argument('--report', type=pathlib.Path, default=ROOT / 'benchmarks/budget_steps.md')
  options = parser.parse_args()
  real = real_of(adiff.load('digits'))
  rows = [row(real, steps, options.seeds) for steps in options.steps]
  options.report.write_text('\n'.join([
    '# Steps dealt out to blocks', '',
    f'The digits that ship with adiff, four blocks, solver multistep, guided; {options.seeds} '
    f'seeds. Hardware: {provenance.hardware()}; commit {provenance.commit()} with these files, '
    'other jobs beside it. Command: `python -m benchmarks.budget_steps --steps '
    f'{" ".join(map(str, options.steps))} --seeds={options.seeds}`. What the columns mean: '
    'benchmarks/budget_steps.py.', '',
    '| calls | dealt out | Fréchet, equal | Fréchet, dealt out | difference |',
    '|' + ' --- |' * 5, *rows, '',
  ]))


if __name__ == '__main__':
  main()
