r"""The long proof: killed runs end where whole ones do, and every regime meets its exact answer.

  launch/soak.sh                        every entry, about an hour on two cores
  launch/soak.sh --samples=50000        and that many digits, killed and resumed
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

ROOT = pathlib.Path(__file__).resolve().parents[1]
CHILDREN = dict(os.environ)  # this process itself stays off the accelerator
TOLERANCE = 0.05  # of the exact nats: how far above it a bound may end
LEVEL = 1e-3  # smallest p-value with which samples pass for the law


# Killing and resuming; the tests use these too.


def start(arguments, log) -> subprocess.Popen:
  """Starts the binary; standard output goes to log.out, errors to log.err."""
  with open(f'{log}.out', 'w') as out, open(f'{log}.err', 'w') as err:
    command = [sys.executable, '-m', 'adiff.main', *map(str, arguments)]
    return subprocess.Popen(command, stdout=out, stderr=err, cwd=ROOT, env=CHILDREN)


def after(seconds, path=None):
  """A moment: so many seconds after the start, or after `path` exists, or the process's end."""

  def wait(process):
    while path is not None and not os.path.exists(path) and process.poll() is None:
      time.sleep(0.002)
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
      time.sleep(0.002)

  return wait


def kill_and_resume(starter, arguments, moments, log):
  """Kills a command at each moment and runs it again, at last to its end; (kills, exit code).

  starter: `start`, or a function like it. moments: functions of the process that return when it is
  time. A run that ends before its moment ends the series.
  """
  kills = 0
  for moment in moments:
    process = starter(arguments, log)
    moment(process)
    if process.poll() is not None:
      return kills, process.wait()
    process.kill()
    process.wait()
    kills += 1
  return kills, starter(arguments, log).wait()


def differences(workdir, reference) -> list[str]:
  """What tells a run from another one: parameters bit for bit, and metrics except times."""
  import jax

  from adiff import checkpoint, logs

  found = []
  for ema in (False, True):
    trees = [checkpoint.restore_params(place, ema=ema) for place in (workdir, reference)]
    if trees[0][0] != trees[1][0]:
      found.append(f'newest step {trees[0][0]} and {trees[1][0]}')
    leaves = [jax.tree_util.tree_leaves_with_path(tree) for _, tree in trees]
    for (path, one), (_, other) in zip(*leaves, strict=True):
      if one.tobytes() != other.tobytes():
        found.append(f'{"average" if ema else "parameters"} {jax.tree_util.keystr(path)}')
  rows = [
    [{k: v for k, v in row.items() if not k.startswith('time/')} for row in logs.read(place)]
    for place in (workdir, reference)
  ]
  if rows[0] != rows[1]:
    found.append(f'metric lines ({len(rows[0])} and {len(rows[1])})')
  return found


# Entries: each returns the facts of its row, with 'passed'.


def kills(folder, options):
  """Random SIGKILLs; every run that was resumed to its end equals a whole one."""
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir(parents=True)
  command = [
    *('--config=configs/toy.py:block', '--config.model.width=32', '--config.model.depth=2'),
    *('--config.train.steps=600', '--config.train.checkpoint_every=50',
    '--config.train.eval_every=250', *options.training),
  ]
  begun = time.monotonic()
  reference = folder / 'whole'
  code = start([*command, f'--workdir={reference}'], folder / 'whole').wait()
  if code:
    return _failed(code, folder / 'whole')
  seconds = time.monotonic() - begun
  moments, made, runs, wrong = random.Random(0), 0, 0, []
  while made < options.kills:
    workdir = folder / f'killed_{runs}'
    lives = [after(moments.uniform(0, seconds)) for _ in range(options.kills - made)]
    count, code = kill_and_resume(start, [*command, f'--workdir={workdir}'], lives, workdir)
    made, runs = made + count, runs + 1
    if code:
      return _failed(code, workdir)
    wrong += differences(workdir, reference)
    _say(f'{made} of {options.kills} kills, run {runs} ended; {len(wrong)} differences')
  facts = {'kills': made, 'runs': runs, 'seconds of a whole run': round(seconds, 1)}
  return {'passed': not wrong, **facts, 'differences': wrong, **_made_by(reference)}


SHORT = (  # a run that saves every few steps
  *('--config=configs/toy.py:block', '--config.model.width=16', '--config.model.depth=1'),
  *('--config.model.heads=2', '--config.optim.warmup=0', '--config.train.batch_size=32'),
  *('--config.train.eval_every=0', '--config.train.checkpoint_every=5', '--config.train.keep=3'),
)


