r"""The long proof: killed runs end where whole ones do, and every regime meets its exact answer.

  launch/soak.sh                        every entry, about four hours on two cores
  launch/soak.sh --samples=50000        and that many digits, killed and resumed
  launch/soak.sh --data=DIR             and judges at the size of MNIST and CIFAR-10, see --help
  launch/soak.sh --only=kills           the entries whose name contains this

A finished entry is kept in FOLDER/ENTRY.json and not run again, so the same command goes on where
it was stopped; delete the file to repeat one. The report is written anew after every entry.
Arguments that begin with --config. go to every training run.
"""

import argparse
import datetime
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

import numpy as np

from adiff.machine import files
from launch import runs, soak_chain, soak_faults, soak_hosts, soak_judges, soak_processes

TOLERANCE = 0.05  # of the exact nats: how far above it a bound may end
LEVEL = 1e-3  # smallest p-value with which samples pass for the law


# Entries: each returns the facts of its row, with 'passed'.


def regime(folder, options, argument):
  """A row of configs/toy.py against the exact entropy and the law of its data."""
  command = [f'--config=configs/toy.py:{argument}', f'--workdir={folder}', *options.training]
  code = runs.start(command, folder.with_name(f'{folder.name}_log')).wait()
  if code:
    return runs.failed(code, folder.with_name(f'{folder.name}_log'))
  found = json.loads((folder / 'eval.json').read_text())['numbers']
  bound, ci95, exact, p_value = (found[key] for key in ('nats', 'nats_ci95', 'exact', 'p_value'))
  over = bound - exact
  passed = -ci95 <= over <= TOLERANCE * abs(exact) and p_value > LEVEL
  return {
    'passed': bool(passed), 'bound': bound, 'ci95': ci95, 'exact': exact, 'over': over / abs(exact),
    'p': p_value, 'samples': found['num_samples'], **runs.made_by(folder),
  }


def exactness(folder, options):
  """The cached sampler against the plain one, for every row, delay, solver and guidance."""
  from adiff.machine import provenance

  folder.mkdir(parents=True, exist_ok=True)
  with open(folder / 'pytest.out', 'w') as out:
    command = [sys.executable, '-m', 'pytest', '-q', '-m', 'soak', 'tests']
    code = subprocess.run(command, stdout=out, stderr=out, cwd=runs.ROOT, check=False).returncode
  said = (folder / 'pytest.out').read_text().strip().splitlines()[-1]
  return {'passed': code == 0, 'pytest': said.strip('= '), 'commit': provenance.commit()}


def samples(folder, options):
  """Digits drawn in one go, and killed and resumed: the same file."""
  folder.mkdir(parents=True, exist_ok=True)
  workdir = folder / 'digits'
  train = ['--config=configs/digits.py', f'--workdir={workdir}', *options.training]
  code = runs.start(train, folder / 'train').wait()
  if code:
    return runs.failed(code, folder / 'train')
  for name in ('whole', 'killed'):
    shutil.rmtree(folder / f'{name}.npz.parts', ignore_errors=True)
  draw = ['--mode=sample', f'--workdir={workdir}', f'--num={options.samples}']
  begun = time.monotonic()
  code = runs.start([*draw, f'--out={folder}/whole.npz'], folder / 'whole').wait()
  if code:
    return runs.failed(code, folder / 'whole')
  seconds = time.monotonic() - begun
  moments = random.Random(1)
  lives = [runs.after(moments.uniform(0.3, 0.9) * seconds) for _ in range(3)]
  made, code = runs.kill_and_resume(
    runs.start, [*draw, f'--out={folder}/killed.npz'], lives, folder / 'kill'
  )
  if code:
    return runs.failed(code, folder / 'kill')
  whole, killed = (np.load(folder / f'{name}.npz') for name in ('whole', 'killed'))
  equal = all(np.array_equal(whole[name], killed[name]) for name in ('arr_0', 'arr_1'))
  facts = {'samples': len(killed['arr_1']), 'kills': made, 'seconds of a whole run': seconds}
  return {'passed': equal and made > 0, **facts, **runs.made_by(workdir)}


# The table.


def _cell(value):
  return f'{value:.4g}' if isinstance(value, float) else str(value)


def _table(columns, rows):
  """Markdown; `passed` in words."""
  lines = ['| ' + ' | '.join(columns) + ' |', '|' + ' --- |' * len(columns)]
  for row in rows:
    shown = {**row, 'passed': 'yes' if row['passed'] else '**no**'}
    lines.append('| ' + ' | '.join(_cell(shown.get(name, '')) for name in columns) + ' |')
  return lines


