"""Reproduction: which row it is, when a number is met, and what is written down."""

import json
import math
import os
import textwrap

import launchers
import pytest

from adiff import main
from adiff.run import expected, growing, reproduce, train, workdir
from configs import base, digits, few_steps, toy
from launch import runs

DIGITS = f'{launchers.ROOT}/configs/digits.py'
TOY = f'{launchers.ROOT}/configs/toy.py'


def row(**numbers):
  return expected.Row('mine.py', 'one', 'cores', 1, 'abc1234', '', numbers)


@pytest.fixture
def mine(tmp_path, monkeypatch):
  """A folder to work in, with a config file whose table is the argument's text."""
  monkeypatch.chdir(tmp_path)

  def write(table):
    code = '''\
      from configs import base
      {table}
      def get_config(argument='one'):
        config = base.get_config()
        config.seed = len(argument)
        return config
    '''
    (tmp_path / 'mine.py').write_text(textwrap.dedent(code).format(table=table))
    return 'mine.py'

  return write


def ending(monkeypatch, numbers, code=0):
  """Trainings end at once with these numbers."""
  def ended(config, workdir, **_):
    os.makedirs(workdir, exist_ok=True)
    with open(os.path.join(workdir, growing.DATA), 'w') as file:
      json.dump({'numbers': numbers, 'complete': True, 'data': 'digits'}, file)
    return code

  monkeypatch.setattr(train, 'train', ended)


# ---- When a number is met ------------------------------------------------------------------------


@pytest.mark.parametrize('number, met', [
  (0.6, True), (0.7, True), (0.5, True), (0.7001, False), (0.4999, False), (None, False),
  (math.nan, False), (math.inf, False), (-0.6, False),
])
def test_a_number_is_met_within_its_tolerance_on_either_side_and_where_it_is_one(number, met):
  one, = reproduce.compared({'frechet': number, 'nats': 1.0}, row(frechet=(0.6, 0.1)))
  assert one.met == met and ('NOT MET' in str(one)) == (not met)


def test_a_number_that_the_evaluation_has_not_is_missing_and_not_met():
  found = reproduce.compared({'nats': 1.0}, row(nats=(1.0, 0.0), frechet=(0.6, 0.1)))
  assert [one.met for one in found] == [True, False]
  assert str(found[1]) == 'frechet is missing, expected 0.6 +- 0.1: NOT MET'


@pytest.mark.parametrize('numbers, code', [
  ({'frechet': 0.62, 'nats': 141.0}, 0), ({'frechet': 0.95, 'nats': 141.0}, 1),
  ({'frechet': None, 'nats': 141.0}, 1), ({}, 1),
])
def test_what_came_out_is_written_down_and_the_exit_code_says_whether_it_was_met(
  numbers, code, tmp_path, monkeypatch, capsys
):
  ending(monkeypatch, numbers)
  with launchers.parsed([
    '--mode=reproduce', f'--config={DIGITS}:short', f'--workdir={tmp_path}/run'
  ]):
    assert main.run() == code
  told = json.loads((tmp_path / 'run' / reproduce.FILE).read_text())
  assert told['met'] == (code == 0) and told['row'] == f'{DIGITS}:short' and told['from_step'] == 0
  assert told['hardware'] and told['date'] and told['seconds'] >= 0
  value, tolerance = digits.EXPECTED['short']['numbers']['frechet']
  assert told['numbers']['frechet'] == {
    'name': 'frechet', 'number': numbers.get('frechet'), 'expected': value, 'tolerance': tolerance,
    'met': numbers.get('frechet') == 0.62,
  }
  assert ('NOT MET' in capsys.readouterr().out) == (code == 1)


def test_a_run_that_a_signal_stopped_is_compared_with_nothing(tmp_path, monkeypatch):
  ending(monkeypatch, {}, code=75)
  assert reproduce.reproduce(digits.get_config(), DIGITS, str(tmp_path / 'run')) == 75
  assert not (tmp_path / 'run' / reproduce.FILE).exists()


# ---- Which row it is -----------------------------------------------------------------------------


def test_a_row_is_known_by_what_it_is_wherever_its_data_lies_and_on_whatever_devices():
  config = toy.get_config('block').unlock()
  config.name, config.mesh.fsdp, config.train.log_every = 'mine', 4, 7
  found = expected.of(config, f'{TOY}:block')
  assert found.argument == 'block-masked' and found.numbers['nats'][0] == 4.987
  assert expected.of(digits.get_config(), DIGITS).argument == 'short'


