"""The models that ship with adiff: there at once, offline, and the same everywhere."""

import json
import logging
import os
import shutil
import socket
import subprocess
import sys

import launchers
import numpy as np
import pytest

import adiff
from adiff.data import corpora, digits
from adiff.machine import checkpoint, weights
from adiff.run import later, shipped, workdir
from configs import base
from launch import ship

NAMES = ('digits', 'text')
# Of seed 0, on the machine that trained them, by the compiler's full optimisation.
DIGITS = (
  0, 0, 6, 13, 12, 2, 0, 0, 0, 4, 16, 4, 8, 8, 0, 0,
  0, 11, 8, 0, 2, 15, 1, 0, 0, 9, 6, 0, 1, 15, 6, 0,
  0, 5, 10, 0, 0, 9, 6, 0, 0, 2, 13, 0, 0, 8, 8, 0,
  0, 0, 11, 6, 3, 15, 3, 0, 0, 0, 1, 12, 14, 10, 0, 0,
  0, 0, 9, 15, 4, 0, 0, 0, 0, 0, 4, 16, 15, 3, 0, 0,
  0, 0, 0, 16, 15, 3, 0, 0, 0, 0, 0, 15, 16, 4, 0, 0,
  0, 0, 0, 14, 14, 2, 0, 1, 0, 0, 0, 8, 14, 5, 0, 1,
  0, 0, 8, 13, 14, 14, 9, 8, 0, 0, 6, 15, 15, 16, 16, 16,
)
DIGITS_NATS, NATS = (10.015541076660156, 135.6029510498047), 49.013668060302734


@pytest.fixture(scope='module')
def model():
  """A function: the model of a name, opened where there is neither a network nor data."""
  def nothing(*_, **__):
    raise AssertionError('a shipped model needs neither')

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(socket.socket, 'connect', nothing)
    patch.setattr(digits, '_read', nothing)
    patch.setattr(corpora.PythonDocs, '_texts', property(nothing))
    found = {name: adiff.load(name) for name in NAMES}
    yield found.__getitem__


@pytest.fixture
def copy(tmp_path, monkeypatch):
  """A function: a copy of a shipped model's files in the folder of that name, here."""
  monkeypatch.chdir(tmp_path)

  def put(name, target):
    shutil.copytree(shipped.FOLDER / name, target)
    return tmp_path / target

  return put


def altered(path, **changes):
  """Changes keys of a JSON file."""
  path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_there_are_two_and_they_are_small():
  assert shipped.names() == NAMES
  assert ship.size(shipped.FOLDER) <= ship.MOST == 3 * 2**20


@pytest.mark.parametrize('name', NAMES)
def test_a_shipped_model_says_what_it_is_of_and_that_it_ends_where_its_row_expects(name):
  told = json.loads((shipped.FOLDER / name / ship.FILE).read_text())
  assert told['met'] and told['commit'] and name in told['row']
  assert name in (shipped.FOLDER / 'README.md').read_text()


@pytest.mark.parametrize('name, examples, nats', [
  pytest.param(
    'digits', np.array(DIGITS, np.uint8).reshape(2, 8, 8, 1), DIGITS_NATS, marks=pytest.mark.soak
  ),
  ('text', ['The function returns a list of its arguments.'], NATS),
])
def test_examples_are_as_likely_as_they_were_when_the_models_were_made(
  name, examples, nats, model
):
  score = model(name).score(examples, samples=1, seed=0)
  np.testing.assert_allclose(score.nats, nats, rtol=1e-4)


@pytest.mark.soak
def test_digits_and_texts_are_drawn_as_they_were_when_the_models_were_made(model):
  images = np.array(model('digits').sample(2, seed=0)).astype(int)
  # A float that lies between two levels may fall to the other one elsewhere.
  assert np.abs(images.ravel() - DIGITS).max() <= 1
  assert np.mean(images.ravel() != DIGITS) < 0.02
  assert model('text').generate('The function', num_tokens=40).startswith(' al object')


# ---- Names ---------------------------------------------------------------------------------------


def test_a_name_that_is_neither_a_workdir_nor_a_shipped_model_is_refused_with_the_list():
  with pytest.raises(ValueError, match="no workdir 'digit', and no model .* has digits and text"):
    adiff.load('digit')


def test_a_workdir_of_that_name_is_taken_before_the_shipped_model_and_that_is_told(copy, caplog):
  copy('text', 'digits')
  with caplog.at_level(logging.WARNING, logger='absl'):
    assert shipped.place('digits') == 'digits'
  assert 'digits: the workdir here is taken, not the model that ships' in caplog.text
  assert shipped.place(os.path.join('.', 'text')) == os.path.join('.', 'text')


