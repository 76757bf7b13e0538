"""Files that appear whole, and digests of what files hold."""

import json

import numpy as np
import pytest

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
