"""Where samples and samplers may be written: never over what belongs to a run, or to anybody."""

import json
import os
import pathlib

import numpy as np
import pytest

from adiff.run import output

RUN = ('config.json', 'contract.json', 'metrics.jsonl', 'eval.json', 'report.html', 'lock',
       'checkpoints/3/state', 'checkpoints/digests/3.json', 'eval/3/eval.json', 'pictures/a.png')
EXPORT = ('about.json', 'params.npz', 'program.bin')


@pytest.fixture
def place(tmp_path, monkeypatch):
  """A folder with a workdir, an exported sampler, shards in the making and a file of words."""
  for folder, names in (('run', RUN), ('served', EXPORT), ('s.npz.parts', ('made_by.json',))):
    for name in names:
      path = tmp_path / folder / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_text(json.dumps({}))
  (tmp_path / 'words.npz').write_text('precious')
  (tmp_path / 'link').symlink_to(tmp_path / 'run')
  np.savez(tmp_path / 'old.npz', examples=np.zeros(3), labels=np.zeros(3))
  np.savez(tmp_path / 'numpys.npz', np.zeros(3), np.zeros(3))
  np.savez(tmp_path / 'other.npz', weights=np.zeros(3))
  monkeypatch.chdir(tmp_path)
  return tmp_path


@pytest.mark.parametrize('path', [
  *(f'run/{name}' for name in RUN), 'run', 'link/config.json', 'run/samples', 'run/.x.npz',
  'run/checkpoints/3/mine.npz', 'run/eval/mine.npz', 'run/pictures/../contract.json',
  'served/params.npz', 'served/mine.npz', 's.npz.parts/000000000.npz', 'words.npz', 'other.npz',
  'none/mine.npz', '/dev/null', 'run/pictures.npz', 'run/reference.npz', 'run/eyes.npz',
])
def test_samples_over_what_is_not_theirs_are_refused(place, path):
  with pytest.raises(ValueError, match=os.path.basename(path)):
    output.check_file(path)


@pytest.mark.parametrize('path', [
  'run/samples.npz', 'run/mine.npz', 'new.npz', 'old.npz', 'numpys.npz', 'plain',
])
def test_samples_may_lie_beside_a_run_in_its_folder_and_over_older_ones(place, path):
  output.check_file(path)


@pytest.mark.parametrize('path', [
  'run', 'link', '.', 'run/checkpoints', 'run/checkpoints/digests', 'run/eval/9', 'run/config.json',
  'run/served', 'served/inside', 's.npz.parts', 'words.npz',
])
def test_an_exported_sampler_over_what_is_not_its_own_is_refused(place, path):
  with pytest.raises(ValueError, match='name'):
    output.check_export(path)


@pytest.mark.parametrize('path', ['run/exported', 'run/exported_2', 'served', 'new', 'new/deep'])
def test_an_exported_sampler_may_take_the_place_of_an_older_one(place, path):
  output.check_export(path)


@pytest.mark.parametrize('path', ['run', 'run/compare', 'run/eval', 'served', '.', 'words.npz'])
def test_a_page_over_what_is_not_its_own_is_refused(place, path):
  with pytest.raises(ValueError, match='name'):
    output.check_page(path, ('compare.html', 'pictures'))


def test_a_page_takes_the_place_of_an_older_one(place):
  (place / 'compare' / 'pictures').mkdir(parents=True)
  output.check_page('compare', ('compare.html', 'pictures'))
  output.check_page('new', ('compare.html', 'pictures'))


def test_what_the_disk_cannot_hold_is_refused_before_it_is_made(place):
  output.check_file('new.npz', size=2**10)
  with pytest.raises(ValueError, match='more than its disk has free'):
    output.check_file('new.npz', size=2**70)


def test_nothing_was_touched(place):
  before = {path: path.read_bytes() for path in pathlib.Path('.').rglob('*') if path.is_file()}
  for path in before:
    for check in (output.check_file, output.check_export):
      try:
        check(path)
      except ValueError:
        pass
  assert before == {path: path.read_bytes() for path in pathlib.Path('.').rglob('*')
                    if path.is_file()}
