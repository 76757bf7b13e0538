"""The reader of arrays, .npy, .npz and .safetensors: never a pickle, never more memory than the
file has bytes. It writes those that do not fit into memory at once.

What a file announces is checked before anything is read: its shape must be that of its bytes, and
archives must hold their arrays as they are (numpy.savez), for packed ones may unfold without end.
"""

import math
import os
import struct
import zipfile
from collections.abc import Iterable
from typing import Any

import numpy as np

from adiff.machine import input_file

ADVICE = 'write it again with numpy'
_KINDS = 'biufcUS'  # bool, numbers and texts
_HEADER, _LENGTHS = 30, 26  # of a member of a zip: bytes, and which of them tell what follows
_BYTES = 2**34  # of a .safetensors


def npy(path, *, advice=ADVICE) -> np.ndarray:
  """The array of a .npy; raises FileNotFoundError, Unreadable, or OSError."""
  with input_file.opened(path) as file, input_file.told(path, 'is no .npy file', advice):
    return _array(file, path, input_file.size(file), advice)


def mapped(path, *, advice=ADVICE) -> np.ndarray:
  """The array of a .npy on a disk, read where it is looked at; raises as `npy`."""
  with input_file.opened(path) as file, input_file.told(path, 'is no .npy file', advice):
    return _mapped(file, path, path, input_file.size(file), advice)


def mapped_npz(path, *, advice=ADVICE) -> dict[str, np.ndarray]:
  """{name: array} of an .npz on a disk, read where they are looked at; no checksum is compared.
  Raises as `npy`."""
  found = {}
  with input_file.opened(path) as file, input_file.told(path, 'is no .npz file', advice):
    with zipfile.ZipFile(file) as archive:
      for info in archive.infolist():
        if info.compress_type != zipfile.ZIP_STORED:
          raise input_file.Unreadable(f'{path} is packed; {advice}')
        file.seek(info.header_offset + _LENGTHS)
        begin = info.header_offset + _HEADER + sum(struct.unpack('<HH', file.read(4)))
        if begin + info.file_size > input_file.size(file):
          raise input_file.Unreadable(f'{path} announces more than it holds; {advice}')
        file.seek(begin)
        name = info.filename.removesuffix('.npy')
        where = f'{name[:60]} of {path}'
        found[name] = _mapped(file, path, where, begin + info.file_size, advice)
  return found


def _mapped(file, path, where, end, advice):
  """The map of the array that begins where an open file is, and ends at `end`."""
  shape, fortran, dtype = _header(file, where, end, advice)
  if not math.prod(shape):
    return np.empty(shape, dtype)
  order = 'F' if fortran else 'C'
  return np.memmap(path, dtype, mode='r', offset=file.tell(), shape=shape, order=order)


def npz(path, names=(), *, advice=ADVICE) -> dict[str, np.ndarray]:
  """{name: array} of all in an .npz, `names` among them; raises as `npy`."""
  with input_file.opened(path) as file:
    found = npz_in(file, input_file.size(file), path, advice=advice)
  for name in names:
    if name not in found:
      raise input_file.Unreadable(f'{path} has no array {name}; {advice}')
  return found


def npz_in(file, size, where, *, advice=ADVICE) -> dict[str, np.ndarray]:
  """{name: array} of all in an open .npz of `size` bytes; where: what to call it. Raises as
  `npy`."""
  found = {}
  with input_file.told(where, 'is no .npz file', advice), zipfile.ZipFile(file) as archive:
    for info in archive.infolist():
      if info.compress_type != zipfile.ZIP_STORED:
        raise input_file.Unreadable(f'{where} is packed; {advice}')
      size -= info.file_size
      if size < 0:
        raise input_file.Unreadable(f'{where} announces more than it holds; {advice}')
      with archive.open(info) as member:
        name = info.filename.removesuffix('.npy')
        found[name] = _array(member, f'{name[:60]} of {where}', info.file_size, advice)
  return found


def weights(path, *, advice=ADVICE) -> dict[str, np.ndarray]:
  """{name: array} of all in a .safetensors or an .npz; raises as `npy`."""
  if os.fspath(path).endswith('.npz'):
    return npz(path, advice=advice)
  if not os.fspath(path).endswith('.safetensors'):
    raise input_file.Unreadable(f'{path} ends neither in .safetensors nor in .npz; {advice}')
  import safetensors.numpy  # who reads other arrays needs none of it

  content = input_file.read(path, limit=_BYTES)
  with input_file.told(path, 'is no .safetensors file', advice):
    return safetensors.numpy.load(content)


def names(path, *, advice=ADVICE) -> set[str]:
  """What the arrays of an .npz are called; reads none of them. Raises as `npy`."""
  with input_file.opened(path) as file, input_file.told(path, 'is no .npz file', advice):
    with zipfile.ZipFile(file) as archive:
      return {name.removesuffix('.npy') for name in archive.namelist()}


def write_npz(file, arrays: dict[str, tuple[tuple[int, ...], Any, Iterable[np.ndarray]]]) -> None:
  """Writes {name: (shape, dtype, pieces)} as numpy.savez would the arrays that the pieces make,
  with one piece in memory at a time."""
  with zipfile.ZipFile(file, 'w') as archive:
    for name, (shape, dtype, pieces) in arrays.items():
      header = {
        'descr': np.lib.format.dtype_to_descr(dtype), 'fortran_order': False, 'shape': shape,
      }
      with archive.open(f'{name}.npy', 'w', force_zip64=True) as member:
        np.lib.format.write_array_header_2_0(member, header)
        for piece in pieces:
          member.write(piece.astype(dtype).tobytes())


def _array(file, where, size, advice):
  """The array of an open file or member of `size` bytes."""
  _header(file, where, size, advice)
  file.seek(0)
  array = np.lib.format.read_array(file, allow_pickle=False)
  if file.read(1):  # to the end of a member, where its checksum is compared
    raise input_file.Unreadable(f'{where} goes on behind its array; {advice}')
  return array


def _header(file, where, size, advice) -> tuple[tuple[int, ...], bool, Any]:
  """(shape, Fortran's order?, dtype); leaves the file where the numbers begin."""
  version = np.lib.format.read_magic(file)
  read = {
    (1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0,
  }
  if version not in read:
    raise input_file.Unreadable(f'{where} is of version {version} of the format; {advice}')
  shape, fortran, dtype = read[version](file)
  if dtype.hasobject or dtype.kind not in _KINDS:
    kind = 'Python objects, which may run code' if dtype.hasobject else f'{dtype}'
    raise input_file.Unreadable(f'{where} holds {kind}; {advice}')
  if any(isinstance(side, bool) or side < 0 for side in shape):
    raise input_file.Unreadable(f'{where} announces the shape {shape}; {advice}')
  announced = math.prod(shape) * dtype.itemsize
  if announced != size - file.tell():
    raise input_file.Unreadable(
      f'{where} announces {announced} bytes of numbers and holds {size - file.tell()}; {advice}'
    )
  return shape, fortran, dtype
