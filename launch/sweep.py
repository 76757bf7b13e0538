#!/usr/bin/env python3
"""A grid of runs, each in its own workdir, and a table of their held-out bounds, best first.

  launch/sweep.py --config=configs/toy.py:block-masked --folder=runs/sweep \
    optim.learning_rate=1e-3,3e-4 seed=0,1
  launch/sweep.py --jobs=2 ...                          two at a time, each with a log file
  launch/sweep.py --launcher='launch/xpk.sh {name}' ... --folder=/mnt/runs/sweep

Runs on this machine go through launch/local.sh. Arguments that begin with --config. go to every
run. A finished run is not run again, so the same command goes on where it was stopped; one that
ends with 75 is run again, and after one that fails the others go on. A launcher that ends before
its run does is called again by the next call, which also collects the results.

Exit codes: 0 no run has failed, 1 some have, 75 stopped by a signal, 2 a mistake in the arguments.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
UNFINISHED = 75  # exit code of adiff.main: run me again
LOCAL = 'launch/local.sh'


@dataclasses.dataclass
class Run:
  """One point of the grid: {key: value as text}, and what became of it."""

  values: dict
  workdir: pathlib.Path
  state: str = 'not run'

  @property
  def result(self):
    """Its eval.json once training has ended, else None; --mode=follow writes earlier ones."""
    path = self.workdir / 'eval.json'
    try:
      report = json.loads(path.read_text())
      ended = report['step'] >= report['config']['train']['steps'] and report.get('complete', True)
      float(report['numbers']['nats'])
    except FileNotFoundError:
      return None
    except (KeyError, TypeError, ValueError, RecursionError) as error:
      sys.exit(f'sweep: {path} is no evaluation ({error}); write it anew with --mode=eval')
    return report if ended else None

  @property
  def name(self):
    """For launchers: what clouds and clusters take for a name, of this workdir alone."""
    name = f'{self.workdir.parent.name}-{self.workdir.name}'.lower()
    name = 'run-' * (not name[0].isalpha()) + re.sub('[^a-z0-9]+', '-', name).strip('-')
    own = hashlib.sha256(os.fsencode(self.workdir)).hexdigest()[:8]
    return f'{name[:31].rstrip("-")}-{own}'


def split(values):
  """The text between the commas that stand in no bracket: '1,(2,3)' is two values."""
  parts, depth = [''], 0
  for letter in values:
    depth += (letter in '([') - (letter in ')]')
    if letter == ',' and not depth:
      parts.append('')
    else:
      parts[-1] += letter
  return parts


def grid(words, folder) -> list:
  """Every combination of KEY=VALUE,VALUE words, the last key fastest."""
  axes = {}
  for word in words:
    key, _, values = word.partition('=')
    values = split(values)
    known = re.fullmatch(r'[a-z]\w*(\.\w+)*', key) and key not in axes
    if not known or not all(values) or len(set(values)) < len(values):
      raise ValueError(
        f'{word!r} is no axis of the grid; write every key and value once, as KEY=VALUE,VALUE, for '
        'example optim.learning_rate=1e-3,3e-4'
      )
    axes[key] = values
  runs = []
  for values in itertools.product(*axes.values()):
    named = dict(zip(axes, values))
    place = ','.join(f'{key}={value}' for key, value in named.items()) or 'run'
    runs.append(Run(named, folder / re.sub(r'[/\s]', '_', place)))
  return runs


def table(runs) -> str:
  """Markdown: finished runs by their bound, then the others with what became of them."""
  last = float('inf')
  order = sorted(runs, key=lambda run: run.result['numbers']['nats'] if run.result else last)
  columns = [*runs[0].values, 'bound (nats)', '+-', 'state']
  lines = [f'| {" | ".join(columns)} |', '|' + ' --- |' * len(columns)]
  for run in order:
    bound = run.result and run.result['numbers']
    shown = [f'{bound[key]:.4f}' if bound else '' for key in ('nats', 'nats_ci95')]
    lines.append(f'| {" | ".join([*run.values.values(), *shown, run.state])} |')
  return '\n'.join(lines) + '\n'


def claim(options) -> None:
  """Says in the folder what its runs have in common; raises ValueError where it was another thing,
  for finished runs are not made again."""
  note, ours = options.folder / 'sweep.txt', shlex.join([options.config, *options.every])
  theirs = note.read_text(errors='replace') if note.exists() else ours
  if theirs != ours:
    raise ValueError(
      f'{options.folder} holds runs of {theirs[:200]!r}, not of {ours!r}; choose another --folder'
    )
  draft = options.folder / f'sweep.{os.getpid()}.tmp'
  draft.write_text(ours)
  os.replace(draft, note)


class Sweep:
  """Runs that have begun, and whether they were told to stop."""

  def __init__(self, options, runs):
    self.options, self.runs = options, runs
    self.children, self.stopped = set(), False

  def stop(self, *_):
    """Handles a signal: what runs saves and ends, nothing else begins."""
    self.stopped = True
    for child in list(self.children):
      child.terminate()

  def command(self, run):
    """The words that start a run."""
    return [
      *shlex.split(self.options.launcher.replace('{name}', run.name)),
      f'--config={self.options.config}', f'--workdir={run.workdir}', *self.options.every,
      *(f'--config.{key}={value}' for key, value in run.values.items()),
    ]

  def run(self, run):
    """One run, to its end or to its failure."""
    begun, code = time.monotonic(), UNFINISHED
    while code == UNFINISHED and not self.stopped and not run.result:
      log = f'{run.workdir}.log' if self.options.jobs > 1 else None
      self.say(f'{run.workdir.name} begins{f", its log: {log}" if log else ""}\n'
               f'  {shlex.join(self.command(run))}')
      code = self.call(run, log)
      if code == UNFINISHED and not self.stopped:
        time.sleep(float(os.environ.get('PAUSE', 10)))
    if run.result:
      run.state = 'finished'
    elif code == UNFINISHED:
      run.state = 'stopped'
    else:
      run.state = f'failed with {code}' if code else 'handed over'
    minutes = (time.monotonic() - begun) / 60
    self.say(f'{run.workdir.name}: {run.state} after {minutes:.1f} minutes')
    self.write()

  def write(self):
    """Writes the table as it is now."""
    (self.options.folder / 'sweep.md').write_text(table(self.runs))

  def call(self, run, log):
    """Calls the launcher once; returns its exit code. log: a file for what it prints, or None."""
    with open(log, 'a') if log else contextlib.nullcontext() as out:
      child = subprocess.Popen(self.command(run), cwd=ROOT, stdout=out, stderr=out)
      self.children.add(child)
      if self.stopped:  # between the question and the start
        child.terminate()
      code = child.wait()
      self.children.discard(child)
    return code

  def say(self, text):
    """A line on how far the sweep is."""
    done = sum(run.state != 'not run' for run in self.runs)
    print(f'[sweep {done}/{len(self.runs)}] {text}', flush=True)


def main(arguments=None) -> int:
  """Runs what is not finished and prints the table; returns the exit code."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
    usage='launch/sweep.py --config=FILE --folder=FOLDER [options] KEY=VALUE,VALUE ...',
  )
  parser.add_argument('axes', nargs='*', metavar='KEY=VALUE,VALUE', help='keys of the config')
  parser.add_argument('--config', required=True, help='as for adiff.main')
  parser.add_argument('--folder', required=True, type=pathlib.Path, help='holds the workdirs')
  parser.add_argument('--jobs', type=int, default=1, help='runs at a time (default: 1)')
  parser.add_argument(
    '--launcher', default=LOCAL, help='command before the arguments of a run; {name} is its name'
  )
  options, options.every = parser.parse_known_args(arguments)
  for word in options.every:
    if not word.startswith('--config.') or '=' not in word:
      parser.error(f'{word!r} is no argument; those of every run are written --config.KEY=VALUE')
  program = (shlex.split(options.launcher) or [''])[0]
  if not (shutil.which(program) or shutil.which(ROOT / program)):
    parser.error(f'--launcher={options.launcher}: there is no program {program!r}')
  if options.jobs < 1:
    parser.error(f'--jobs={options.jobs} runs nothing; write 1 or more')
  if re.match(r'\w+:/', str(options.folder)):
    parser.error(f'--folder={options.folder}: a sweep collects its results from a disk; name one')
  options.folder = options.folder.resolve()
  try:
    runs = grid(options.axes, options.folder)
    options.folder.mkdir(parents=True, exist_ok=True)
    claim(options)
  except (ValueError, OSError) as error:
    parser.error(str(error))
  sweep = Sweep(options, runs)
  for name in (signal.SIGINT, signal.SIGTERM):
    signal.signal(name, sweep.stop)
  if options.launcher == LOCAL:  # made once, before several runs would make it at a time
    made = subprocess.run(['bash', '-ec', 'source launch/environment.sh'], cwd=ROOT, check=False)
    if made.returncode:  # it has said why
      return made.returncode
  with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
    list(pool.map(sweep.run, runs))
  sweep.write()
  print(f'\n{table(runs)}\n{options.folder / "sweep.md"}')
  if sweep.stopped:
    return UNFINISHED
  return int(any(run.state.startswith('failed') for run in runs))


if __name__ == '__main__':
  sys.exit(main())
