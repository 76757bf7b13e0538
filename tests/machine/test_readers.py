"""What others left on the disk is read, or refused in one sentence that names the file."""

import ast
import functools
import json
import os
import pathlib
import zipfile

import numpy as np
import pytest
import safetensors.numpy

import adiff
from adiff.machine import array_file, input_file, json_file

HOUSE = pathlib.Path(adiff.__file__).parent
OWNERS = {  # what reads a kind of file, and the module that may call it
  'json.loads': 'machine/json_file.py', 'json.load': 'machine/json_file.py', 'np.load': None,
  'np.lib.format.read_array': 'machine/array_file.py',
  'zipfile.ZipFile': ('machine/array_file.py', 'machine/zip_file.py'),  # an .npz is one
  'PIL.Image.open': 'data/pictures.py', 'Image.open': None, 'pickle.load': None,
  'pickle.loads': None, 'tfds.builder_from_directory': 'data/tfds_folder.py',
}


@functools.cache
def calls():
  """[(file of the house, what is called, the call)]."""
  return [
    (path.relative_to(HOUSE).as_posix(), ast.unparse(node.func), node)
    for path in HOUSE.rglob('*.py') for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.Call)
  ]


@pytest.mark.parametrize('call', OWNERS)
def test_every_kind_of_file_has_one_reader(call):
  for name, called, _ in calls():
    if called == call:
      owner = OWNERS[call] or ()
      assert name in owner, f'{name} calls {call}; {owner or "the readers"} reads'


def test_nothing_is_opened_for_reading_but_by_the_reader_of_files():
  for name, called, node in calls():
    if name == 'machine/input_file.py':
      continue
    assert called.split('.')[-1] not in ('read_text', 'read_bytes'), f'{name}: {called}'
    if called == 'open':
      mode = ast.unparse(node.args[1]) if len(node.args) > 1 else "'r'"
      assert mode not in ("'r'", "'rb'"), f'{name} opens a file; input_file.opened does'


def refused(read, path, *words):
  """The sentence that a reader refuses a file with."""
  with pytest.raises(input_file.Unreadable) as caught:
    read(path)
  sentence = str(caught.value)
  assert str(path) in sentence and '\n' not in sentence and len(sentence) < 700
  for word in words:
    assert word in sentence, sentence
  return sentence


def test_a_pipe_a_folder_and_a_device_are_no_files(tmp_path):
  os.mkfifo(tmp_path / 'pipe')
  for path, word in ((tmp_path / 'pipe', 'pipe'), (tmp_path, 'folder'), ('/dev/zero', 'device')):
    refused(lambda path: input_file.read(path, limit=10), path, word)
    refused(json_file.read, path, word)
    refused(array_file.npy, path, word)
  (tmp_path / 'long').write_bytes(bytes(11))
  refused(lambda path: input_file.read(path, limit=10), tmp_path / 'long', '11 bytes', '10')
  with pytest.raises(FileNotFoundError):
    input_file.read(tmp_path / 'absent', limit=10)


@pytest.mark.parametrize(('text', 'word'), [
  ('{"a": 1', 'not JSON'), ('', 'not JSON'), ('{"a": NaN}', 'NaN'), ('{"a": -Infinity}', '-Inf'),
  ('{"a": 1e999}', '1e999'), ('{"a": ' + '9' * 30 + '}', 'too large'), ('[' * 100_000, 'deeply'),
  ('[' * 65 + ']' * 65, 'deeply'), ('{"a": 1, "a": 2}', 'occurs twice'), (b'"\xff"', 'not JSON'),
  ('{"a": "\\ud800"}', 'not JSON'), ('\ufeff{}', 'not JSON'), ('[1]', 'dictionary'),
  ('null', 'null'),
])
def test_what_is_no_json_of_ours_is_refused(tmp_path, text, word):
  path = tmp_path / 'a.json'
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  refused(json_file.read, path, word)


def test_a_json_file_larger_than_the_limit_is_not_read(tmp_path):
  path = tmp_path / 'a.json'
  with path.open('wb') as file:
    file.truncate(json_file.BYTES + 1)
  refused(json_file.read, path, 'at most')


FORM = {'step': int, 'rate': float, 'names': [str], 'inner': {'deep?': {str: int}},
        'either?': int | str}


@pytest.mark.parametrize(('change', 'words'), [
  ({'step': True}, 'true as step where a whole number'), ({'step': 1.5}, '1.5 as step'),
  ({'rate': '1'}, '"1" as rate where a number'), ({'names': ['a', 1]}, '1 as names.1 where a text'),
  ({'names': {}}, 'a dictionary as names where a list'), ({'inner': 5}, '5 as inner'),
  ({'inner': {'deep': {'x': []}}}, 'a list as inner.deep.x where a whole number'),
  ({'either': 1.5}, '1.5 as either where a whole number or a text'),
  ({'step': None}, 'null as step'),
])
def test_a_value_of_another_form_is_named_with_its_key(tmp_path, change, words):
  sound = {'step': 3, 'rate': 1, 'names': ['a'], 'inner': {'deep': {'x': 1}, 'more': None}}
  path = tmp_path / 'a.json'
  path.write_text(json.dumps(sound))
  assert json_file.read(path, FORM) == sound
  path.write_text(json.dumps(sound | change))
  refused(lambda path: json_file.read(path, FORM, advice='mend it'), path, words, 'mend it')
  for key in sound:
    path.write_text(json.dumps({k: v for k, v in sound.items() if k != key}))
    refused(lambda path: json_file.read(path, FORM), path, f'has no {key}')


