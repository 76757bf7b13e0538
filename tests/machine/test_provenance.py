"""Where numbers come from: the commit of the checkout, and the machine."""

import pathlib
import shutil
import subprocess

import jax

from adiff.machine import provenance


def checkout(folder) -> pathlib.Path:
  """A committed checkout of a package and its configs; provenance lies where it does in ours."""
  place = folder / 'adiff' / 'machine'
  place.mkdir(parents=True)
  shutil.copy(provenance.__file__, place)
  for name in ('adiff/main.py', 'configs/base.py', 'README.md'):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text('first')
  git(folder, 'init')
  git(folder, 'add', '.')
  git(folder, '-c', 'user.name=a', '-c', 'user.email=a@b', 'commit', '--message=first')
  return folder


def git(folder, *words) -> str:
  run = subprocess.run(['git', '-C', folder, *words], capture_output=True, text=True, check=True)
  return run.stdout.strip()


def seen_from(folder, monkeypatch) -> str:
  monkeypatch.setattr(provenance, '__file__', str(folder / 'adiff/machine/provenance.py'))
  return provenance.commit()


def test_a_commit_is_marked_where_the_package_or_the_configs_differ(tmp_path, monkeypatch):
  folder = checkout(tmp_path / 'checkout')
  commit = git(folder, 'rev-parse', '--short', 'HEAD')
  assert seen_from(folder, monkeypatch) == commit
  (folder / 'README.md').write_text('second')
  assert seen_from(folder, monkeypatch) == commit
  for name in ('adiff/main.py', 'configs/base.py'):
    (folder / name).write_text('second')
    assert seen_from(folder, monkeypatch) == f'{commit} with changes'
    (folder / name).write_text('first')


def test_outside_a_checkout_and_without_git_there_is_no_commit(tmp_path, monkeypatch):
  monkeypatch.setenv('GIT_CEILING_DIRECTORIES', str(tmp_path.parent))
  (tmp_path / 'adiff/machine').mkdir(parents=True)
  assert seen_from(tmp_path, monkeypatch) == ''
  monkeypatch.setenv('PATH', '')
  assert seen_from(tmp_path, monkeypatch) == ''


def test_the_hardware_names_devices_and_versions():
  assert jax.__version__ in provenance.hardware() and 'cores' in provenance.hardware()
