r"""Do two checkouts train and sample equally? Every regime, tiny, in float64, number by number.

  python -m launch.same record OLD_CHECKOUT golden                      # about ten minutes, 2 cores
  python -m launch.same record NEW_CHECKOUT found --from=golden
  python -m launch.same compare golden found                            # exit code 1: they differ

`record` writes FOLDER/ROW.npz for every row and leaves those alone that are there (--force: makes
them again), so the same command goes on where it was stopped. A row is STEPS training steps, what a
bound says, and samples by every solver that fits, cached and as they are defined, cut, guided, with
a prompt and with holes. With --from=OTHER the training starts from the parameters recorded in
OTHER, and bound and samples are those of the average trained there: so that differences do not add
up, and the initial law may be another.

`compare` tells the largest differences, of numbers relative to max(1, |x|) and of sampled vectors
absolute, and which of LIMITS they exceed. The column `init`, the checkout's own initial parameters,
is told but not judged. Where a sum runs in another order, as that of the gradient's norm after a
change of the order of parameters, 50 steps moved losses and parameters by at most 5e-7.

The computation is in float64; parameters are float32, as the model makes them, and so are losses of
symbols. All that is known of a checkout is in layouts.py.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np

from launch import runs
from launch.same import compare as compare_lib
from launch.same import rows

# Tiny programs are compiled, not computed: without the compiler's optimisations in a third of time.
QUICK = ' '.join([*runs.QUICK, '--xla_cpu_parallel_codegen_split_count=1'])


def record(options) -> int:
  """Writes the file of every row."""
  os.environ.setdefault('JAX_PLATFORMS', 'cpu')
  flags = QUICK if options.flags is None else options.flags
  os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} {flags}'
  cache = pathlib.Path(os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache')
  os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(cache / 'adiff' / 'jax'))
  os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')
  os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES', '-1')
  import jax  # from here on: it reads the variables above

  from launch.same import layouts
  from launch.same import record as record_lib

  jax.config.update('jax_enable_x64', True)
  checkout = options.checkout.resolve()
  begun = time.monotonic()
  adapter = layouts.adapter_of(checkout)
  options.folder.mkdir(parents=True, exist_ok=True)
  for name, row in compare_lib.chosen(rows.rows_of(adapter), options.rows).items():
    path = options.folder / f'{name}.npz'
    if path.exists() and not options.force:
      continue
    since = time.monotonic()
    other = None
    if options.other:
      other = compare_lib.load(options.other / path.name)
    found = record_lib.record_row(adapter, row, other)
    seconds = time.monotonic() - since
    about = dict(commit=commit(checkout), jax=jax.__version__, seconds=round(seconds, 1),
                 start=str(options.other or ''), flags=flags, row=dataclasses.asdict(row))
    partial = path.with_suffix('.tmp')
    with open(partial, 'wb') as file:
      np.savez(file, about=json.dumps(about), **found)
    os.replace(partial, path)
    losses = found['scalars/loss']
    draws = sum(key.endswith('/cached') for key in found)
    print(f'{name:24}{seconds:6.1f} s   loss {losses[0]:.3f} -> {losses[-1]:.3f}, {draws} draws',
          flush=True)
  print(f'{options.folder}: {time.monotonic() - begun:.0f} s')
  return 0


def commit(checkout) -> str:
  """The checkout's commit, '' where it has none."""
  command = ['git', '-C', str(checkout), 'describe', '--always', '--dirty']
  return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def main() -> int:
  """Parses the command line."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  commands = parser.add_subparsers(dest='command', required=True)
  names = lambda text: text.split(',')
  one = commands.add_parser('record', help='train and sample every row with a checkout')
  one.add_argument('checkout', type=pathlib.Path)
  one.add_argument('folder', type=pathlib.Path)
  one.add_argument('--rows', type=names, help='names, separated by commas; all by default')
  one.add_argument('--from', dest='other', type=pathlib.Path, help='a folder of another record')
  one.add_argument('--force', action='store_true', help='rows that are there, too')
  one.add_argument('--flags', help=f'XLA_FLAGS to add, by default {QUICK}')
  two = commands.add_parser('compare', help='print by how much two records differ')
  two.add_argument('old', type=pathlib.Path)
  two.add_argument('new', type=pathlib.Path)
  two.add_argument('--rows', type=names)
  two.add_argument('--worst', type=int, default=5, help='arrays named of a row that differs')
  options = parser.parse_args()
  return {'record': record, 'compare': compare_lib.compare}[options.command](options)


if __name__ == '__main__':
  sys.exit(main())
