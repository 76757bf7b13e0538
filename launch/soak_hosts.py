"""Entries of the soak: two hosts share samples, evaluations and tokens, killed at random."""

import collections
import json
import random
import shutil
import time

from launch import runs
from launch.soak_processes import STOP, TINY, Ended, launch, stop, through

HOSTS, DEVICES, SAMPLES = 2, 2, 1000  # devices of a host
CHECKPOINTS, EVERY = 8, 10
COPIES = 1000  # of a digit
TIMES = ('Cost', 'Reproduce')  # sections of a page that tell seconds, and the name of the workdir


def hosts(folder, options):
  """Two hosts sample and follow: byte for byte what one host makes, whichever is killed."""
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir(parents=True)
  train = [
    *TINY, f'--config.train.steps={CHECKPOINTS * EVERY}', f'--config.train.keep={CHECKPOINTS}',
    f'--config.train.checkpoint_every={EVERY}', *options.training,
  ]
  workdir = folder / 'run'
  draw = ['--mode=sample', f'--workdir={workdir}', f'--num={SAMPLES}', '--batch=16']
  try:
    _alone([*train, f'--workdir={workdir}'], workdir)
    _alone([*draw, f'--out={folder}/one.npz'], folder / 'one')
    sampled = _killed(
      [*draw, f'--out={folder}/two.npz'], folder / 'two',
      lambda: len(list(folder.glob('two.npz.parts/*.npz'))), 10, options,
    )
    for name in ('one_run', 'two_run'):
      shutil.copytree(workdir, folder / name)
    _alone(['--mode=follow', f'--workdir={folder}/one_run'], folder / 'one_run')
    followed = _killed(
      ['--mode=follow', f'--workdir={folder}/two_run'], folder / 'two_run',
      lambda: len(list(folder.glob('two_run/eval/*/eval.json'))), 1, options,
    )
  except Ended as ended:
    return ended.args[0]
  equal = (folder / 'one.npz').read_bytes() == (folder / 'two.npz').read_bytes()
  pages = [_pages(folder / name / 'eval') for name in ('one_run', 'two_run')]
  passed = (
    equal and not (folder / 'two.npz.parts').exists() and pages[0] == pages[1]
    and len(pages[0]) == CHECKPOINTS
    and max(one['slowest stop, seconds'] for one in (sampled, followed)) <= STOP
    and all(one['kills'] == options.host_kills for one in (sampled, followed))
  )
  return {
    'passed': bool(passed), 'samples': SAMPLES, 'bytes equal': equal, 'sampling': sampled,
    'checkpoints': len(pages[0]), 'evaluations equal': pages[0] == pages[1], 'following': followed,
    **runs.made_by(workdir),
  }


def tokens(folder, options):
  """Two hosts encode: byte for byte what one host makes, whichever is killed. A survivor goes on
  until it knows, so there is much to do."""
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir(parents=True)
  workdir = folder / 'run'
  train = [
    '--config=configs/digits.py', f'--workdir={workdir}', '--config.train.steps=100',
    '--config.eval.num=16', '--config.eval.steps=()', '--config.eval.features=False',
    *options.training,
  ]
  command = [
    '--mode=encode', f'--workdir={workdir}', '--batch=8', f'--copies={COPIES}', '--flip',
    '--crop=1',
  ]
  try:
    _alone(train, workdir)
    _alone([*command, f'--out={folder}/one'], folder / 'one')
    killed = _killed(
      [*command, f'--out={folder}/two'], folder / 'two',
      lambda: len(list(folder.glob('two/*/*.npz'))), 10, options,
    )
  except Ended as ended:
    return ended.args[0]
  differing = [name for name in runs.differing(folder / 'one', folder / 'two') if name != 'lock']
  return {
    'passed': not differing and killed['kills'] == options.host_kills
    and killed['slowest stop, seconds'] <= STOP,
    'shards': len(list(folder.glob('two/*/*.npz'))), 'files that differ': differing, **killed,
    **runs.made_by(workdir),
  }


def _alone(command, log):
  """One host makes everything."""
  through(lambda: launch(command, 1, f'{log}_log', devices=DEVICES), f'{log}_log')


def _killed(command, log, count, most, options):
  """SIGKILLs one of two hosts at a time, and both are launched again, at last to the end. count: of
  what is made so far. A host is killed at a random moment once they have made some more, or, in one
  life of the five, before they have made anything; most: how many."""
  rng, made, early, slowest, codes = random.Random(7), 0, 0, 0.0, collections.Counter()
  log = f'{log}_log'
  more = [0, *(rng.randint(1, most) for _ in range(options.host_kills - 1))]

  def start():
    return launch(command, HOSTS, log, devices=HOSTS * DEVICES)

  while made < options.host_kills:
    had, victim, running = count(), rng.randrange(HOSTS), start()
    while count() < had + more[made] and all(one.poll() is None for one in running):
      time.sleep(0.01)
    runs.after(rng.uniform(0, 2))(running[victim])
    ended = any(one.poll() is not None for one in running)
    if not ended:
      running[victim].kill()
    took, ended_with = stop(running)
    if ended:  # all is made already: nothing is left to be killed in
      early += 1
      if early > options.host_kills:
        break
      continue
    codes.update(code for index, code in enumerate(ended_with) if index != victim)
    made, slowest = made + 1, max(slowest, took)
    runs.say(f'kill {made}: host {victim} after {count()}, the other stopped {took:.0f} s later')
  lost = through(start, log)
  return {
    'kills': made, 'ended before a kill': early, 'slowest stop, seconds': round(slowest, 1),
    'exit codes of the other': dict(codes), 'launched again unkilled': lost,
  }


def _pages(top):
  """{step: what its evaluation says, but for times, dates and the name of the workdir}."""
  found = {}
  for path in top.glob('[0-9]*[0-9]/eval.json'):  # no draft that a killed host has left
    said = json.loads(path.read_text())
    said['numbers'].pop('seconds', None)
    said['sections'] = [one for one in said['sections'] if one['title'] not in TIMES]
    found[int(path.parent.name)] = {
      key: value for key, value in said.items() if key not in ('date', 'command', 'pictures')
    }
  return found
