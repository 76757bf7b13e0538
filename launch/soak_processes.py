"""Entries of the soak with several processes: four that share a run, a run and its evaluator."""

import collections
import hashlib
import json
import pathlib
import random
import re
import shutil
import socket
import subprocess
import threading
import time

from launch import runs

DEVICES, COUNT, ROWS = 8, 4, 32
STOP, GATHER = 60, 30  # seconds in which the rest must have stopped, and all must have come
TRIES = 4  # launches
APART = {'gradients': 1e-5, 'losses': 1e-3}
TINY = (
  *('--config=configs/toy.py:block', '--config.data.size=2048', '--config.model.width=16'),
  *('--config.model.depth=1', '--config.model.heads=2', '--config.optim.warmup=0'),
  *('--config.plan.steps=4', f'--config.train.batch_size={ROWS}', '--config.train.eval_every=0'),
  *('--config.eval.batch_size=64', '--config.eval.examples=64', '--config.eval.samples=1'),
  '--config.eval.num=512',
)


def processes(folder, options):
  """Four processes of two devices do what one does, whichever is killed or told to stop."""
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir(parents=True)
  command = [
    *TINY, '--config.train.steps=80', '--config.train.checkpoint_every=10',
    '--config.train.log_every=1', *options.training,
  ]
  try:
    lost = through(*launched(command, folder / 'alone', 1, devices=1))
    begun = time.monotonic()
    lost += through(*launched(command, folder / 'whole', COUNT))
    seconds = time.monotonic() - begun
    runs.say(f'four processes need {seconds:.0f} s')
    facts = _gradients(folder)
    runs.say(str(facts))
    told = _told_to_stop(command, folder)
    for count in (1, 2):
      shutil.copytree(folder / 'told', folder / f'resumed_{count}')
      lost += through(*launched(command, folder / f'resumed_{count}', count))
    killed = _kill_one_of_four(command, folder, seconds, options.process_kills)
  except Ended as ended:
    return ended.args[0]
  losses = {
    'one process': _apart(folder / 'alone', folder / 'whole'),
    **{f'resumed on {n}': _apart(folder / f'resumed_{n}', folder / 'whole') for n in (1, 2)},
  }
  killed['launched again unkilled'] += lost
  passed = (
    not killed['differences'] and not facts['batches that differ']
    and killed['slowest stop, seconds'] <= STOP
    and max(facts['gradients apart'].values()) <= APART['gradients']
    and max(losses.values()) <= APART['losses']
  )
  return {
    'passed': bool(passed), **facts, 'losses apart': losses, **told, **killed,
    'seconds of a whole run': round(seconds, 1), **runs.made_by(folder / 'whole'),
  }


class Ended(Exception):
  """A run ended otherwise than it should; the row."""


def launch(arguments, count, log, *, module='adiff.main', devices=None):
  """Starts `count` processes that share eight devices, or as many as are given; returns them."""
  with socket.socket() as listener:  # a free port, for the first process to listen at
    listener.bind(('localhost', 0))
    port = listener.getsockname()[1]
  which = lambda i: (
    (f'--processes={i}/{count}@localhost:{port}', f'--gather={GATHER}') if count > 1 else ()
  )
  devices = (devices or DEVICES) // count
  return [
    runs.start([*arguments, *which(i)], f'{log}.{i}', module=module, devices=devices)
    for i in range(count)
  ]


def launched(command, workdir, count, **how):
  """(start, log) of a training run, which is in `workdir`."""
  return lambda: launch([*command, f'--workdir={workdir}'], count, workdir, **how), workdir


def through(start, log, running=None):
  """Runs to the end; how often all had to be started again though nobody was killed.

  running: what start() has returned already. On a machine with too much to do, processes lose each
  other where one compiles half a minute longer than the others (a limit of Gloo's).
  """
  for again in range(TRIES):
    codes = [one.wait() for one in running or start()]
    if not any(codes):
      return again
    running = None
  index, code = next((index, code) for index, code in enumerate(codes) if code)
  raise Ended(runs.failed(code, f'{log}.{index}'))


