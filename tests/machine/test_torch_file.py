"""What torch saved until 2020 is read without torch, and nothing of it is executed."""

import io
import pickle
import sys
import types

import numpy as np
import pytest

from adiff.machine import input_file, torch_file

ARRAYS = {
  'a.weight': np.arange(6, dtype=np.float32).reshape(2, 3).T, 'b': np.float16([2.5, 1]),
  'steps': np.int64(7),
}
KINDS = {'f4': 'FloatStorage', 'f2': 'HalfStorage', 'i8': 'LongStorage'}


class Tensor:
  """An array that pickles as a tensor does."""

  def __init__(self, array):
    self.array = np.asarray(array)

  def __reduce__(self):
    strides = tuple(stride // self.array.itemsize for stride in self.array.strides)
    return sys.modules['torch._utils']._rebuild_tensor_v2, (
      Storage(self.array), 0, self.array.shape, strides, False, None)


class Storage:
  """Its numbers, which the pickle names and does not hold."""

  def __init__(self, array):
    self.array = array

  def numbers(self):
    return self.array.ravel('K')


@pytest.fixture
def written(monkeypatch, tmp_path):
  """A function: what is by name -> the file that torch.save would write of it."""
  torch, own = types.ModuleType('torch'), types.ModuleType('torch._utils')
  for kind in KINDS.values():
    setattr(torch, kind, type(kind, (), {'__module__': 'torch'}))
  exec('def _rebuild_tensor_v2(): pass', own.__dict__)
  monkeypatch.setitem(sys.modules, 'torch', torch)
  monkeypatch.setitem(sys.modules, 'torch._utils', own)

  def write(things):
    storages, file = [], io.BytesIO()

    class Pickler(pickle.Pickler):
      def persistent_id(self, thing):
        if not isinstance(thing, Storage):
          return None
        storages.append(thing)
        kind = getattr(torch, KINDS[thing.array.dtype.str[1:]])
        return 'storage', kind, str(len(storages) - 1), 'cpu', thing.array.size, None

    for thing in (torch_file.MARK, torch_file.VERSION, {'little_endian': True}):
      pickle.dump(thing, file, 2)
    Pickler(file, 2).dump({
      name: Tensor(one) if isinstance(one, (np.ndarray, np.generic)) else one
      for name, one in things.items()
    })
    pickle.dump([str(index) for index in range(len(storages))], file, 2)
    for one in storages:
      file.write(one.array.size.to_bytes(8, 'little') + one.numbers().tobytes())
    (tmp_path / 'a.pth').write_bytes(file.getvalue())
    return tmp_path / 'a.pth'

  return write


def same(found, wanted):
  assert found.keys() == wanted.keys()
  for name, array in wanted.items():
    np.testing.assert_array_equal(found[name], array)
    assert found[name].dtype == array.dtype


def test_arrays_come_back_as_they_lay(written):
  same(torch_file.read(written(ARRAYS)), ARRAYS)


def test_what_torch_itself_saves_is_read(tmp_path):
  torch = pytest.importorskip('torch', reason='torch is not installed')
  tensors = {name: torch.tensor(array) for name, array in ARRAYS.items()}
  torch.save(tensors, tmp_path / 'a.pth', _use_new_zipfile_serialization=False)
  same(torch_file.read(tmp_path / 'a.pth'), ARRAYS)


def test_torn_and_foreign_files_are_refused_and_run_nothing(written, tmp_path):
  def refused(content, words):
    (tmp_path / 'b.pth').write_bytes(content)
    with pytest.raises(input_file.Unreadable, match=words) as error:
      torch_file.read(tmp_path / 'b.pth', advice='take another one')
    assert str(error.value).startswith(f'{tmp_path}/b.pth is no file of weights (')
    assert str(error.value).endswith('take another one') and '\n' not in str(error.value)

  class Evil:
    def __reduce__(self):
      return print, ('run',)

  whole = written(ARRAYS).read_bytes()
  refused(b'', 'pickle exhausted')
  refused(b'PK\x03\x04' + whole, 'ascii')  # a zip, as torch writes since
  refused(pickle.dumps(1, 2) + whole, 'another form')
  refused(whole[:-1], 'where it announces')
  refused(whole[:len(whole) // 2], 'no newline')
  refused(written({'a': Evil()}).read_bytes(), 'more than tensors')
  refused(written({'a': 3}).read_bytes(), 'more than tensors')
  beyond = np.lib.stride_tricks.as_strided(np.zeros(2, np.float32), (2,), (400,))
  refused(written({'a': beyond}).read_bytes(), 'beyond its storage')
  two = written({'a': np.zeros(9999, np.float32), 'b': np.zeros(4, np.float32)}).read_bytes()
  refused(two.replace(b'X\x01\x00\x00\x000', b'X\x01\x00\x00\x001', 1), 'storages by one key')
  with pytest.raises(FileNotFoundError):
    torch_file.read(tmp_path / 'none.pth')
