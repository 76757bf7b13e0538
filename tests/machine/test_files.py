"""Files that appear whole, and digests of what files hold."""

import ast
import errno
import json
import os
import pathlib
import re
import socket

import numpy as np
import pytest

import adiff
from adiff.machine import files


def test_a_digest_sees_values_shapes_and_types():
  array = np.arange(6, dtype=np.int32)
  digests = {files.digest(a) for a in (
      array, array.reshape(2, 3), array.astype(np.int64), array[::-1], array + 1)}
  assert len(digests) == 5
  assert all(len(d) == 16 for d in digests)
  assert files.digest(array, 'a') == files.digest(array.copy(), 'a')


def test_a_file_is_written_whole_or_stays_what_it_was(tmp_path):
  path = tmp_path / 'facts.json'
  files.write_json(path, {'a': 1})
  with pytest.raises(RuntimeError), files.whole(path) as file:
    file.write('half of ')
    raise RuntimeError('the disk was unplugged')
  assert json.loads(path.read_text()) == {'a': 1}
  with pytest.raises(ValueError, match='JSON'):
    files.write_json(path, {'a': float('nan')})
  assert json.loads(path.read_text()) == {'a': 1}
  assert [file.name for file in tmp_path.iterdir()] == ['facts.json']


def test_bytes_are_written_as_they_are(tmp_path):
  with files.whole(tmp_path / 'some.npz', 'wb') as file:
    np.savez(file, a=np.arange(3))
  np.testing.assert_array_equal(np.load(tmp_path / 'some.npz')['a'], np.arange(3))


def test_a_folder_that_is_not_there_is_an_error_of_the_system(tmp_path):
  with pytest.raises(OSError), files.whole(tmp_path / 'none' / 'some.txt') as file:
    file.write('words')


def test_two_writers_of_one_file_do_not_mix(tmp_path):
  path = tmp_path / 'some.txt'
  with files.whole(path) as one, files.whole(path) as other:
    one.write('one ' * 100)
    other.write('other ' * 100)
    one.write('one ' * 100)
  assert path.read_text() in ('one ' * 200, 'other ' * 100)
  assert [file.name for file in tmp_path.iterdir()] == ['some.txt']


def test_a_link_to_a_file_is_replaced_and_the_file_stays(tmp_path):
  (tmp_path / 'precious').write_text('precious')
  (tmp_path / 'link').symlink_to(tmp_path / 'precious')
  with files.whole(tmp_path / 'link') as file:
    file.write('new')
  assert (tmp_path / 'precious').read_text() == 'precious'
  assert (tmp_path / 'link').read_text() == 'new'


def test_what_is_no_plain_file_is_neither_read_nor_written(tmp_path):
  os.mkfifo(tmp_path / 'queue')
  (tmp_path / 'folder').mkdir()
  for path in (tmp_path / 'queue', tmp_path / 'folder', '/dev/null'):
    with pytest.raises(ValueError, match='is no plain file'), files.whole(path) as file:
      file.write('words')
  for path in (tmp_path / 'queue', '/dev/zero'):
    with pytest.raises(ValueError, match='where a file must be'):
      files.sha256(path)


def fill(folder, word):
  for name in ('a', 'b'):
    (pathlib.Path(folder) / name).write_text(word)


