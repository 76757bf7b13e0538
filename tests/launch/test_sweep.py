"""launch/sweep.py: a grid of runs, each made once."""

import dataclasses
import json
import re
import signal
import subprocess
import sys
import time

import pytest
from launchers import ROOT, parsed, wait_until

from launch import sweep

TRAINER = f'''#!{sys.executable} -SE
import json, os, pathlib, sys
given = dict(word[2:].split('=', 1) for word in sys.argv[1:])
workdir = pathlib.Path(given['workdir'])
workdir.mkdir(parents=True, exist_ok=True)
with open(workdir / 'calls', 'a') as file:
  print(json.dumps(sys.argv[1:]), file=file)
count = len((workdir / 'calls').read_text().splitlines())
codes = json.loads(pathlib.Path(sys.argv[0]).with_name('codes.json').read_text())
codes = codes.get(given['config.optim.learning_rate'], [0])
code = codes[min(count, len(codes)) - 1]
if code == 0:
  nats = float(given['config.optim.learning_rate']) * 1000 + int(given['config.seed'])
  report = dict(step=9, numbers=dict(nats=nats, nats_ci95=0.25), config=dict(train=dict(steps=9)))
  (workdir / 'eval.json').write_text(json.dumps(report))
sys.exit(code)
'''
GRID = ('optim.learning_rate=1e-3,3e-4', 'seed=0,1')


@pytest.fixture
def swept(tmp_path, monkeypatch):
  """A function that sweeps with a stand-in for training; {learning rate: exit codes}."""
  monkeypatch.setenv('PAUSE', '0')
  handlers = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
  trainer = tmp_path / 'trainer'
  trainer.write_text(TRAINER)
  trainer.chmod(0o755)

  def call(*arguments, **codes):
    codes = {key.replace('_', '-'): value for key, value in codes.items()}
    (tmp_path / 'codes.json').write_text(json.dumps(codes))
    return sweep.main([
      '--config=configs/toy.py:block-masked', f'--folder={tmp_path}/sweep',
      f'--launcher={trainer}', *GRID, *arguments,
    ])

  yield call
  for name, handler in handlers.items():
    signal.signal(name, handler)


def made(folder):
  """{workdir: how often it was run}."""
  return {
    path.parent.name: len(path.read_text().splitlines())
    for path in (folder / 'sweep').glob('*/calls')
  }


def rows(folder):
  """The cells of sweep.md, without its head."""
  lines = (folder / 'sweep' / 'sweep.md').read_text().splitlines()[2:]
  return [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]


@pytest.mark.parametrize('jobs', ((), ('--jobs=3',)))
def test_a_sweep_runs_the_grid_and_sorts_the_bounds(swept, tmp_path, jobs):
  assert swept('--config.train.steps=9', *jobs) == 0
  assert set(made(tmp_path)) == {
    f'optim.learning_rate={rate},seed={seed}' for rate in ('1e-3', '3e-4') for seed in (0, 1)
  }
  assert rows(tmp_path) == [
    ['3e-4', '0', '0.3000', '0.2500', 'finished'], ['1e-3', '0', '1.0000', '0.2500', 'finished'],
    ['3e-4', '1', '1.3000', '0.2500', 'finished'], ['1e-3', '1', '2.0000', '0.2500', 'finished'],
  ]


def test_a_sweep_skips_what_is_finished_and_tries_again_what_has_failed(swept, tmp_path):
  assert swept(**{'1e_3': [2]}) == 1
  assert [row[-1] for row in rows(tmp_path)] == ['finished'] * 2 + ['failed with 2'] * 2
  assert swept() == 0
  assert [row[-1] for row in rows(tmp_path)] == ['finished'] * 4
  assert made(tmp_path) == {
    'optim.learning_rate=1e-3,seed=0': 2, 'optim.learning_rate=1e-3,seed=1': 2,
    'optim.learning_rate=3e-4,seed=0': 1, 'optim.learning_rate=3e-4,seed=1': 1,
  }


@pytest.mark.parametrize('other', ['--config=configs/toy.py:ar', '--config.train.steps=7'])
def test_a_sweep_of_something_else_does_not_take_finished_runs_for_its_own(
  swept, tmp_path, capsys, other
):
  assert swept() == 0
  with pytest.raises(SystemExit) as refused:
    swept(other)
  assert refused.value.code == 2 and 'choose another --folder' in capsys.readouterr().err
  assert set(made(tmp_path).values()) == {1}
  assert swept() == 0


