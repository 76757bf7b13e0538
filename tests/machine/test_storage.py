"""Files on a disk and objects in a bucket: told apart by nobody above machine/."""

import pathlib
import types

import numpy as np
import pytest

from adiff.machine import array_file, copies, files, input_file, json_file, logs, storage
from adiff.machine import bucket as bucket_lib


@pytest.fixture(params=['disk', 'bucket'])
def top(request, tmp_path):
  """A place of its own, of either kind."""
  return str(tmp_path / 'top') if request.param == 'disk' else request.getfixturevalue('bucket')


def write(path, content=b'abc'):
  if not storage.remote(path):
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
  with files.whole(path, 'wb') as file:
    file.write(content)


def test_what_is_asked_and_done_is_the_same_on_a_disk_and_in_a_bucket(top):
  assert [ask(top) for ask in (storage.exists, storage.is_folder, storage.is_file, files.lies)] == (
    [False] * 4
  )
  assert storage.names(top) == []
  write(f'{top}/a/b/one', b'first')
  write(f'{top}/a/two', b'second')
  write(f'{top}/ab', b'')
  assert storage.names(top) == ['a', 'ab'] and storage.names(f'{top}/a') == ['b', 'two']
  assert storage.is_folder(f'{top}/a') and not storage.is_file(f'{top}/a')
  assert storage.is_file(f'{top}/ab') and storage.size(f'{top}/a/two') == 6
  told = {folder: (set(folders), names) for folder, folders, names in storage.walk(top)}
  assert told == {
    top: ({'a'}, ['ab']), f'{top}/a': ({'b'}, ['two']), f'{top}/a/b': (set(), ['one']),
  }
  storage.move(f'{top}/a', f'{top}/c')
  assert storage.names(top) == ['ab', 'c'] and storage.names(f'{top}/c') == ['b', 'two']
  assert input_file.read(f'{top}/c/b/one', limit=5) == b'first'
  files.delete(f'{top}/c')
  assert storage.names(top) == ['ab']
  with pytest.raises(FileNotFoundError):
    files.delete(f'{top}/c')


def test_readers_read_what_writers_wrote_wherever_it_lies(top):
  write(f'{top}/x')
  files.write_json(f'{top}/a.json', {'number': 1})
  array = np.arange(6).reshape(2, 3)
  with files.whole(f'{top}/a.npy', 'wb') as file:
    np.save(file, array)
  with files.whole(f'{top}/a.npz', 'wb') as file:
    np.savez(file, array)
  assert json_file.read(f'{top}/a.json') == {'number': 1}
  np.testing.assert_array_equal(array_file.npy(f'{top}/a.npy'), array)
  np.testing.assert_array_equal(array_file.npz(f'{top}/a.npz')['arr_0'], array)
  assert files.sha256(f'{top}/x')[:8] == 'ba7816bf'
  with pytest.raises(input_file.Unreadable, match='holds 3 bytes where at most 2'):
    input_file.read(f'{top}/x', limit=2)
  with pytest.raises(FileNotFoundError):
    input_file.read(f'{top}/y', limit=2)


def test_a_write_that_fails_leaves_what_was_there(top):
  write(f'{top}/x', b'old')
  with pytest.raises(RuntimeError), files.whole(f'{top}/x', 'wb') as file:
    file.write(b'half of the new')
    raise RuntimeError
  assert input_file.read(f'{top}/x', limit=99) == b'old' and storage.names(top) == ['x']


def test_a_folder_is_whole_or_not_there(top):
  write(f'{top}/beside')
  with pytest.raises(RuntimeError), files.folder(f'{top}/3') as draft:
    write(f'{draft}/one')
    raise RuntimeError
  assert files.whole_folders(top) == []
  for content in (b'old', b'new'):
    with files.folder(f'{top}/3', ('one', 'two')) as draft:
      write(f'{draft}/one', content)
      if content == b'old':
        write(f'{draft}/two')
  assert files.whole_folders(top) == ['3']
  assert set(storage.names(f'{top}/3')) - {files.MARK} == {'one'}
  assert input_file.read(f'{top}/3/one', limit=99) == b'new'
  with pytest.raises(ValueError, match="holds 'one', which would be lost"):
    files.check_replaceable(f'{top}/3', ('two',))
  write(f'{top}/3/two.0123abcd.tmp', b'whoever writes it is at work, or was killed')
  files.check_replaceable(f'{top}/3', ('one', 'two'))


