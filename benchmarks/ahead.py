"""Cascades and drafted steps on the digits that ship with adiff: what they save, and their law.

  python -m benchmarks.ahead

A *cascade* (adiff/sample/parallel.py) makes other samples than the sequential walk of the same
keys: `far` counts those farther than 0.1 from it, root mean square over pixels of [-1, 1].
*Drafted* steps (adiff/sample/drafted_steps.py) follow the law of the ancestral walk, process.eta =
1, of other samples. `calls` are those of the network one after another, a sample, mean over
samples; `Fréchet` the distance of 1,797 samples to the training split in the features of the
report's classifier, mean and range over seeds. Examples of a batch wait for each other at the end
of a block: calls are those of an example that is made alone.
"""

import argparse
import pathlib

import numpy as np

import adiff
from adiff.machine import provenance
from benchmarks import budget_steps

ROOT = pathlib.Path(__file__).resolve().parents[1]
FAR = 0.1
CASCADES = (8, 4, 1)  # steps that a block waits; 8: all
DRAFTED = (0, 2, 4)  # steps a call; 0: the sequential walk
STEPS = {'cascade': 8, 'drafted': 16}


def cascade(start):
  """(model, calls of a sample one after another)."""
  blocks, steps = 4, STEPS['cascade']
  settings = 'parallel.method=cascade', f'parallel.blocks={blocks}', f'parallel.start={start}'
  return adiff.load('digits', steps=steps, settings=settings), steps + (blocks - 1) * start


def drafted(steps):
  """The model."""
  settings = 'process.eta=1.0', f'speculative.steps={steps}'
  return adiff.load('digits', steps=STEPS['drafted'], solver='first_order', settings=settings)


def measured(real, model, seeds):
  """(examples of the first seed, mean calls, Fréchet distances)."""
  made = [
    model.sample(budget_steps.NUM, seed=seed, batch=budget_steps.NUM // 3, progress=False)
    for seed in range(seeds)
  ]
  found = np.array([real.scores(one.examples, one.labels)['frechet'] for one in made])
  return np.asarray(made[0].examples, float) / 8 - 1, made[0].calls.mean(), found


def line(*cells) -> str:
  print(row := f'| {" | ".join(cells)} |', flush=True)
  return row


def words(found) -> str:
  return f'{found.mean():.3f} ({found.min():.3f} .. {found.max():.3f})'


def main():
  """Measures, and writes the page."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--seeds', type=int, default=2)
  parser.add_argument('--report', type=pathlib.Path, default=ROOT / 'benchmarks' / 'ahead.md')
  options = parser.parse_args()
  real = budget_steps.real_of(adiff.load('digits'))
  cascades, drafts, whole = [], [], None
  for start in CASCADES:
    model, calls = cascade(start)
    examples, _, found = measured(real, model, options.seeds)
    whole = examples if whole is None else whole
    far = int((np.sqrt(np.mean((examples - whole) ** 2, axis=(1, 2, 3))) > FAR).sum())
    cascades.append(line(str(start), str(calls), f'{far} of {len(whole)}', words(found)))
  for steps in DRAFTED:
    _, calls, found = measured(real, drafted(steps), options.seeds)
    drafts.append(line(str(steps) if steps else 'none', f'{calls:.1f}', words(found)))
  options.report.write_text('\n'.join([
    '# Steps ahead', '',
    f'The digits that ship with adiff, four blocks, guided; {options.seeds} seeds. Hardware: '
    f'{provenance.hardware()}; commit {provenance.commit()} with these files, other jobs '
    f'beside it. Command: `python -m benchmarks.ahead --seeds={options.seeds}`. What the columns '
    'mean: benchmarks/ahead.py.', '',
    f'Cascade, {STEPS["cascade"]} steps a block, solver multistep:', '',
    '| a block waits | calls | far | Fréchet |', '|' + ' --- |' * 4, *cascades, '',
    f'Drafted steps, {STEPS["drafted"]} steps a block, solver first_order, process.eta=1.0:', '',
    '| drafted a call | calls | Fréchet |', '|' + ' --- |' * 3, *drafts, '',
  ]))


if __name__ == '__main__':
  main()
