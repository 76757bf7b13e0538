"""What files hold: every byte counts, and what was read once is not read again."""

import os

import pytest

from adiff.machine import contents, files


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """Three files, and a place of their own to remember them."""
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  for name in ('a', 'b', 'deep/c'):
    path = tmp_path / 'data' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{name} holds this')
  return tmp_path / 'data'


def digest(folder):
  return contents.digest(folder, ['a', 'b', 'deep/c'])


def test_a_byte_of_any_file_counts_whatever_sizes_and_dates_say(folder):
  found = {digest(folder)}
  for name in ('a', 'b', 'deep/c'):
    path = folder / name
    before = path.stat()
    path.write_bytes(path.read_bytes()[:-1] + b'!')
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    found.add(digest(folder))
  assert len(found) == 4


def test_the_names_count_and_their_order_does_not(folder):
  assert contents.digest(folder, ['deep/c', 'b', 'a']) == digest(folder)
  one, other = (folder / name for name in 'ab')
  kept = digest(folder)
  one.rename(folder / 'x')
  other.rename(one)
  (folder / 'x').rename(other)
  assert digest(folder) != kept != contents.digest(folder, ['a', 'b'])


def test_what_took_long_is_remembered_until_a_file_changes(folder, monkeypatch):
  monkeypatch.setattr(contents, '_LONG', -1)
  monkeypatch.setattr(contents, '_SETTLED', -1)
  found = digest(folder)
  with monkeypatch.context() as patched:
    patched.setattr(files, 'sha256', lambda path: pytest.fail('it was read again'))
    assert digest(folder) == found
  path = folder / 'a'
  before = path.stat()
  path.write_text('a holds that')
  os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
  assert digest(folder) != found


def test_what_has_just_changed_or_was_quick_is_not_remembered(folder, monkeypatch, tmp_path):
  digest(folder)
  monkeypatch.setattr(contents, '_LONG', -1)
  digest(folder)
  assert not (tmp_path / 'cache').exists()


def test_a_torn_note_is_made_again(folder, monkeypatch, tmp_path):
  monkeypatch.setattr(contents, '_LONG', -1)
  monkeypatch.setattr(contents, '_SETTLED', -1)
  found = digest(folder)
  (note,) = (tmp_path / 'cache' / 'adiff' / 'contents').iterdir()
  note.write_bytes(b'\xff0')
  assert digest(folder) == found and note.read_text() == found
