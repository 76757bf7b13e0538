r"""How fast the parts are, side by side in one run.

  python -m benchmarks.run --suite=attention     ours, dense, query-chunked and jax's own attention
  python -m benchmarks.run --suite=train         two streams against one, as steps and as FLOPs
  python -m benchmarks.run --suite=sample        rollouts with and without cache, guidance, reach
  python -m benchmarks.run --suite=compile       seconds from a start to the first step or sample
  python -m benchmarks.run --suite=peers         PyTorch packages at the same work (extra: bench)
  python -m benchmarks.run --suite=images        U-Nets, samplers of two kinds (extra: bench)

Candidates take turns, round by round; compiled before and once run; medians and the spread between
quartiles are shown; ratios are medians over rounds. The machine's rate of matrix products and its
bandwidth are the best of several looks in the same run. Memory is kept between calls, as where one
trains; for the candidates of one process that takes one arena (not so for --suite=compile):

  export GLIBC_TUNABLES=glibc.malloc.arena_max=1
  source launch/environment.sh

Prints a table; writes FOLDER/SUITE.json, with every row anew, .md and .png.
"""

import argparse
import importlib
import os
import pathlib
import shlex
import sys

import jax
from matplotlib import figure

from adiff.judge.page import images
from adiff.machine import files, provenance
from benchmarks import turns

ROOT = pathlib.Path(__file__).resolve().parents[1]
# benchmarks/SUITE.py: suite(options, limits) -> rows
SUITES = ('attention', 'train', 'sample', 'compile', 'peers', 'images')


def table(rows):
  """Markdown; a row may lack columns of another."""
  cell = lambda value: f'{value:.3g}' if isinstance(value, float) else str(value)
  names = list(dict.fromkeys(name for row in rows for name in row))
  lines = ['| ' + ' | '.join(names) + ' |', '|' + ' --- |' * len(names)]
  return lines + ['| ' + ' | '.join(cell(row.get(n, '')) for n in names) + ' |' for row in rows]


def picture(rows) -> figure.Figure:
  """Milliseconds of every row, as bars."""
  long = 'batch', 'version', 'remark', 'over', 'audit', 'evaluations'
  words = lambda row: [n for n in row if not isinstance(row[n], float) and n not in long]
  labels = [
    ', '.join(row[n] if isinstance(row[n], str) else f'{row[n]} {n}' for n in words(row))
    for row in rows
  ]
  places = range(len(rows))  # rows of equal labels are bars of their own
  fig = figure.Figure(figsize=(11, 0.24 * len(rows) + 1), dpi=120, layout='constrained')
  axes = fig.subplots()
  axes.barh(places, [row['ms'] for row in rows], xerr=[row['spread'] / 2 for row in rows])
  axes.set_yticks(places, labels)
  axes.margins(y=0.01)
  axes.invert_yaxis()
  axes.set_xscale('log')
  axes.set_xlabel('milliseconds')
  return fig


def main() -> int:
  """Runs one suite; 1 if a row failed its audit."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--suite', choices=SUITES, default='attention')
  parser.add_argument('--folder', type=pathlib.Path, default=ROOT / 'benchmarks')
  parser.add_argument('--rounds', type=int, default=9, help='calls of each candidate')
  parser.add_argument(
    '--lengths', type=int, nargs='+', default=(64, 256, 1024, 4096), help='tokens, of attention'
  )
  parser.add_argument('--tokens', type=int, default=1024, help='of a rollout')
  parser.add_argument('--width', type=int, default=384, help='of the networks')
  parser.add_argument(
    '--dtype', choices=('float32', 'bfloat16'), default='float32',
    help='of the computation, and of the matrix products it is set against',
  )
  options = parser.parse_args()
  load = os.getloadavg()[0]
  limits = turns.Limits(options.dtype)
  limits.look()
  suite = importlib.import_module(f'benchmarks.{options.suite}')
  facts = {
    'hardware': provenance.hardware(), 'commit': provenance.commit(), 'jax': jax.__version__,
    'dtype': options.dtype, 'load before': load, 'rounds': options.rounds,
    'GLIBC_TUNABLES': os.environ.get('GLIBC_TUNABLES', ''),
  }
  command = f'python -m benchmarks.run {shlex.join(sys.argv[1:])}'
  place, rows = options.folder / options.suite, []
  options.folder.mkdir(parents=True, exist_ok=True)
  for row in suite.suite(options, limits):
    rows.append(row)
    facts |= {'matmul GFLOP/s': limits.rate / 1e9, 'bandwidth GB/s': limits.bandwidth / 1e9}
    files.write_json(place.with_suffix('.json'), {'command': command, **facts, 'rows': rows})
  lines = [
    f'# {options.suite.capitalize()}', '', suite.__doc__.strip(), '',
    f'`{command}`. Candidates take turns, round by round; compiled before and once run; medians, '
    'and the spread between quartiles; ratios are medians over rounds.', '',
    '; '.join(f'{k} {v:.3g}' if isinstance(v, float) else f'{k} {v}' for k, v in facts.items()),
    '', *table(rows),
  ]
  if load > 0.5:
    lines += ['', 'The machine was not idle: read ratios, not times.']
  place.with_suffix('.md').write_text('\n'.join(lines) + '\n')
  place.with_suffix('.png').write_bytes(images.png_bytes(picture(rows)))
  print('\n'.join(lines))
  return int(any(row.get('audit') == 'failed' for row in rows))


if __name__ == '__main__':
  sys.exit(main())
