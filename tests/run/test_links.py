"""A link out of a workdir, or a queue where a file should be, is refused by whoever would read,
write or delete there; nothing outside is touched."""

import json
import os

import ml_collections
import pytest

from adiff.machine import checkpoint, manifest
from adiff.run import compare
from adiff.run import workdir as workdir_lib

FOLDERS = ('checkpoints', 'checkpoints/digests', 'checkpoints/trash', 'checkpoints/damaged',
           'checkpoints/3', 'codec', 'pictures', 'tensorboard', 'profile', 'eval', 'eval/3')
FILES = ('config.json', 'contract.json', 'data.json', 'lock', 'metrics.jsonl', 'eval.json',
         'report.html', 'samples.npz', 'checkpoints/digests/3.json', 'pictures/samples.png')


@pytest.fixture
def place(tmp_path):
  """A folder with a workdir, as far as its files go, and precious ones beside it."""
  for name in (*FILES, *(f'{folder}/file' for folder in FOLDERS)):
    for top in ('run', 'outside'):
      path = tmp_path / top / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_text('{}' if name.endswith('json') else 'precious')
  return tmp_path


def contents(folder):
  return {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def refused(workdir, words):
  """Every way into a workdir raises these words."""
  def hold():
    with workdir_lib.lock(workdir):
      pass

  config = ml_collections.ConfigDict()
  for enter in (hold, lambda: workdir_lib.check(workdir, config, {}),
                lambda: workdir_lib.load(workdir), lambda: compare.read([workdir, 'other'])):
    with pytest.raises(ValueError, match=words):
      enter()


@pytest.mark.parametrize('name', [*FOLDERS, *FILES])
def test_a_link_that_leads_out_is_refused_and_nothing_outside_is_touched(place, name):
  before = contents(place / 'outside')
  path = place / 'run' / name
  path.rename(place / 'aside')
  path.symlink_to(place / 'outside' / name)
  refused(place / 'run', f'{name} is a link to .*out of')
  assert contents(place / 'outside') == before


@pytest.mark.parametrize('name', FILES)
def test_a_queue_in_the_place_of_a_file_is_refused_and_nobody_waits_for_it(place, name):
  path = place / 'run' / name
  path.unlink()
  os.mkfifo(path)
  refused(place / 'run', f'{name} is neither a file nor a folder')


def test_a_link_to_the_workdir_itself_is_a_workdir(place):
  (place / 'link').symlink_to(place / 'run')
  with workdir_lib.lock(place / 'link'):
    pass
  with pytest.raises(ValueError, match='version'):  # of an empty contract
    workdir_lib.load(place / 'link')


def test_digests_behind_a_link_are_not_forgotten(place):
  outside, digests = place / 'outside', place / 'run' / 'checkpoints' / 'digests'
  digests.rename(place / 'aside')
  digests.symlink_to(outside)
  before = contents(outside)
  for forget in (lambda: manifest.forget_all_but(place / 'run', ()),
                 lambda: checkpoint.Checkpoints(place / 'run')):
    with pytest.raises(ValueError, match='digests is a link'):
      forget()
  assert contents(outside) == before


def test_a_queue_among_the_files_of_a_checkpoint_is_damage(place):
  manifest.write(place / 'run', 3)
  assert manifest.verify(place / 'run', 3)
  path = place / 'run' / 'checkpoints' / '3' / 'file'
  path.unlink()
  os.mkfifo(path)
  with pytest.raises(manifest.Damaged, match='file is no file'):
    manifest.verify(place / 'run', 3)
  assert json.loads((place / 'run' / 'checkpoints' / 'digests' / '3.json').read_text())['step'] == 3