def words(folder):
  return {path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize('at_once', [True, False])
def test_a_folder_is_replaced_as_a_whole_or_stays_what_it_was(tmp_path, monkeypatch, at_once):
  if not at_once:  # a system without the call that lets two folders change places
    monkeypatch.setattr(files.ctypes, 'CDLL', lambda *_, **__: object())
  place = tmp_path / 'below' / 'place'
  for word in ('old', 'new'):
    with files.folder(place, ('a', 'b')) as draft:
      fill(draft, word)
      assert not place.exists() or words(place) == {'old'}
    assert words(place) == {word}
  with pytest.raises(RuntimeError), files.folder(place, ('a', 'b')) as draft:
    fill(draft, 'half')
    raise RuntimeError('the disk was unplugged')
  with files.folder(place, ('a', 'b'), first=True) as draft:
    fill(draft, 'late')
  assert words(place) == {'new'}
  assert [path.name for path in place.parent.iterdir()] == ['place']


def test_a_folder_that_holds_something_else_is_refused_before_anything_is_made(tmp_path):
  fill(tmp_path, 'old')
  (tmp_path / 'link').symlink_to(tmp_path)
  for path, names in ((tmp_path, ('a',)), (tmp_path, ()), (tmp_path / 'a', 'ab'),
                      (tmp_path / 'link', ('a', 'b', 'link'))):
    with pytest.raises(ValueError, match='name'), files.folder(path, names):
      raise AssertionError('it began')
  assert sorted(os.listdir(tmp_path)) == ['a', 'b', 'link']


def test_drafts_of_killed_processes_are_deleted_after_a_day_and_nothing_else(tmp_path):
  for name in ('x.txt.00000001.tmp', 'x.txt.00000002.tmp', 'x.txt.tmp', 'y.txt.00000001.tmp'):
    (tmp_path / name).write_text('half')
    if '2' not in name:
      os.utime(tmp_path / name, (0, 0))
  with files.whole(tmp_path / 'x.txt') as file:
    file.write('words')
  assert sorted(os.listdir(tmp_path)) == [
    'x.txt', 'x.txt.00000002.tmp', 'x.txt.tmp', 'y.txt.00000001.tmp'
  ]


def _socket(path):
  with socket.socket(socket.AF_UNIX) as server:
    server.bind(str(path))


FOREIGN = {
  'folder': lambda path, outside: path.symlink_to(outside),
  'relative': lambda path, outside: path.symlink_to(os.path.relpath(outside, path.parent)),
  'file': lambda path, outside: path.symlink_to(outside / 'precious'),
  'nothing': lambda path, outside: path.symlink_to(outside / 'none'),
  'queue': lambda path, outside: os.mkfifo(path),
  'socket': lambda path, outside: _socket(path),
}


@pytest.mark.parametrize('kind', FOREIGN)
@pytest.mark.parametrize('depth', ['', 'a/b'])
def test_links_that_lead_out_and_what_is_no_file_are_found_anywhere(
  tmp_path, monkeypatch, kind, depth
):
  top, outside = tmp_path / 'run', tmp_path / 'outside'
  (top / 'a' / 'b').mkdir(parents=True)
  outside.mkdir()
  (outside / 'precious').write_text('precious')
  (top / 'a' / 'inside').symlink_to(top / 'a' / 'b')
  (tmp_path / 'link').symlink_to(top)
  files.check_inside(tmp_path / 'link')  # the folder itself may stand elsewhere
  monkeypatch.chdir(top / depth)  # a socket's name is short
  FOREIGN[kind](pathlib.Path('x'), outside)
  with pytest.raises(ValueError, match=f'{top / depth / "x"} is (a link to|neither)'):
    files.check_inside(top)


def test_nothing_behind_a_link_is_listed_or_deleted(tmp_path):
  (tmp_path / 'precious').mkdir()
  fill(tmp_path / 'precious', 'precious')
  (tmp_path / 'link').symlink_to(tmp_path / 'precious')
  with pytest.raises(ValueError, match='is a link'):
    files.names(tmp_path / 'link')
  files.delete(tmp_path / 'link')
  assert words(tmp_path / 'precious') == {'precious'} and not (tmp_path / 'link').is_symlink()
  assert files.names(tmp_path / 'none') == []


@pytest.mark.parametrize('error, words', [
  (OSError(errno.ENOSPC, 'No space left on device'), 'No space left on device.; free space, or'),
  (OSError(errno.EDQUOT, 'Disk quota exceeded'), 'quota exceeded.; free space or ask for more'),
  (OSError(errno.EACCES, 'Permission denied'), 'Permission denied.; see to its permissions, or'),
  (OSError(errno.EMFILE, 'Too many open files'), 'Too many open files.; raise the limit'),
  (OSError(errno.EIO, 'Input/output error'), 'Input/output error.; see to the storage'),
  (FileNotFoundError(errno.ENOENT, 'the folder is gone'), 'the folder is gone.; bring the folder'),
  (ValueError('write failed: No space left on device [os_error_code]'), 'No space left .*free'),
  (ValueError('OSError: Read-only file system (x)'), r'\(Read-only file system\); mount it'),
  (TimeoutError(), r'\(TimeoutError\); choose another --workdir'),
])
def test_a_refusal_is_told_as_what_it_is(error, words):
  told = files.unwritable('it cannot be written', error)
  assert re.search(words, str(told)), told
  full = getattr(error, 'errno', None) in (errno.ENOSPC, errno.EDQUOT) or 'No space' in str(error)
  assert ('free space' in str(told)) == full and str(told).endswith('choose another --workdir')


APPENDED = {'machine/logs.py', 'run/workdir.py', 'data/stream.py'}  # metrics, lock, symbols


def test_nobody_else_opens_a_file_for_writing():
  home = pathlib.Path(adiff.__file__).parent
  for path in home.rglob('*.py'):
    for node in ast.walk(ast.parse(path.read_text())):
      if not isinstance(node, ast.Call):
        continue
      name = ast.unparse(node.func)
      modes = [
        one.value for one in (*node.args[1:2], *(word.value for word in node.keywords))
        if isinstance(one, ast.Constant) and isinstance(one.value, str)
      ]
      writes = name == 'open' and any(set('wax') & set(mode) for mode in modes)
      writes |= name.endswith(('.write_text', '.write_bytes', 'shutil.rmtree', 'os.remove'))
      place = path.relative_to(home).as_posix()
      if place != 'machine/files.py' and not (place in APPENDED and 'a' in ''.join(modes)):
        assert not writes, f'{place}: {ast.unparse(node)}; machine/files.py writes and deletes'
