"""Walks in parallel on the digits that ship with adiff: rounds, work, mismatches and seconds.

  python -m benchmarks.parallel

Every walk makes the same examples as the sequential one, of the same keys. `rounds`: network calls
one after another, mean over examples that are each made alone; `fewer`: the sequential walk's calls
over these. `work`: evaluations of a block at a step, over the sequential walk's. `mismatches`:
examples farther than 0.1 from the sequential one, root mean square over pixels of [-1, 1], and
`error`: the largest distance of the others. `s`: seconds of the batch, and of the sequential one
beside it: all cores are busy with one step of a batch, so that rounds save nothing here, and work
costs. That they are fewer pays where a device is idle.
"""

import argparse
import pathlib
import time

import jax
import numpy as np

import adiff
from adiff.machine import provenance
from adiff.run import generate
from adiff.sample import parallel

ROOT = pathlib.Path(__file__).resolve().parents[1]
FAR = 0.1
HOWS = tuple(
  (method, coordinate, blocks, tolerance)
  for method, coordinate in (('picard', 'x'), ('picard', 'data'), ('anderson', 'data'))
  for blocks, tolerance in ((1, 1e-2), (2, 1e-2), (2, 1e-3))
)


def program(steps, settings=(), *, alone=False):
  """(model, (keys, labels) -> (x, counts or calls)) of the shipped digits."""
  model = adiff.load('digits', settings=(f'plan.steps={steps}', 'plan.first=0', *settings))

  def run(keys, labels):
    def bind(params):
      denoise = model.parts.recipe.network(params, loops=True)
      return generate.guided(model.parts, denoise, generate.asked_for(model.parts, labels))

    walk = generate.make_session(model.parts, bind)
    at = walk.finish(model.params, walk.start(keys))
    return at.x, getattr(at, 'counts', at.calls)

  def one(key, label):
    return jax.tree.map(lambda leaf: leaf[0], run(key[None], label[None]))

  return model, jax.jit(jax.vmap(one) if alone else run)


def timed(run, *arguments):
  """(result, seconds) once it is compiled."""
  jax.block_until_ready(run(*arguments))
  begun = time.perf_counter()
  found = jax.block_until_ready(run(*arguments))
  return found, time.perf_counter() - begun


def rows(steps, num):
  """A row a way of walking."""
  model, run = program(steps)
  keys, labels = generate.example_keys(0, 0, num), generate.balanced_labels(10, 0, num)
  (plain, _), seconds = timed(run, keys, labels)
  blocks = model.parts.blocks.num_blocks
  found = []
  for method, coordinate, in_flight, tolerance in HOWS:
    settings = [
      f'parallel.{key}={value}' for key, value in dict(
        method=method, coordinate=coordinate, blocks=in_flight, tolerance=tolerance).items()
    ]
    _, counted = program(steps, settings, alone=True)
    x, counts = jax.block_until_ready(counted(keys, labels))
    _, took = timed(program(steps, settings)[1], keys, labels)
    far = parallel.mismatches(x, plain, FAR)
    error = np.sqrt(np.mean((np.asarray(x) - np.asarray(plain)) ** 2, axis=(1, 2)))
    rounds = float(counts.rounds.mean())
    found.append(
      f'| {steps} | {method} | {coordinate} | {in_flight} | {tolerance:g} | {rounds:.1f} | '
      f'{steps * blocks / rounds:.1f} | {float(counts.work.mean()) / (steps * blocks):.1f} | '
      f'{int(far.sum())} of {num} | {error[~far].max(initial=0):.4f} | {took:.2f} ({seconds:.2f}) |'
    )
  return found


def main():
  """Measures, and writes the page."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--num', type=int, default=64, help='examples')
  parser.add_argument('--steps', type=int, nargs='+', default=[8, 32], help='steps a block')
  parser.add_argument('--report', type=pathlib.Path, default=ROOT / 'benchmarks' / 'parallel.md')
  options = parser.parse_args()
  lines = [
    '# Walks in parallel', '',
    f'The digits that ship with adiff: four blocks, solver multistep, guided. Hardware: '
    f'{provenance.hardware()}; commit {provenance.commit()}. Command: `python -m '
    f'benchmarks.parallel --num={options.num} --steps {" ".join(map(str, options.steps))}`. What '
    'the columns mean: benchmarks/parallel.py.', '',
    '| steps | method | coordinate | blocks | tolerance | rounds | fewer | work | mismatches | '
    'error | s (sequential) |', '|' + ' --- |' * 11,
  ]
  for steps in options.steps:
    lines += rows(steps, options.num)
  options.report.write_text('\n'.join([*lines, '']))
  print(options.report.read_text())


if __name__ == '__main__':
  main()