def npz(path, **how):
  np.savez(path, a=np.arange(6).reshape(2, 3), b=np.float32(2.5))
  return path


def header(shape, descr='<f8'):
  """The begin of a .npy that announces a shape."""
  text = repr({'descr': descr, 'fortran_order': False, 'shape': shape}).encode()
  text += b' ' * (63 - (len(text) + 10) % 64) + b'\n'
  return b'\x93NUMPY\x01\x00' + len(text).to_bytes(2, 'little') + text


def test_arrays_come_back_as_they_were_written(tmp_path):
  found = array_file.npz(npz(tmp_path / 'a.npz'), ('a', 'b'))
  np.testing.assert_array_equal(found['a'], np.arange(6).reshape(2, 3))
  assert found['b'] == 2.5 and found['b'].dtype == np.float32
  for array in (np.asfortranarray(np.ones((2, 3))), np.zeros((0, 4)), np.array('text'), np.True_):
    np.save(tmp_path / 'a.npy', array)
    for read in (array_file.npy, array_file.mapped):
      again = read(tmp_path / 'a.npy')
      np.testing.assert_array_equal(again, array)
      assert again.dtype == array.dtype


def test_weights_are_read_of_either_kind_of_file_and_of_no_other(tmp_path):
  arrays = {'a.weight': np.arange(6, dtype=np.float32).reshape(2, 3), 'b': np.float16([2.5])}
  np.savez(tmp_path / 'a.npz', **arrays)
  safetensors.numpy.save_file(arrays, tmp_path / 'a.safetensors')
  for name in ('a.npz', 'a.safetensors'):
    found = array_file.weights(tmp_path / name)
    assert found.keys() == arrays.keys()
    for key, array in arrays.items():
      np.testing.assert_array_equal(found[key], array)
      assert found[key].dtype == array.dtype
  whole = (tmp_path / 'a.safetensors').read_bytes()
  for content in (b'', b'no arrays', whole[:-1], bytes(8) + whole[8:]):
    (tmp_path / 'a.safetensors').write_bytes(content)
    refused(array_file.weights, tmp_path / 'a.safetensors', 'is no .safetensors file')
  refused(array_file.weights, tmp_path / 'a.pth', 'ends neither in .safetensors nor in .npz')
  with pytest.raises(FileNotFoundError):
    array_file.weights(tmp_path / 'b.safetensors')


@pytest.mark.parametrize(('content', 'word'), [
  (b'', '.npy'), (b'no array', '.npy'), (header((10**12,)), 'announces'),
  (header((-1,)), 'announces'),
  (header((True,)) + bytes(8), 'announces'), (header((2,)) + bytes(8), 'announces'),
  (header((1,)) + bytes(16), 'announces'), (header((1,), '|O') + bytes(8), 'Python objects'),
  (header((1,), '<M8[s]') + bytes(8), 'holds'), (header((2**70, 0)), 'is no .npy'),
  (header('oops'), '.npy'), (b'\x93NUMPY\x03\x00' + header((1,))[8:] + bytes(8), 'version'),
])
def test_a_file_that_announces_what_it_does_not_hold_is_refused(tmp_path, content, word):
  path = tmp_path / 'a.npy'
  path.write_bytes(content)
  for read in (array_file.npy, array_file.mapped):
    refused(read, path, word)


def test_an_archive_that_is_packed_torn_flipped_or_lacks_an_array_is_refused(tmp_path):
  path = npz(tmp_path / 'a.npz')
  refused(lambda path: array_file.npz(path, ('c',)), path, 'has no array c')
  whole = path.read_bytes()
  for index in range(1, len(whole), 97):
    path.write_bytes(whole[:index])
    refused(array_file.npz, path)
  place = whole.index(np.arange(6).tobytes())
  path.write_bytes(whole[:place] + b'\xff' + whole[place + 1:])
  refused(array_file.npz, path, 'CRC')
  np.savez_compressed(path, a=np.zeros(10**6))
  refused(array_file.npz, path, 'packed')
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('a.npy', b'no array')
  refused(array_file.npz, path)


def test_arrays_of_an_archive_are_mapped_where_they_lie(tmp_path):
  arrays = {'a': np.arange(12.0).reshape(3, 4), 'b': np.array(['x', 'yz']), 'c': np.empty((0, 2))}
  np.savez(tmp_path / 'a.npz', **arrays)
  found = array_file.mapped_npz(tmp_path / 'a.npz')
  assert isinstance(found['a'], np.memmap) and list(found) == list(arrays)
  for name, value in arrays.items():
    np.testing.assert_array_equal(found[name], value)
  np.savez_compressed(tmp_path / 'packed.npz', **arrays)
  whole = (tmp_path / 'a.npz').read_bytes()
  (tmp_path / 'cut.npz').write_bytes(whole[:-40])
  (tmp_path / 'long.npz').write_bytes(whole.replace(b"(3, 4)", b"(9, 4)"))
  for name, words in (
    ('packed', 'is packed'), ('cut', 'is no .npz file'), ('long', 'announces 288 bytes of numbers'),
  ):
    with pytest.raises(input_file.Unreadable, match=words):
      array_file.mapped_npz(tmp_path / f'{name}.npz')