def _gradients(folder):
  """Batches, and gradients at equal parameters, of 1, 2 and 4 processes against one device."""
  command = [f'--workdir={folder / "alone"}', f'--kept={folder / "kept.npz"}']
  differing, apart = 0, {}
  for count, devices in ((0, 1), (1, DEVICES), (2, DEVICES), (COUNT, DEVICES)):
    log, how = folder / f'gradients_{count}', dict(module='launch.soak_gradients', devices=devices)
    start = lambda n=max(count, 1), log=log, how=how: launch(command, n, log, **how)
    through(start, log)
    if not count:  # one device has kept its own
      continue
    said = [pathlib.Path(f'{log}.{index}.out').read_text() for index in range(count)]
    facts = [json.loads(re.search(r'^{.*}$', text, re.M)[0]) for text in said]
    rows = [row for one in facts for row in range(*one['rows'])]
    differing += sum(one['batches that differ'] for one in facts) + (rows != list(range(ROWS)))
    apart[f'{count} x {DEVICES // count}'] = float(f'{max(one["apart"] for one in facts):.2g}')
  return {
    'steps': facts[0]['steps'], 'batches that differ': differing, 'gradients apart': apart
  }


def _told_to_stop(command, folder):
  """SIGTERM to one of four, midway: all save one step, which lies in folder/told."""
  from adiff.machine import checkpoint

  workdir = folder / 'told'
  start, log = launched(command, workdir, COUNT)
  for _ in range(TRIES):
    running = start()
    runs.after(0.1, workdir / 'checkpoints' / 'digests' / '30.json')(running[0])
    running[2].terminate()
    codes = [one.wait() for one in running]
    if codes == [75] * COUNT:
      return {'saved after SIGTERM at step': checkpoint.latest_step(workdir)}
    shutil.rmtree(workdir, ignore_errors=True)
  raise Ended(runs.failed(codes[0], f'{log}.0'))


def _kill_one_of_four(command, folder, seconds, count):
  """SIGKILLs at random moments: how soon the rest stop, and what the resumed runs differ by."""
  rng, made, ended, slowest, lost, wrong = random.Random(4), 0, 0, 0.0, 0, []
  codes = collections.Counter()
  while made < count:
    workdir, running = folder / f'killed_{ended}', None
    start, log = launched(command, workdir, COUNT)
    for _ in range(count - made):
      running, victim, moment = start(), rng.randrange(COUNT), rng.uniform(0, seconds)
      runs.after(moment)(running[victim])
      if any(one.poll() is not None for one in running):
        break
      running[victim].kill()
      took, ended_with = stop(running)
      running = None
      if 0 in ended_with and not (workdir / 'eval.json').exists():
        wrong.append(f'{workdir.name} was called finished and was not')
      codes.update(code for index, code in enumerate(ended_with) if index != victim)
      slowest, made = max(slowest, took), made + 1
      runs.say(f'{made} of {count} kills: process {victim} after {moment:.0f} s, rest {took:.0f} s')
    lost += through(start, log, running)
    wrong += runs.differences(workdir, folder / 'whole')
    ended += 1
    runs.say(f'{made} of {count} kills, run {ended} ended; {len(wrong)} differences')
  return {
    'kills': made, 'runs': ended, 'slowest stop, seconds': round(slowest, 1),
    'exit codes of the rest': dict(codes), 'launched again unkilled': lost, 'differences': wrong,
  }


def stop(running):
  """Seconds until all have stopped by themselves, and their exit codes."""
  begun = time.monotonic()
  for one in running:
    try:
      one.wait(timeout=max(begun + 2 * STOP - time.monotonic(), 0))
    except subprocess.TimeoutExpired:
      one.kill()
  return time.monotonic() - begun, [one.wait() for one in running]