def test_a_folder_of_that_name_that_is_no_workdir_is_passed_over_and_that_is_told(copy, caplog):
  os.mkdir(copy('text', 'other').parent / 'digits')
  with caplog.at_level(logging.WARNING, logger='absl'):
    assert shipped.place('digits') == str(shipped.FOLDER / 'digits')
  assert 'what lies here is no workdir' in caplog.text
  assert shipped.place('other') == 'other' and shipped.place('runs/x') == 'runs/x'


# ---- What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize('spoil, sentence', [
  (lambda folder: altered(folder / 'contract.json', version=99), 'another version of adiff'),
  (lambda folder: altered(folder / weights.ABOUT, sha256='0'), 'is not what weights.json'),
  (lambda folder: os.truncate(folder / weights.FILE, 100), 'is not what weights.json'),
  (lambda folder: (folder / weights.ABOUT).unlink(), 'no checkpoint in .*train first'),
], ids=range(4))
def test_a_model_that_was_damaged_or_is_of_another_version_is_refused(copy, spoil, sentence):
  spoil(copy('digits', 'mine'))
  with pytest.raises((ValueError, OSError), match=sentence):
    adiff.load('mine')


def test_a_workdir_of_before_a_key_was_there_is_read_as_it_was_then(copy):
  folder = copy('digits', 'mine')
  told = json.loads((folder / 'config.json').read_text())
  for section, keys in later.LATER.items():
    told[section] = {key: value for key, value in told.get(section, {}).items() if key not in keys}
  del told['process']['clip']
  (folder / 'config.json').write_text(json.dumps(told))
  assert workdir.load(folder).to_dict() == workdir.load(shipped.FOLDER / 'digits').to_dict()


def test_keys_that_came_later_are_as_a_config_has_them_by_default():
  config = base.get_config()
  for section, keys in later.LATER.items():
    assert {key: config[section][key] for key in keys} == keys


def test_nothing_is_trained_on_from_weights_but_started_from_them(copy):
  folder = copy('digits', 'mine')
  config = workdir.load(folder)
  with pytest.raises(ValueError, match='nothing can be trained on from; write --config.init_from='):
    workdir.check(folder, config, {})
  assert checkpoint.latest_step(folder) == config.train.steps


@pytest.mark.parametrize('change, name, sentence', [
  ({}, 'Digits!', "'Digits!' is no name of a model"),
  ({'met': False}, 'digits', 'was not met; a model that ships must be'),
  (None, 'digits', 'there is no .*reproduced.json; write a workdir of --mode=reproduce'),
])
def test_what_was_not_met_does_not_ship(change, name, sentence, tmp_path):
  if change is not None:
    told = {'row': 'configs/digits.py:short', 'met': True, **change}
    (tmp_path / ship.FILE).write_text(json.dumps(told))
  with pytest.raises(ValueError, match=sentence):
    ship.ship(tmp_path, name)


@pytest.mark.soak
def test_an_installed_wheel_holds_the_models_and_opens_them_anywhere(tmp_path):
  source, site = tmp_path / 'source', tmp_path / 'site'
  source.mkdir()
  for name in ('adiff', 'configs'):
    shutil.copytree(launchers.ROOT / name, source / name)
  for name in ('setup.cfg', 'pyproject.toml', 'README.md', 'LICENSE'):
    shutil.copy(launchers.ROOT / name, source)
  pip = [sys.executable, '-m', 'pip', '-q', '--disable-pip-version-check']
  subprocess.run([*pip, 'wheel', '--no-deps', '-w', tmp_path, source], check=True)
  wheel, = tmp_path.glob('*.whl')
  subprocess.run([*pip, 'install', '--no-deps', '--target', site, wheel], check=True)
  code = (
    'import adiff; model = adiff.load("digits"); print(adiff.__file__); '
    'print(len(model.sample(2)), adiff.load("text").tokenizer.vocab)'
  )
  path = os.pathsep.join([str(site), os.environ.get('PYTHONPATH', '')])
  done = subprocess.run(
    [sys.executable, '-c', code], cwd=tmp_path, env={**os.environ, 'PYTHONPATH': path}, check=True,
    capture_output=True, text=True,
  )
  place, told = done.stdout.split('\n')[:2]
  assert place.startswith(str(site)) and told == '2 2049'
