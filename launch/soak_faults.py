"""Entries of the soak with one process: killed anywhere, killed as it saves, checkpoints spoilt."""

import os
import random
import shutil
import time

from launch import runs


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
  code = runs.start([*command, f'--workdir={reference}'], folder / 'whole').wait()
  if code:
    return runs.failed(code, folder / 'whole')
  seconds = time.monotonic() - begun
  moments, made, ended, wrong = random.Random(0), 0, 0, []
  while made < options.kills:
    workdir = folder / f'killed_{ended}'
    lives = [runs.after(moments.uniform(0, seconds)) for _ in range(options.kills - made)]
    count, code = runs.kill_and_resume(
      runs.start, [*command, f'--workdir={workdir}'], lives, workdir
    )
    made, ended = made + count, ended + 1
    if code:
      return runs.failed(code, workdir)
    wrong += runs.differences(workdir, reference)
    runs.say(f'{made} of {options.kills} kills, run {ended} ended; {len(wrong)} differences')
  facts = {'kills': made, 'runs': ended, 'seconds of a whole run': round(seconds, 1)}
  return {'passed': not wrong, **facts, 'differences': wrong, **runs.made_by(reference)}


SHORT = (  # a run that saves every few steps
  *('--config=configs/toy.py:block', '--config.model.width=16', '--config.model.depth=1'),
  *('--config.model.heads=2', '--config.optim.warmup=0', '--config.train.batch_size=32'),
  *('--config.train.eval_every=0', '--config.train.checkpoint_every=5', '--config.train.keep=3'),
)


def checkpoint_kills(folder, options):
  """SIGKILLs while checkpoints are written: the newest complete one is always there, and sound."""
  from adiff.machine import checkpoint, manifest

  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir(parents=True)
  workdir, moments, lost, made = folder / 'run', random.Random(2), [], 0
  command = [*SHORT, '--config.train.steps=1000000', f'--workdir={workdir}', *options.training]
  newest = lambda: max(manifest.sealed(workdir), default=0)
  while made < options.checkpoint_kills:
    process, begun = runs.start(command, folder / 'log'), newest()
    while newest() <= begun and process.poll() is None:
      time.sleep(0.002)
    runs.after(moments.uniform(0, 1))(process)
    if process.poll() is not None:
      return runs.failed(process.wait(), folder / 'log')
    complete = newest()
    process.kill()
    process.wait()
    made += 1
    step, _ = checkpoint.restore_params(workdir)
    if step < complete or os.path.exists(workdir / 'checkpoints' / 'damaged'):
      lost.append(complete)
    if made % 10 == 0:
      runs.say(f'{made} of {options.checkpoint_kills} kills, step {step}, {len(lost)} lost')
  return {'passed': not lost, 'kills': made, 'last step': step, 'lost': lost, **runs.here()}


def mutilations(folder, options):
  """A checkpoint is truncated, flipped, thinned out or exchanged: named, set aside, not used."""
  import jax
  from absl import logging

  from adiff.machine import checkpoint

  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir(parents=True)
  command = [*SHORT, '--config.train.steps=15', f'--workdir={folder}/whole', *options.training]
  code = runs.start(command, folder / 'log').wait()
  if code:
    return runs.failed(code, folder / 'log')
  said, rng, missed = [], random.Random(3), []
  logging.warning, before = lambda text, *words: said.append(text % words), logging.warning
  for index in range(options.mutilations):
    workdir = folder / 'spoilt'
    shutil.rmtree(workdir, ignore_errors=True)
    shutil.copytree(folder / 'whole', workdir)
    how, path = _spoil(workdir / 'checkpoints', rng)
    _, params = checkpoint.restore_params(folder / 'whole', step=10)
    said.clear()
    step, restored = checkpoint.restore_params(workdir)
    same = jax.tree.map(lambda a, b: a.tobytes() == b.tobytes(), restored, params)
    named = any(path.name in text and 'checkpoints/15' in text for text in said)
    if step != 10 or not named or not all(jax.tree.leaves(same)):
      missed.append(f'{index}: {how} {path.relative_to(workdir)}')
  logging.warning = before
  facts = {'mutilations': options.mutilations, 'missed': missed}
  return {'passed': not missed, **facts, **runs.here()}


def _spoil(root, rng):
  """Damages a random file of checkpoint 15; what was done, and the file."""
  paths = sorted((root / '15').rglob('*'))
  files = [path for path in paths if path.is_file() and path.stat().st_size]
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
