"""Studies that are killed anywhere and run again end with the table of one left alone."""

import json
import random
import textwrap
import time

import binary
import pytest

from launch import runs

pytestmark = pytest.mark.soak

KILLS = 10
NUMBERS = ('nats', 'steps', 'parameters', 'flops')  # none of a clock
TABLE = '''\
  from configs.studies import axis, study
  STUDIES = {'mine': study(
    'tiny networks', seeds=2, metric=('nats', 'Bound', 'low'),
    rows={'block': ('configs/toy.py:block-masked',), 'whole': ('configs/toy.py:full-masked',)},
    settings=(
      'data.size=2048', 'model.width=16', 'model.depth=1', 'model.heads=2', 'optim.warmup=0',
      'plan.steps=2', 'train.batch_size=16', 'train.checkpoint_every=5', 'train.eval_every=0',
      'eval.batch_size=64', 'eval.examples=64', 'eval.samples=1', 'eval.num=64',
    ),
    over=axis('flops', 'TFLOP', (1e-4, 2e-4), law=True),
  )}
'''


def start(folder):
  """(arguments, log) -> the study on its way, in a folder with a table of its own."""
  return lambda arguments, log: binary.start(arguments, log, cwd=folder)


def table(out):
  """{(row, seed): its numbers}."""
  told = json.loads((out / 'study.json').read_text())
  assert told['complete'] and not told['diverged']
  return {
    (run['row'], run['seed']): {key: run['numbers'][key] for key in NUMBERS}
    for run in told['measured']
  }


def test_a_study_that_is_killed_ten_times_ends_with_the_same_table(tmp_path):
  (tmp_path / 'configs').mkdir()
  (tmp_path / 'configs' / 'studies.py').write_text(textwrap.dedent(TABLE))
  command = ['--mode=study', '--study=mine']
  log, begun = tmp_path / 'log', time.monotonic()
  assert start(tmp_path)([*command, f'--out={tmp_path / "whole"}'], log).wait() == 0, (
    log.with_suffix('.err').read_text()
  )
  most, draw = (time.monotonic() - begun) / 4, random.Random(0)
  moments = [runs.after(draw.uniform(0, most)) for _ in range(KILLS)]
  kills, code = runs.kill_and_resume(
    start(tmp_path), [*command, f'--out={tmp_path / "killed"}'], moments, log
  )
  assert code == 0, log.with_suffix('.err').read_text()
  assert kills >= 5 and table(tmp_path / 'killed') == table(tmp_path / 'whole')
  assert len(table(tmp_path / 'whole')) == 8