def test_a_folder_of_a_bucket_without_its_mark_is_passed_over_and_written_anew(bucket):
  write(f'{bucket}/4/one', b'a kill came here')
  assert files.whole_folders(bucket) == []
  with files.folder(f'{bucket}/4', ('one',)) as draft:
    write(f'{draft}/one', b'new')
  assert files.whole_folders(bucket) == ['4']


def test_a_trial_that_a_kill_left_in_a_bucket_locks_nobody_out(bucket):
  write(f'{bucket}/5/.writable', b'')
  files.check_replaceable(f'{bucket}/5', ('one',))
  storage.check_writable(f'{bucket}/5')
  assert storage.names(f'{bucket}/5') == []


def test_a_folder_of_a_bucket_is_copied_once_and_again_when_an_object_changes(
  bucket, tmp_path, monkeypatch, cloud
):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  write(f'{bucket}/set/train/one')
  first = copies.here(f'{bucket}/set')
  assert (first / 'train' / 'one').read_bytes() == b'abc' and first.name == 'set'
  read = []
  monkeypatch.setattr(storage, 'get', lambda path, place: read.append(path))
  assert copies.here(f'{bucket}/set/') == first and not read
  monkeypatch.undo()
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  write(f'{bucket}/set/train/one', b'abd')
  assert (copies.here(f'{bucket}/set') / 'train' / 'one').read_bytes() == b'abd'
  monkeypatch.setattr(copies.shutil, 'disk_usage', lambda path: types.SimpleNamespace(free=2))
  write(f'{bucket}/set/train/one', b'abe')
  with pytest.raises(OSError, match='more than the 1.863e-09 GiB that .* has free'):
    copies.here(f'{bucket}/set')


def test_lines_of_a_run_reach_a_bucket_before_its_checkpoint_and_are_cut_at_a_resume(bucket):
  log = logs.Logs(bucket, total_steps=9, tokens_per_step=1, progress=False)
  log.write(1, {'loss': 3.0})
  assert not storage.exists(f'{bucket}/metrics.jsonl')
  log.keep()
  log.write(2, {'loss': 2.0})
  assert [line['step'] for line in logs.read(bucket)] == [1]  # a kill came here
  again = logs.Logs(bucket, total_steps=9, start_step=1, tokens_per_step=1, progress=False)
  again.write(2, {'loss': 2.0})
  again.close()
  assert [line['step'] for line in logs.read(bucket)] == [1, 2]
  assert logs.has(bucket, 2, 'loss') and storage.names(f'{bucket}/tensorboard')


@pytest.mark.parametrize('path, words', [
  ('s3://runs/a', 's3://runs/a is no place that adiff reads or writes'),
  ('https://example.com/a', 'name a folder, a mount, or gs://BUCKET/FOLDER'),
  (pathlib.Path('gs://runs/a'), 'pathlib drops a slash'),
  ('gs://', 'gs:// names no bucket'),
])
def test_other_places_are_refused_in_a_sentence(path, words):
  for use in (storage.exists, storage.names, storage.absolute, files.sha256, copies.here):
    with pytest.raises(ValueError, match=words):
      use(path)


@pytest.mark.parametrize('path, words', [
  ('gs://nowhere/a', 'there is no bucket gs://nowhere: correct the name, or make it by `gcloud'),
  ('gs://closed/a', 'Permission denied'),
  ('gs://private/a', 'no credentials of Google Cloud are here: run `gcloud auth application-def'),
])
def test_a_bucket_that_takes_nothing_says_why(cloud, path, words):
  with pytest.raises(OSError) as caught:
    storage.check_writable(path)
  said = str(files.unwritable(f'workdir {path} cannot be written', caught.value))
  assert words in said and said.startswith(f'workdir {path} cannot be written (')
  if 'nowhere' not in path:
    with pytest.raises(OSError, match=words[:20]):
      json_file.read(f'{path}/config.json')


def test_a_bucket_without_the_library_is_refused_with_its_name(monkeypatch):
  def missing(name):
    raise ImportError('Please install gcsfs to access Google Storage')

  monkeypatch.setattr('etils.epath.backend.fsspec_backend.fs', missing)
  monkeypatch.setattr(bucket_lib, 'files', bucket_lib.files.__wrapped__)
  for use in (storage.names, files.sha256, storage.check_writable):
    with pytest.raises(ValueError, match=r'needs the package gcsfs.*pip install adiff\[gcs\]'):
      use('gs://runs/a')
