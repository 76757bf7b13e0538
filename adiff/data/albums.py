"""Where pictures lie: in a folder, in a zip of one, or in an array of a file.

Nothing is ever unpacked: what a zip holds is read where it stands. A folder and its zip have one
digest, so that a run may move from one to the other.
"""

import abc
import functools
import hashlib
import io
import itertools

import numpy as np
import PIL.Image

from adiff.data import pictures
from adiff.machine import array_file, contents, copies, files, input_file, storage, zip_file

ARRAYS = ('examples', 'pictures', 'images', 'arr_0')  # what the array of an .npz may be called


class Album(abc.ABC):
  """Pictures by name. The names are relative, with '/' between their parts; arrays count."""

  @property
  @abc.abstractmethod
  def names(self) -> list[str]:
    """Of all pictures, sorted."""

  @property
  @abc.abstractmethod
  def digest(self) -> str:
    """16 hex digits of the names and of what they stand for."""

  @property
  @abc.abstractmethod
  def classes(self) -> tuple[str, ...]:
    """What the labels 0, 1, .. are called; () where there are none, or none but numbers."""

  @property
  def num_classes(self) -> int:
    """0 where pictures have no label."""
    return len(self.classes)

  @abc.abstractmethod
  def label(self, name) -> int:
    """Of a picture; -1 for none."""

  @abc.abstractmethod
  def check(self, name) -> pictures.Looks:
    """What it looks like; raises what reading it would, as far as a quick look tells."""

  @abc.abstractmethod
  def read(self, name, size, channels) -> np.ndarray:
    """uint8 [size, size, channels], as pictures.RULE says; channels: 3 for colour, 1 for grey."""


def open_album(place) -> Album:
  """The album of a folder, a .zip, or a .npy or .npz.

  Raises FileNotFoundError where there is none, ValueError for a file that is nothing of these or
  holds what is no pictures.
  """
  path = storage.path(place)
  if path.is_dir():
    return Folder(path)
  if not path.is_file():
    raise FileNotFoundError(
      f'there is no folder {path}; set --config.data.data_dir=FOLDER, or a .zip, that holds '
      'CLASS/*.png, *.jpg and so on, or the pictures themselves, or a .npy or .npz of them'
    )
  if path.suffix.lower() in ('.npy', '.npz'):
    return Arrays(copies.here(path))
  if path.suffix.lower() == '.zip':
    return Zip(copies.here(path))
  raise ValueError(
    f'{path} is neither a folder nor a .zip, .npy or .npz, so no pictures are looked for in it; '
    'name one of these'
  )


class _Files(Album):
  """Pictures that are files; the class of one is its folder."""

  @functools.cached_property
  def classes(self):
    return tuple(sorted({name.split('/')[0] for name in self.names if '/' in name}))

  @functools.cached_property
  def _index(self):
    return {name: label for label, name in enumerate(self.classes)}

  def label(self, name):
    return self._index.get(name.split('/')[0], -1) if '/' in name else -1


class Folder(_Files):
  """A folder."""

  def __init__(self, root):
    self._root = root

  @functools.cached_property
  def names(self):
    return pictures.find(self._root)

  @functools.cached_property
  def digest(self):
    return contents.digest(self._root, self.names)

  def check(self, name):
    path = self._root / name
    with input_file.opened(path, limit=pictures.MOST_BYTES) as file:
      return pictures.check(file, path)

  def read(self, name, size, channels):
    return pictures.read(self._root / name, size, channels)


class Zip(_Files):
  """A zip of a folder. Folders that hold all the rest are passed through: pets.zip with pets/cats
  and pets/dogs has the classes cats and dogs."""

  def __init__(self, path):
    self._zip = zip_file.Zip(path, most=pictures.MOST_BYTES)
    names = pictures.chosen(self._zip.names, path)
    if not names:
      raise input_file.Unreadable(
        f'{path} holds no picture ({pictures.kinds(self._zip.names) or "it is empty"}); pack files '
        'such as .png, .jpg or .webp'
      )
    shared = _shared(names)
    self._members = {name[shared:]: name for name in names}

  @functools.cached_property
  def names(self):
    return sorted(self._members)

  @functools.cached_property
  def digest(self):
    return contents.digest_of(
      (name, hashlib.sha256(self._zip.read(self._members[name])).hexdigest()) for name in self.names
    )

  def _opened(self, name):
    """(the file in memory, what it is called)."""
    member = self._members[name]
    return io.BytesIO(self._zip.read(member)), self._zip.where(member)

  def check(self, name):
    return pictures.check(*self._opened(name))

  def read(self, name, size, channels):
    return pictures.decode(*self._opened(name), size, channels)