def test_a_sweep_runs_again_what_ends_with_75(swept, tmp_path):
  assert swept(**{'3e_4': [75, 75, 0]}) == 0
  assert sorted(made(tmp_path).values()) == [1, 1, 3, 3]


def test_a_bound_on_the_way_does_not_finish_a_run(swept, tmp_path):
  swept()
  path = tmp_path / 'sweep' / 'optim.learning_rate=1e-3,seed=0' / 'eval.json'
  path.write_text(path.read_text().replace('"step": 9', '"step": 5'))
  assert swept() == 0
  assert sorted(made(tmp_path).values()) == [1, 1, 1, 2]


def test_a_sweep_that_is_told_to_stop_ends_with_75(tmp_path):
  sleeper = "bash -c 'touch $0.begun; trap \"exit 75\" TERM; while :; do sleep 0.01; done'"
  process = subprocess.Popen([
    sys.executable, 'launch/sweep.py', '--config=configs/toy.py', f'--folder={tmp_path}/sweep',
    f"--launcher={sleeper[:-1]}' {tmp_path}/child", *GRID,
  ], cwd=ROOT, stdout=subprocess.PIPE, text=True)
  wait_until((tmp_path / 'child.begun').exists)
  time.sleep(0.1)
  process.send_signal(signal.SIGTERM)
  out, _ = process.communicate(timeout=10)
  assert process.returncode == 75 and out.count('begins') == 1


def test_a_launcher_that_only_hands_over_is_no_failure(tmp_path, monkeypatch):
  runs = sweep.grid(GRID, tmp_path)
  handlers = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
  try:
    code = sweep.main([
      '--config=configs/toy.py', f'--folder={tmp_path}', '--launcher=echo {name}', *GRID
    ])
  finally:
    for name, handler in handlers.items():
      signal.signal(name, handler)
  assert code == 0 and 'handed over' in (tmp_path / 'sweep.md').read_text()
  for run in runs:
    assert re.fullmatch('[a-z]([a-z0-9-]{0,38}[a-z0-9])?', run.name)
  assert len({run.name for run in runs}) == len(runs)
  others = sweep.grid(GRID, tmp_path / 'of_another' / tmp_path.name)
  assert not {run.name for run in runs} & {run.name for run in others}
  with pytest.raises(SystemExit):
    sweep.main(['--config=configs/toy.py', '--folder=gs://mine/sweep', *GRID])


def test_a_run_whose_report_was_interrupted_is_not_finished(tmp_path):
  run, report = sweep.grid(GRID, tmp_path)[0], dict(
    step=9, config={'train': {'steps': 9}}, numbers={'nats': 1.0}, complete=False)
  run.workdir.mkdir()
  for complete in (False, True):
    report['complete'] = complete
    (run.workdir / 'eval.json').write_text(json.dumps(report))
    assert (run.result is not None) == complete


def test_the_commas_of_a_tuple_do_not_split_it():
  assert sweep.split('(1,4),(16,),"a"') == ['(1,4)', '(16,)', '"a"']


@pytest.mark.parametrize('arguments, word', [
  (['seed'], "'seed'"), (['seed='], 'seed='), (['seed=0', 'seed=1'], 'once'),
  (['seed=0,0'], 'once'), (['--jobs=0'], '--jobs=0'), (['--workdir=runs/toy'], '--workdir'),
  (['--launcher=launch/nowhere.sh'], 'launch/nowhere.sh'),
])
def test_a_sweep_refuses_what_is_no_grid(tmp_path, capsys, arguments, word):
  with pytest.raises(SystemExit) as refused:
    sweep.main(['--config=configs/toy.py', f'--folder={tmp_path}/sweep', *arguments])
  assert refused.value.code == 2 and word in capsys.readouterr().err
  assert not (tmp_path / 'sweep' / 'sweep.md').exists()


def test_what_a_sweep_runs_is_understood_by_the_binary(tmp_path):
  options = dataclasses.make_dataclass('Options', ['config', 'launcher', 'every'])(
    'configs/toy.py:block-masked', sweep.LOCAL, ['--config.train.steps=9']
  )
  run = sweep.grid([*GRID, 'eval.steps=(2,),(4,)'], tmp_path)[-1]
  launcher, *words = sweep.Sweep(options, [run]).command(run)
  assert launcher == 'launch/local.sh'
  with parsed(words) as parsed_flags:
    config = parsed_flags.config
    assert (config.train.steps, config.seed, config.eval.steps) == (9, 1, (4,))
