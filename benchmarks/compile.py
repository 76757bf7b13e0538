"""How long until something happens: from the start of a process, and of compilation alone.

Each start is a process of its own. Cold: without any compiled program; warm: the same again.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

from benchmarks import sample

ROOT = pathlib.Path(__file__).resolve().parents[1]


def started(arguments, cache, seen=None):
  """Seconds until the file `seen` has a line, or the process ends; then it is stopped."""
  environment = {**os.environ, 'JAX_COMPILATION_CACHE_DIR': str(cache)}
  begun = time.monotonic()
  process = subprocess.Popen(
    [sys.executable, '-m', *map(str, arguments)], cwd=ROOT, env=environment,
    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
  )
  while process.poll() is None and not (seen and seen.exists() and seen.stat().st_size):
    time.sleep(0.01)
  seconds = time.monotonic() - begun
  if seen is None or process.poll():
    _, said = process.communicate()
    if process.returncode:
      raise RuntimeError(f'{arguments} ended with {process.returncode}: {said.decode()[-500:]}')
  process.kill()
  process.wait()
  return seconds


def suite(options, limits):
  """Rows of one table."""
  rows = []
  with tempfile.TemporaryDirectory() as folder:
    place = pathlib.Path(folder)
    train = ['adiff.main', '--config=configs/digits.py', '--config.train.log_every=1']
    for index, name in enumerate(('cold', 'warm', 'warm')):
      run = place / f'run{index}'
      seconds = started([*train, f'--workdir={run}'], place / 'cache', run / 'metrics.jsonl')
      rows.append({'what': f'first step of configs/digits.py, {name}', 'seconds': seconds})
    short = [
      '--config.train.steps=2', '--config.optim.warmup=0', '--config.eval.num=16',
      '--config.eval.features=False', '--config.eval.steps=()', f'--workdir={place}/short',
    ]
    started(['adiff.main', '--config=configs/digits.py', *short], place / 'cache')
    export = ['adiff.main', '--mode=export', f'--workdir={place}/short', '--batch=16']
    started(export, place / 'cache')
    draw = ['adiff.run.exported', f'{place}/short/exported', '--num=16', f'--out={place}/s.npz']
    for name in ('cold', 'warm', 'warm'):
      seconds = started(draw, place / 'cache')
      rows.append({'what': f'16 samples of an exported sampler, {name}', 'seconds': seconds})
  for count, num in ((4, 1), (16, 1), (64, 1), (256, 1), (64, 64)):
    parts = sample.parts_of(16 * count, 16, options.width)
    _, _, seconds = sample.program(parts, num)
    what = f'compilation of a rollout of {count} blocks' + (f', {num} samples' if num > 1 else '')
    rows.append({'what': what, 'seconds': seconds})
  return [{**row, 'ms': 1e3 * row.pop('seconds'), 'spread': 0.0} for row in rows]