def _shared(names):
  """How many letters of all names are folders that hold all of them."""
  parts = [name.split('/')[:-1] for name in names]
  common = itertools.takewhile(lambda level: len(set(level)) == 1, zip(*parts))
  return sum(len(level[0]) + 1 for level in common)


class Arrays(Album):
  """A file of an array uint8 [n, H, W, C] or [n, H, W]: .npy, or .npz, where it is called as in
  ARRAYS, and where int `labels` [n], as arr_1 beside arr_0, and `names` of the classes may lie
  beside it; -1 is a picture without a label."""

  def __init__(self, path):
    self._path = path
    found = {'examples': array_file.mapped(path)} if path.suffix == '.npy' else array_file.npz(path)
    name = next((name for name in ARRAYS if name in found), None)
    if name is None:
      raise input_file.Unreadable(
        f'{path} has no array that is called {" or ".join(ARRAYS)}; write it with numpy.savez('
        'FILE, examples=PICTURES, labels=LABELS)'
      )
    self._array = checked(found[name], path)
    beside = 'arr_1' if name == 'arr_0' else 'labels'  # as a file of samples has them
    self._labels = found.get('labels', found.get(beside))
    self._names = tuple(map(str, found.get('names', ())))
    if self._labels is not None:
      self._labels = checked_labels(self._labels, len(self._array), path)
      if self._names and self._labels.max() >= len(self._names):
        raise input_file.Unreadable(
          f'{path} has the label {self._labels.max()} and {len(self._names)} names of classes; '
          'write a name for each'
        )

  @functools.cached_property
  def names(self):
    return [f'{index:09d}' for index in range(len(self._array))]

  @functools.cached_property
  def digest(self):
    return digest_of(self._array, self._labels, self._names)

  @property
  def classes(self):
    return self._names

  @property
  def num_classes(self):
    if self._names or self._labels is None:
      return len(self._names)
    return int(self._labels.max()) + 1

  def label(self, name):
    return -1 if self._labels is None else int(self._labels[int(name)])

  def check(self, name):
    del name  # the array is whole
    _, height, width, channels = self._array.shape
    return pictures.Looks(width, height, channels)

  def read(self, name, size, channels):
    values = self._array[int(name)]
    picture = PIL.Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)
    return pictures.fit(picture.convert('L' if channels == 1 else 'RGB'), size)


def digest_of(examples, labels=None, names=()) -> str:
  """The digest of an album of arrays."""
  labels = () if labels is None else (labels,)
  return files.digest(examples, *labels, repr(tuple(map(str, names))))


def checked(array, where) -> np.ndarray:
  """An array of pictures as uint8 [n, H, W, C]; raises Unreadable where it is none."""
  array = array[..., None] if array.ndim == 3 else array
  if array.dtype != np.uint8:
    raise input_file.Unreadable(
      f'{where}: pictures are uint8 of 0 to 255, not {array.dtype}; scale them and write '
      '.astype(numpy.uint8)'
    )
  if array.ndim != 4 or array.shape[-1] not in (1, 3) or not array.size:
    raise input_file.Unreadable(
      f'{where}: pictures are an array [n, height, width, 1 or 3], not {list(array.shape)}; '
      'arrange its axes'
    )
  return array


def checked_labels(labels, num, where) -> np.ndarray:
  """Labels as int32 [num], -1 for none; raises Unreadable where they are none."""
  labels = np.asarray(labels)
  if labels.shape != (num,) or labels.dtype.kind not in 'iu':
    raise input_file.Unreadable(
      f'{where}: labels are {num} whole numbers, one a picture, not {labels.dtype} '
      f'{list(labels.shape)}; write -1 for a picture without one'
    )
  if labels.min() < -1 or labels.max() >= 2**20:
    raise input_file.Unreadable(
      f'{where}: a label is {labels.min() if labels.min() < -1 else labels.max()}; write 0, 1, .. '
      'or -1 for none'
    )
  return labels.astype(np.int32)
