"""The binary from outside: it trains, stops, resumes, evaluates, samples, and survives kills.

All runs of one config are compared with one that nobody disturbed. That one is started as a user
would, from another folder; the others skip the imports (see binary.py).
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import binary
import numpy as np
import pytest

from adiff.machine import checkpoint, logs, manifest
from launch import runs

STEPS = 300  # of binary.TINY
SAMPLES = 8200  # more than two of the shards in which samples are kept


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp('runs')


@pytest.fixture(scope='module')
def whole(folder):
  """A run from start to end in one go, from another folder than the repository."""
  place = os.environ.get('PYTHONPATH', '')
  paths, compiler = f'{binary.ROOT}:{place}', ' '.join(binary.FLAGS)
  environment = {**os.environ, 'XLA_FLAGS': compiler, 'PYTHONPATH': paths}
  command = [sys.executable, '-m', 'adiff.main', *binary.TINY, '--workdir=whole']
  done = subprocess.run(
    command, cwd=folder, env=environment, capture_output=True, text=True, check=False
  )
  assert done.returncode == 0, done.stderr
  assert 'test bound' in done.stdout
  return folder / 'whole'


def _said(log):
  return ' '.join(log.with_name(f'{log.name}.{kind}').read_text() for kind in ('out', 'err'))


def _run(arguments, log, code=0, devices=1):
  """Runs to the end, checks the exit code, returns all that was said."""
  ended_with = binary.start(arguments, log, devices=devices).wait(timeout=120)
  said = _said(log)
  assert ended_with == code, said
  return said


def test_help_explains_every_flag_and_exit_code():
  done = subprocess.run(
    [sys.executable, '-m', 'adiff.main', '--help'], cwd=binary.ROOT, capture_output=True, text=True,
    check=False,
  )
  assert done.returncode == 0 and not done.stderr
  for flag in 'config workdir mode step set num out seed batch profile gather workdirs'.split():
    assert f'--{flag}:' in done.stdout
  assert 'Exit codes' in done.stdout and '75' in done.stdout


def test_a_run_leaves_a_report_metrics_and_checkpoints(whole):
  assert (whole / 'report.html').stat().st_size > 10_000
  rows = logs.read(whole)
  trained = [row['step'] for row in rows if 'loss' in row]
  assert trained == list(range(5, STEPS + 1, 5))
  assert [row['step'] for row in rows if 'test/nats' in row] == [100, 200, 300]
  assert all(0 <= row['time/data_wait'] <= 1 for row in rows if 'loss' in row)
  assert checkpoint.latest_step(whole) == STEPS
  report = json.loads((whole / 'eval.json').read_text())
  assert report['step'] == STEPS and report['numbers']['nats'] > 0


def test_sigterm_saves_everything_and_the_same_command_finishes(whole, folder):
  workdir = folder / 'stopped'
  command = [*binary.TINY, f'--workdir={workdir}']
  process = binary.start(command, folder / 'stop')
  runs.after(0.1, workdir / 'metrics.jsonl')(process)
  runs.after(0, workdir / 'checkpoints' / 'digests')(process)
  os.kill(process.pid, signal.SIGTERM)
  assert process.wait(timeout=60) == 75, _said(folder / 'stop')
  saved = checkpoint.latest_step(workdir)
  assert 0 < saved < STEPS
  assert f'step {saved} is saved' in _said(folder / 'stop')
  assert f'resuming {workdir} at step {saved}' in _run(command, folder / 'stop')
  assert runs.differences(workdir, whole) == []


def test_killed_runs_end_bit_for_bit_where_a_whole_one_does(whole, folder):
  workdir = folder / 'killed'
  draw = random.Random(0)
  moments = [  # after the first checkpoint, before one is measured, and anywhere after that
    runs.after(draw.uniform(0, 0.5), workdir / 'checkpoints' / 'digests'),
    runs.after(0, workdir / 'checkpoints' / 'digests' / '100.json'),
    runs.after(draw.uniform(0.5, 3)),
  ]
  kills, code = runs.kill_and_resume(
    binary.start, [*binary.TINY, f'--workdir={workdir}'], moments, folder / 'kill'
  )
  assert code == 0, _said(folder / 'kill')
  assert kills >= 1
  assert runs.differences(workdir, whole) == []
  steps = [(row['step'], 'loss' in row) for row in logs.read(workdir)]
  assert len(steps) == len(set(steps))


def test_a_run_in_a_bucket_that_is_killed_goes_on_as_one_on_a_disk(whole, folder, cloud):
  workdir, log = 'gs://runs/killed', folder / 'bucket'
  seldom = ['--config.train.checkpoint_every=100', '--config.train.eval_every=0']
  for step in (100, STEPS):
    process = binary.start([*binary.TINY, *seldom, f'--workdir={workdir}'], log, bucket=cloud.url)
    while process.poll() is None and step not in manifest.sealed(workdir):
      time.sleep(0.01)
    process.kill()
    process.wait()
  assert f'resuming {workdir} at step' in _said(log), _said(log)
  different = runs.differences(workdir, whole)
  assert [one for one in different if 'metric lines' not in one] == []  # bounds are among those
  ours, theirs = (
    [(row['step'], row['loss'], row['grad_norm']) for row in logs.read(place) if 'loss' in row]
    for place in (workdir, whole)
  )
  assert ours == theirs


def test_a_flipped_byte_is_named_and_the_checkpoint_before_is_used(whole, folder):
  workdir = folder / 'flipped'
  shutil.copytree(whole, workdir)
  steps = sorted(int(p.name) for p in (workdir / 'checkpoints').iterdir() if p.name.isdecimal())
  paths = (p for p in (workdir / 'checkpoints' / str(STEPS)).rglob('*') if p.is_file())
  largest = max(paths, key=lambda path: path.stat().st_size)
  content = bytearray(largest.read_bytes())
  content[len(content) // 2] ^= 1
  largest.write_bytes(content)
  said = _run([*binary.TINY, f'--workdir={workdir}'], folder / 'flip')
  assert largest.name in said and 'is not what was written' in said
  assert f'resuming {workdir} at step {steps[-2]}' in said
  assert (workdir / 'checkpoints' / 'damaged' / str(STEPS)).is_dir()
  assert runs.differences(workdir, whole) == []


def test_evaluation_alone_repeats_the_numbers_of_training(whole, folder):
  workdir = folder / 'evaluated'
  shutil.copytree(whole, workdir)
  os.remove(workdir / 'eval.json')
  _run(['--mode=eval', f'--workdir={workdir}'], folder / 'eval')
  first, again = (json.loads((place / 'eval.json').read_text()) for place in (whole, workdir))
  times = {'seconds'}
  for numbers in (first['numbers'], again['numbers']):
    assert numbers.keys() > times and numbers['p_value'] is not None
    for name in times:
      del numbers[name]
  assert again['numbers'] == first['numbers']
  for one, other in zip(first['sections'], again['sections'], strict=True):
    if one['title'] not in ('Cost', 'Reproduce'):  # seconds, and the name of the workdir
      assert other == one


@pytest.mark.soak
def test_several_checkpoints_are_evaluated_beside_a_run_that_is_left_alone(whole, folder):
  """In a workdir that may only be read, where an administrator can make one."""
  workdir, out = folder / 'mounted', folder / 'some'
  workdir.mkdir()
  mount = ['mount', '--bind', '-o', 'ro', str(whole), str(workdir)]
  mounted = not subprocess.run(mount, check=False).returncode
  before = {path: path.read_bytes() for path in whole.rglob('*') if path.is_file()}
  call = ['--mode=eval', f'--workdir={workdir if mounted else whole}', '--set=eval.num=64']
  try:
    if mounted:
      said = _run(call, folder / 'refused', code=2)
      assert 'cannot be written' in said and '--out' in said
    _run([*call, '--step=275,300', '--average=raw', f'--out={out}'], folder / 'some_1')
    _run([*call, '--step=275,300', '--average=raw', f'--out={out}'], folder / 'some_2')
    said = _run([*call, '--step=275', f'--out={out}'], folder / 'some_3')
    assert f'{out}/report.html' in said
    said = _run([*call, '--step=7', f'--out={out}'], folder / 'some_4', code=2)
    assert 'no checkpoint of step 7' in said and '275, 300' in said
    best = _run([*call, '--step=best', f'--out={folder}/best'], folder / 'some_5')
    assert 'step 300,' in best
  finally:
    if mounted:
      subprocess.run(['umount', str(workdir)], check=True)
  assert before == {path: path.read_bytes() for path in whole.rglob('*') if path.is_file()}
  raw, average = (json.loads((out / name / 'eval.json').read_text()) for name in ('275', '.'))
  assert raw['average'] == 'raw' and average['average'] == 'ema'
  assert raw['numbers']['nats'] != average['numbers']['nats']
  curves = json.loads((out / 'curves.json').read_text())
  assert curves['steps'] == [275, 300]


def test_a_run_stands_beside_its_copy_and_neither_is_better(whole, folder):
  copy = folder / 'copy'
  shutil.copytree(whole, copy)
  out = folder / 'side_by_side'
  said = _run(['--mode=compare', f'--workdirs={whole},{copy}', f'--out={out}'], folder / 'compare')
  assert said.strip() == str(out / 'compare.html')
  one, other = json.loads((out / 'compare.json').read_text())['runs']
  assert one['flops'] == STEPS * one['flops_per_step'] > 0 and one['nfe'] == 12
  assert {**one, 'name': other['name']} == other
  page = (out / 'compare.html').read_text()
  assert 'Not ranked' not in page and 'The configs are equal.' in page


def _moved(workdir, place):
  """A copy that can only be read, of a run on eight devices whose data nobody here knows."""
  shutil.copytree(workdir, place)
  config = json.loads((place / 'config.json').read_text())
  config['data']['name'], config['mesh']['data'] = 'gone', 8
  (place / 'config.json').write_text(json.dumps(config))
  for path in (place, *place.rglob('*')):
    path.chmod(0o555 if path.is_dir() else 0o444)  # which root may write all the same
  return place


def _contents(place):
  return {path: path.read_bytes() for path in place.rglob('*') if path.is_file()}


def test_samples_are_the_same_killed_and_resumed_in_other_batches_and_exported(whole, folder):
  draw = ['--mode=sample', f'--workdir={whole}', '--seed=3']
  _run([*draw, f'--num={SAMPLES}', f'--out={folder}/a.npz'], folder / 'a')
  parts, again = folder / 'b.npz.parts', [*draw, f'--num={SAMPLES}', f'--out={folder}/b.npz']
  process = binary.start(again, folder / 'b')
  runs.after(0, parts / '000000000.npz')(process)
  process.kill()
  process.wait()
  assert parts.exists()
  said = _run([*again, '--set=truncation.temperature=0.5'], folder / 'b', code=2)
  assert 'was made with config.truncation.temperature = 1.0, but here it is 0.5' in said
  _run(again, folder / 'b')
  assert not parts.exists()
  moved = _moved(whole, folder / 'moved')
  before, elsewhere = _contents(moved), ['--mode=sample', f'--workdir={moved}', '--seed=3']
  said = _run([*elsewhere, '--num=40', '--batch=16', f'--out={folder}/c.npz'], folder / 'c', 0, 2)
  assert 'mesh.data=8, mesh.fsdp=1' in said and 'taken is mesh.slices=1, mesh.data=2' in said
  one, other, few = (np.load(folder / f'{name}.npz') for name in 'abc')
  for name in ('arr_0', 'arr_1'):
    np.testing.assert_array_equal(other[name], one[name])
    np.testing.assert_array_equal(few[name], one[name][:40])
  place = f'{folder}/exported'
  _run(['--mode=export', f'--workdir={moved}', '--batch=16', f'--out={place}'], folder / 'e')
  assert _contents(moved) == before
  served = [sys.executable, '-m', 'adiff.run.exported', place, '--num=40', '--seed=3']
  subprocess.run([*served, f'--out={folder}/d.npz'], check=True, capture_output=True)
  for name, values in np.load(folder / 'd.npz').items():
    np.testing.assert_array_equal(values, few[name])
  assert one['arr_0'].shape == (SAMPLES, 6)


@pytest.mark.parametrize('arguments, words', [
  ('--mode=sample --out={whole}/contract.json', 'belongs to'),
  ('--mode=sample --num=1000000000000000', 'too many'),
  ('--mode=export --out={whole}/checkpoints', 'belongs to'),
])
def test_what_belongs_to_a_run_is_not_written_over(whole, folder, arguments, words):
  before = _contents(whole)
  call = [f'--workdir={whole}', *arguments.format(whole=whole).split()]
  said = _run(call, folder / 'over', code=2)
  assert words in said and 'Traceback' not in said
  assert before == _contents(whole)


@pytest.mark.soak
def test_another_regime_starts_from_a_runs_parameters_and_writes_a_trace(whole, folder):
  workdir = folder / 'continued'
  choices = ['--config.blocks.size=3', '--config.process.name=uniform']
  short = ['--config.train.steps=15', '--config.train.eval_every=0', '--config.eval.num=2048']
  said = _run(
    [*binary.TINY, *choices, *short, f'--config.init_from={whole}', '--profile=3',
     f'--workdir={workdir}'], folder / 'continue',
  )
  assert f'init_from {whole} at step {STEPS}' in said
  assert 'arrays taken' in said and 'new: ' in said
  assert any(path.is_file() for path in (workdir / 'profile').rglob('*.pb'))


def test_a_loss_that_is_not_finite_names_the_step_and_keeps_the_checkpoint(folder):
  workdir = folder / 'diverged'
  wild = ['--config.optim.learning_rate=1e30', '--config.train.checkpoint_every=1']
  said = _run([*binary.TINY, *wild, f'--workdir={workdir}'], folder / 'diverge', code=2)
  last = checkpoint.latest_step(workdir)
  assert f'not finite at step {last + 1}; the checkpoint of step {last} is kept' in said
  assert 'Traceback' not in said
  checkpoint.restore_params(workdir, step=last)
  assert f'step {last + 1}' in (workdir / 'stopped').read_text()  # who follows it waits no longer


def test_a_workdir_of_another_config_is_refused_and_left_alone(whole, folder):
  before = (whole / 'config.json').read_bytes()
  said = _run([*binary.TINY, '--config.model.width=32', f'--workdir={whole}'], folder / 'x', code=2)
  assert 'made by another config: model.width is 16 there and 32 here' in said
  assert (whole / 'config.json').read_bytes() == before
