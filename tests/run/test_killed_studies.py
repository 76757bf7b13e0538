"""Studies that are killed anywhere and run again, or shared out among processes, end with the table
of one left alone."""

import json
import random
import re
import textwrap

import binary
import pytest

from launch import runs

pytestmark = pytest.mark.soak

KILLS = 10
NUMBERS = ('nats', 'steps', 'parameters', 'flops')  # none of a clock
TABLE = '''\
  from configs.studies import axis, study
  STUDIES = {'mine': study(
    'tiny networks', seeds=3, metric=('nats', 'Bound', 'low'),
    rows={'block': ('configs/toy.py:block-masked',), 'whole': ('configs/toy.py:full-masked',)},
    settings=(
      'data.size=2048', 'model.width=16', 'model.depth=1', 'model.heads=2', 'optim.warmup=0',
      'plan.steps=2', 'train.batch_size=16', 'train.checkpoint_every=5', 'train.eval_every=0',
      'eval.batch_size=64', 'eval.examples=64', 'eval.samples=1', 'eval.num=64',
    ),
    over=axis('flops', 'TFLOP', (1e-4, 2e-4), law=True),
  )}
'''


def table(out):
  """{(row, seed): its numbers}."""
  told = json.loads((out / 'study.json').read_text())
  assert told['complete'] and not told['diverged']
  return {
    (run['row'], run['seed']): {key: run['numbers'][key] for key in NUMBERS}
    for run in told['measured']
  }


def undisturbed(folder, studies, name, out, log):
  """(what starts the program in a folder of these studies, the flags of one), once that was made
  alone, into `out`."""
  (folder / 'configs').mkdir()
  (folder / 'configs' / 'studies.py').write_text(textwrap.dedent(studies))
  command = ['--mode=study', f'--study={name}']

  def start(arguments, log):
    return binary.start(arguments, log, cwd=folder)

  assert start([*command, f'--out={out}'], log).wait() == 0, log.with_suffix('.err').read_text()
  return start, command


def test_a_study_that_is_killed_ten_times_ends_with_the_same_table(tmp_path):
  whole, killed, log = (tmp_path / name for name in ('whole', 'killed', 'log'))
  start, command = undisturbed(tmp_path, TABLE, 'mine', whole, log)
  begun = sorted(whole.glob('*/config.json'), key=lambda path: path.stat().st_mtime)
  assert len(table(whole)) == len(begun) == 12
  # A time after ten of the runs have begun, the last one left out: it might end before.
  draw = random.Random(0)
  moments = [
    runs.after(draw.uniform(0, 2), killed / begun[number].relative_to(whole))
    for number in sorted(draw.sample(range(11), KILLS))
  ]
  kills, code = runs.kill_and_resume(start, [*command, f'--out={killed}'], moments, log)
  assert code == 0, log.with_suffix('.err').read_text()
  assert kills == KILLS and table(killed) == table(whole)

  shared = [*command, f'--out={tmp_path / "shared"}']
  processes = [start(shared, tmp_path / f'log{number}') for number in range(2)]
  assert [process.wait() for process in processes] == [0, 0]
  assert table(tmp_path / 'shared') == table(whole)
  told = [(tmp_path / f'log{number}.out').read_text() for number in range(2)]
  made = [len(re.findall(r'\[\d+/12\] .*-seed', words)) for words in told]
  assert sum(made) == 12 and min(made) > 1


CODES = '''\
  from configs.studies import study
  STUDIES = {'codes': study(
    'a tiny network over codes', flops=2e9, seeds=1, metric=('nats', 'Bound', 'low'),
    rows={'codes': ('configs/generators.py:vqgan_ar-digits',)},
    codecs={'codes': 'configs/tokenizer.py:debug'},
    tuned=('guidance.scale=1.0', 'guidance.scale=2.0'),
    settings=(
      'model.width=16', 'model.depth=1', 'model.heads=2', 'optim.warmup=0', 'train.batch_size=16',
      'train.eval_every=0', 'eval.examples=64', 'eval.num=64', 'eval.features=false',
    ),
  )}
'''


def test_a_study_over_codes_is_killed_in_its_codec_and_its_rows_and_ends_with_the_same_table(
  tmp_path
):
  whole, killed, log = (tmp_path / name for name in ('whole', 'killed', 'log'))
  start, command = undisturbed(tmp_path, CODES, 'codes', whole, log)
  begun = 'tokenizer_debug-codec', 'codes-tuned', 'codes-seed0'
  assert {path.parent.name for path in whole.glob('*/studied.json')} == set(begun)
  moments = [runs.after(1.0, killed / name / 'config.json') for name in begun]
  kills, code = runs.kill_and_resume(start, [*command, f'--out={killed}'], moments, log)
  assert code == 0, log.with_suffix('.err').read_text()
  assert kills and table(killed) == table(whole)