def checkpoint_kills(folder, options):
  """SIGKILLs while checkpoints are written: the newest complete one is always there, and sound."""
  from adiff import checkpoint, manifest

  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir(parents=True)
  workdir, moments, lost, made = folder / 'run', random.Random(2), [], 0
  command = [*SHORT, '--config.train.steps=1000000', f'--workdir={workdir}', *options.training]
  newest = lambda: max(manifest.sealed(workdir), default=0)
  while made < options.checkpoint_kills:
    process, begun = start(command, folder / 'log'), newest()
    while newest() <= begun and process.poll() is None:
      time.sleep(0.002)
    after(moments.uniform(0, 1))(process)
    if process.poll() is not None:
      return _failed(process.wait(), folder / 'log')
    complete = newest()
    process.kill()
    process.wait()
    made += 1
    step, _ = checkpoint.restore_params(workdir)
    if step < complete or os.path.exists(workdir / 'checkpoints' / 'damaged'):
      lost.append(complete)
    if made % 10 == 0:
      _say(f'{made} of {options.checkpoint_kills} kills, step {step}, {len(lost)} lost')
  return {'passed': not lost, 'kills': made, 'last step': step, 'lost': lost, **_here()}


def mutilations(folder, options):
  """A checkpoint is truncated, flipped, thinned out or exchanged: named, set aside, not used."""
  import jax
  from absl import logging

  from adiff import checkpoint

  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir(parents=True)
  command = [*SHORT, '--config.train.steps=15', f'--workdir={folder}/whole', *options.training]
  code = start(command, folder / 'log').wait()
  if code:
    return _failed(code, folder / 'log')
  said, rng, missed = [], random.Random(3), []
  logging.warning, before = lambda text, *words: said.append(text % words), logging.warning
  for index in range(options.mutilations):
    workdir = folder / 'spoilt'
    shutil.rmtree(workdir, ignore_errors=True)
    shutil.copytree(folder / 'whole', workdir)
    how, path = _spoil(workdir / 'checkpoints', rng)
    _, params = checkpoint.restore_params(folder / 'whole', step=10)
    said.clear()
    step, found = checkpoint.restore_params(workdir)
    same = jax.tree.map(lambda a, b: a.tobytes() == b.tobytes(), found, params)
    named = any(path.name in text and 'checkpoints/15' in text for text in said)
    if step != 10 or not named or not all(jax.tree.leaves(same)):
      missed.append(f'{index}: {how} {path.relative_to(workdir)}')
  logging.warning = before
  return {'passed': not missed, 'mutilations': options.mutilations, 'missed': missed, **_here()}