def test_a_row_is_told_where_the_runs_lie_that_it_needs():
  path = f'{launchers.ROOT}/configs/few_steps.py:consistency-long'
  config = few_steps.get_config('consistency-long').unlock()
  with pytest.raises(ValueError, match='needs --config.recipe.teacher=RUN and has untrained'):
    expected.of(config, path)
  config.recipe.teacher = 'runs/digits_long'
  assert expected.of(config, path).placed == {'recipe.teacher': '--config.recipe.teacher=RUN'}


def test_an_expectation_is_no_part_of_what_a_run_is():
  with pytest.MonkeyPatch.context() as patch:
    before = digits.get_config().to_json()
    patch.setattr(digits, 'EXPECTED', {})
    assert digits.get_config().to_json() == before


def test_without_a_config_every_row_is_listed_with_what_it_wants_and_whether_it_fits(capsys):
  with launchers.parsed(['--mode=reproduce']):
    assert main.run() == 0
  lines = capsys.readouterr().out.splitlines()
  assert any('digits.py:short' in line and 'fits here' in line for line in lines)
  assert any('acdit_xl ' in line and 'TPUs v5e:16x16' in line for line in lines)


@pytest.mark.parametrize('device, platform, count, fits', [
  ('cores', 'cpu', 1, True), ('cores', 'gpu', 1, True), ('gpu', 'cpu', 8, False),
  ('gpu', 'tpu', 1, True), ('v5e:4x4', 'tpu', 8, False), ('v5e:4x4', 'tpu', 16, True),
])
def test_a_row_fits_where_its_devices_are(device, platform, count, fits):
  assert expected.Row('a', 'b', device, None, '', '', {}).fits(platform, count) == fits


# ---- What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize('words, sentence', [
  (f'--config={DIGITS}:short --config.train.steps=9', 'train.steps is 9 here and 2500'),
  (f'--config={DIGITS}:short --config.eval.num=9', 'eval.num is 9 here.*leave --config.eval.num'),
  (f'--config={DIGITS}:scales', 'not measured. It wants two cores. Train it with --mode=train'),
  (f'--config={launchers.ROOT}/configs/images.py:cifar10', 'It wants one GPU'),
  ('--workdir=x', '--config is missing'),
  (f'--config={DIGITS}:short --step=3', 'not used by --mode=reproduce'),
])
def test_what_is_no_row_is_refused_in_a_sentence(words, sentence, monkeypatch):
  monkeypatch.setattr(train, 'train', None)
  with pytest.raises(ValueError, match=sentence):
    with launchers.parsed(['--mode=reproduce', *words.split()]):
      main.run()


@pytest.mark.parametrize('table, sentence', [
  ('', 'mine.py has no numbers to be reproduced'),
  ("EXPECTED = {'three': base.expect('cores', nats=(1, 2))}", 'mine.py has no numbers'),
  ("EXPECTED = {'one': base.expect('cores', nats=1)}", r"\['one'\] holds 1 as numbers.nats"),
  ("EXPECTED = {'one': base.expect('cores', nats=(1, 2, 3))}", 'no .value, tolerance.'),
  ("EXPECTED = {'one': base.expect('cores', nats=(1, -2))}", 'no .value, tolerance.'),
  ("EXPECTED = {'one': base.expect('abacus', nats=(1, 2))}", "the device 'abacus'.*cores, gpu"),
  ("EXPECTED = {'one': base.expect('cores', flags='--steps=3', nats=(1, 2))}",
   "flags '--steps=3', which are not all --config.KEY=WHERE"),
  ("EXPECTED = {'one': {'device': 'cores'}}", 'has no commit; write it with base.expect'),
])
def test_a_table_that_expects_nothing_or_nonsense_is_refused_in_a_sentence(table, sentence, mine):
  path = mine(table)
  config = base.get_config()
  config.unlock().seed = 3
  with pytest.raises(ValueError, match=sentence):
    expected.of(config, path)


def test_a_workdir_of_another_row_is_refused_and_left_alone(tmp_path):
  folder = tmp_path / 'run'
  folder.mkdir()
  workdir.write(folder, toy.get_config('full'), {})
  before = sorted(path.name for path in folder.iterdir())
  with pytest.raises(ValueError, match='was made by another config: .* is .* there and .* here'):
    reproduce.reproduce(toy.get_config('block'), f'{TOY}:block', str(folder))
  assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.soak
def test_the_binary_reproduces_a_row(tmp_path):
  process = runs.start(
    ['--mode=reproduce', f'--config={TOY}:forcing-gaussian', f'--workdir={tmp_path}/run'],
    tmp_path / 'log',
  )
  assert process.wait() == 0, (tmp_path / 'log.err').read_text()
  assert json.loads((tmp_path / 'run' / reproduce.FILE).read_text())['met']