def report(results, path, command):
  """Writes the page: which entries passed, on what, from which commit."""
  drawn = [row for row in results if 'exact' in row]
  others = [row for row in results if 'exact' not in row]
  hardware = sorted({row['hardware'] for row in results if 'hardware' in row})
  lines = [
    '# Soak', '',
    f'Hardware: {"; ".join(hardware)}. Command: `{command}`.', '',
    'Killed at random moments and resumed to the end: parameters and their average are compared '
    'bit by bit with those of a whole run, metric lines except their times, samples number by '
    'number.', '',
  ]
  for row in others:
    facts = {k: v for k, v in row.items() if k not in ('passed', 'hardware', 'entry')}
    lines.append(f'- {row["entry"]}: {"passed" if row["passed"] else "**failed**"}; '
                 + ', '.join(f'{name} {_cell(value)}' for name, value in facts.items()))
  lines += [
    '',
    f'Every regime on data with exact answers, in nats an example. `over` is (bound - exact) / '
    f'|exact|: at most {TOLERANCE}, and not below zero by more than the 95% interval. p: test of '
    f'the law of the samples, above {LEVEL}.', '',
    *_table(('entry', 'passed', 'bound', 'ci95', 'exact', 'over', 'p', 'samples', 'minutes',
             'commit', 'date'), drawn),
  ]
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text('\n'.join(lines) + '\n')


def main(arguments=None) -> int:
  """Runs what is not finished; 0 when all entries have passed."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--folder', type=pathlib.Path, default=runs.ROOT / 'runs' / 'soak')
  parser.add_argument('--report', type=pathlib.Path, default=runs.ROOT / 'benchmarks' / 'soak.md')
  parser.add_argument('--kills', type=int, default=20, help='SIGKILLs in the entry "kills"')
  parser.add_argument('--checkpoint-kills', type=int, default=100, help='while it is written')
  parser.add_argument('--mutilations', type=int, default=50, help='of a checkpoint')
  parser.add_argument('--process-kills', type=int, default=10, help='of one process of four')
  parser.add_argument('--host-kills', type=int, default=5, help='of one host of two, in each mode')
  parser.add_argument('--follow-kills', type=int, default=5, help='of a run, and of its evaluator')
  parser.add_argument('--samples', type=int, default=0, help='digits to draw; 0: no such entry')
  parser.add_argument(
    '--data', default='', help='folder of the TFDS sets mnist and cifar10, to judge; none: no entry'
  )
  parser.add_argument('--only', default='', help='run the entries whose name contains this')
  options, options.training = parser.parse_known_args(arguments)
  foreign = [word for word in options.training if not word.startswith('--config.')]
  if foreign:
    parser.error(f'{foreign[0]} is no argument; those of training runs begin with --config.')
  os.environ['JAX_PLATFORMS'] = 'cpu'
  from configs import toy

  options.folder = options.folder.resolve()
  options.folder.mkdir(parents=True, exist_ok=True)
  entries = {
    'exactness': exactness, 'kills': soak_faults.kills,
    'checkpoint-kills': soak_faults.checkpoint_kills, 'mutilations': soak_faults.mutilations,
    'processes': soak_processes.processes, 'follow': soak_processes.follow,
    'chain': soak_chain.chain, 'hosts': soak_hosts.hosts, 'tokens': soak_hosts.tokens,
  }
  for argument in toy.ARGUMENTS:
    entries[f'toy-{argument}'] = lambda folder, options, a=argument: regime(folder, options, a)
  if options.samples:
    entries['samples'] = samples
  if options.data:
    entries |= {f'judges-{name}': soak_judges.judges(name) for name in soak_judges.SETS}
  command = ' '.join(['launch/soak.sh', *(sys.argv[1:] if arguments is None else arguments)])
  results = []
  for name, entry in entries.items():
    place = options.folder / f'{name}.json'
    if not place.exists():
      if options.only not in name:
        continue
      runs.say(f'{name} begins')
      begun = time.monotonic()
      result = {'entry': name, **entry(options.folder / name, options)}
      result['minutes'] = (time.monotonic() - begun) / 60
      result['date'] = datetime.datetime.now(datetime.UTC).strftime('%Y-%m-%d')
      if 'exit code' not in result:  # one that could not run is tried again by the next call
        files.write_json(place, result)
    else:
      result = json.loads(place.read_text())
    results.append(result)
    facts = {k: v for k, v in results[-1].items() if k not in ('entry', 'hardware')}
    runs.say(f'{name}: ' + ', '.join(f'{key} {_cell(value)}' for key, value in facts.items()))
    report(results, options.report, command)
  return 0 if all(row['passed'] for row in results) else 1


if __name__ == '__main__':
  sys.exit(main())