def _spoil(root, rng):
  """Damages a random file of checkpoint 15; what was done, and the file."""
  found = sorted((root / '15').rglob('*'))
  files = [path for path in found if path.is_file() and path.stat().st_size]
  path, how = rng.choice(files), rng.choice(('truncate', 'flip', 'delete', 'exchange'))
  other = root / '10' / path.relative_to(root / '15')
  if how == 'exchange' and (not other.exists() or other.read_bytes() == path.read_bytes()):
    how = 'flip'
  whole = bytearray(path.read_bytes())
  if how == 'truncate':
    path.write_bytes(whole[:rng.randrange(len(whole))])
  elif how == 'flip':
    whole[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
    path.write_bytes(whole)
  elif how == 'delete':
    path.unlink()
  else:
    path.write_bytes(other.read_bytes())
  return how, path


def _here():
  from adiff import evaluate

  return {'commit': evaluate.commit(), 'hardware': evaluate.hardware()}


def regime(folder, options, argument):
  """A row of configs/toy.py against the exact entropy and the law of its data."""
  command = [f'--config=configs/toy.py:{argument}', f'--workdir={folder}', *options.training]
  code = start(command, folder.with_name(f'{folder.name}_log')).wait()
  if code:
    return _failed(code, folder.with_name(f'{folder.name}_log'))
  found = json.loads((folder / 'eval.json').read_text())
  bound, p_value = found['bound'], found['law']['p_value']
  over = bound['nats'] - bound['exact']
  passed = -bound['ci95'] <= over <= TOLERANCE * abs(bound['exact']) and p_value > LEVEL
  return {
    'passed': bool(passed), 'bound': bound['nats'], 'ci95': bound['ci95'],
    'exact': bound['exact'], 'over': over / abs(bound['exact']), 'p': p_value,
    'samples': found['generators'][0]['num'], **_made_by(folder),
  }


def exactness(folder, options):
  """The cached sampler against the plain one, for every row, delay, solver and guidance."""
  from adiff import evaluate

  folder.mkdir(parents=True, exist_ok=True)
  with open(folder / 'pytest.out', 'w') as out:
    command = [sys.executable, '-m', 'pytest', '-q', '-m', 'soak', 'tests']
    code = subprocess.run(command, stdout=out, stderr=out, cwd=ROOT, check=False).returncode
  said = (folder / 'pytest.out').read_text().strip().splitlines()[-1]
  return {'passed': code == 0, 'pytest': said.strip('= '), 'commit': evaluate.commit()}


def samples(folder, options):
  """Digits drawn in one go, and killed and resumed: the same file."""
  folder.mkdir(parents=True, exist_ok=True)
  workdir = folder / 'digits'
  train = ['--config=configs/digits.py', f'--workdir={workdir}', *options.training]
  code = start(train, folder / 'train').wait()
  if code:
    return _failed(code, folder / 'train')
  for name in ('whole', 'killed'):
    shutil.rmtree(folder / f'{name}.npz.parts', ignore_errors=True)
  draw = ['--mode=sample', f'--workdir={workdir}', f'--num={options.samples}']
  begun = time.monotonic()
  code = start([*draw, f'--out={folder}/whole.npz'], folder / 'whole').wait()
  if code:
    return _failed(code, folder / 'whole')
  seconds = time.monotonic() - begun
  moments = random.Random(1)
  lives = [after(moments.uniform(0.3, 0.9) * seconds) for _ in range(3)]
  made, code = kill_and_resume(start, [*draw, f'--out={folder}/killed.npz'], lives, folder / 'kill')
  if code:
    return _failed(code, folder / 'kill')
  whole, killed = (np.load(folder / f'{name}.npz') for name in ('whole', 'killed'))
  equal = all(np.array_equal(whole[name], killed[name]) for name in ('examples', 'labels'))
  facts = {'samples': len(killed['labels']), 'kills': made, 'seconds of a whole run': seconds}
  return {'passed': equal and made > 0, **facts, **_made_by(workdir)}


def _failed(code, log):
  """The row of a run that did not end well."""
  last = pathlib.Path(f'{log}.err').read_text().strip().splitlines()[-1:]
  return {'passed': False, 'exit code': code, 'said': ' '.join(last)}


def _made_by(workdir):
  found = json.loads((workdir / 'eval.json').read_text())
  return {key: found[key] for key in ('commit', 'hardware')}


# The table.


def _say(text):
  print(f'[soak] {text}', flush=True)


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
  parser.add_argument('--folder', type=pathlib.Path, default=ROOT / 'runs' / 'soak')
  parser.add_argument('--report', type=pathlib.Path, default=ROOT / 'benchmarks' / 'soak.md')
  parser.add_argument('--kills', type=int, default=20, help='SIGKILLs in the entry "kills"')
  parser.add_argument('--checkpoint-kills', type=int, default=100, help='while it is written')
  parser.add_argument('--mutilations', type=int, default=50, help='of a checkpoint')
  parser.add_argument('--samples', type=int, default=0, help='digits to draw; 0: no such entry')
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
    'exactness': exactness, 'kills': kills, 'checkpoint-kills': checkpoint_kills,
    'mutilations': mutilations,
  }
  for argument in toy.ARGUMENTS:
    entries[f'toy-{argument}'] = lambda folder, options, a=argument: regime(folder, options, a)
  if options.samples:
    entries['samples'] = samples
  command = ' '.join(['launch/soak.sh', *(sys.argv[1:] if arguments is None else arguments)])
  results = []
  for name, entry in entries.items():
    place = options.folder / f'{name}.json'
    if not place.exists():
      if options.only not in name:
        continue
      _say(f'{name} begins')
      begun = time.monotonic()
      found = {'entry': name, **entry(options.folder / name, options)}
      found['minutes'] = (time.monotonic() - begun) / 60
      found['date'] = datetime.datetime.now(datetime.UTC).strftime('%Y-%m-%d')
      if 'exit code' not in found:  # one that could not run is tried again by the next call
        place.with_suffix('.tmp').write_text(json.dumps(found, indent=1))
        place.with_suffix('.tmp').replace(place)
    else:
      found = json.loads(place.read_text())
    results.append(found)
    facts = {k: v for k, v in results[-1].items() if k not in ('entry', 'hardware')}
    _say(f'{name}: ' + ', '.join(f'{key} {_cell(value)}' for key, value in facts.items()))
    report(results, options.report, command)
  return 0 if all(row['passed'] for row in results) else 1


if __name__ == '__main__':
  sys.exit(main())