def _apart(workdir, reference):
  """The largest difference of a training loss."""
  from adiff.machine import logs

  one, other = (
    {row['step']: row['loss'] for row in logs.read(place) if 'loss' in row}
    for place in (workdir, reference)
  )
  return float(f'{max(abs(one[step] - other[step]) for step in one.keys() | other.keys()):.2g}')


CHECKPOINTS, EVERY = 20, 200


def follow(folder, options):
  """A run and its evaluator are killed: each checkpoint is evaluated once, and never again."""
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir(parents=True)
  workdir, rng = folder / 'run', random.Random(5)
  steps = [EVERY * (n + 1) for n in range(CHECKPOINTS)]
  train = [
    *TINY, f'--config.train.steps={steps[-1]}', f'--config.train.checkpoint_every={EVERY}',
    f'--config.train.keep={CHECKPOINTS}', f'--workdir={workdir}', *options.training,
  ]
  # Random moments after random ones of the checkpoints, and of the evaluations, are there.
  moments = lambda kind, seconds: [
    runs.after(rng.uniform(0, seconds), workdir / kind / str(step))
    for step in sorted(rng.sample(steps[:-4], options.follow_kills))
  ]
  trainer = _Mortal(train, moments('checkpoints', 1), folder / 'train')
  watcher = _Mortal(
    ['--mode=follow', f'--workdir={workdir}'], moments('eval', 3), folder / 'follow'
  )
  trainer.start()
  while trainer.is_alive() and not (workdir / 'config.json').exists():
    time.sleep(0.05)
  watcher.start()
  seen = {}  # step: what its evaluation was when it appeared
  while trainer.is_alive() or watcher.is_alive():
    for step in _evaluated(workdir) - seen.keys():
      seen[step] = _identity(workdir / 'eval' / str(step) / 'eval.json')
    time.sleep(0.02)
  for one in (trainer, watcher):
    if one.code:
      return runs.failed(one.code, one.logs[-1])
  told = collections.Counter(
    int(step) for log in watcher.logs
    for step in re.findall(r'^step (\d+), ', pathlib.Path(f'{log}.out').read_text(), re.M)
  )
  changed = [
    step for step in sorted(seen)
    if _identity(workdir / 'eval' / str(step) / 'eval.json') != seen[step]
  ]
  kills = {'of the run': trainer.kills, 'of the evaluator': watcher.kills}
  passed = (
    sorted(_evaluated(workdir)) == steps and dict(told) == dict.fromkeys(steps, 1) and not changed
    and set(kills.values()) == {options.follow_kills}
  )
  return {
    'passed': passed, 'kills': kills, 'checkpoints': len(steps),
    'evaluated': len(_evaluated(workdir)), 'told once': list(told.values()).count(1),
    'told again': [step for step, count in told.items() if count > 1],
    'changed after they appeared': changed, **runs.made_by(workdir),
  }


class _Mortal(threading.Thread):
  """A command that is killed at its moments and run again, at last to its end.

  kills, code: as of `runs.kill_and_resume`, once it has ended. logs: one of every life.
  """

  def __init__(self, arguments, moments, log):
    super().__init__(daemon=True)
    self._arguments, self._moments, self._log = arguments, moments, log
    self.kills, self.code, self.logs = 0, 1, []

  def run(self):
    self.kills, self.code = runs.kill_and_resume(
      self._start, self._arguments, self._moments, self._log
    )

  def _start(self, arguments, log):
    self.logs.append(f'{log}_{len(self.logs)}')
    runs.say(f'{log.name}, life {len(self.logs)}')
    return runs.start(arguments, self.logs[-1])


def _evaluated(workdir):
  """Steps whose evaluation is there."""
  paths = (workdir / 'eval').glob('*/eval.json')
  return {int(path.parent.name) for path in paths if path.parent.name.isdecimal()}


def _identity(path):
  """Tells a file from another one that was written in its place, even with equal contents."""
  facts = path.stat()
  return facts.st_ino, facts.st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()
