"""Pictures of one's own: in a folder, a zip of one, or a file of an array."""

import functools
import hashlib
import os
from typing import Annotated

import numpy as np

from adiff.data import albums, pictures, store
from adiff.machine import files, input_file
from adiff.sequence import values


class ImageFolder(store.Images):
  """Pictures in `data_dir`: a folder or .zip of CLASS/*.png|jpg|webp|.. or of pictures without
  labels, or a .npy or .npz of them, see albums.py.

  Each is read by pictures.py: resized so that its short side is `size`, in pixels, and cropped in
  the centre; channels are 3 for colour, 1 for grey. The split depends on names only: sorted by the
  hash of the relative name, every `test_every`-th goes to test. What cannot be read is refused, or
  with skip_unreadable left out; that reads all of them once before.
  Raises FileNotFoundError for a missing place, ValueError for too few or mixed files and for one
  that is no readable image.
  """

  places = ('data_dir',)

  def __init__(
    self, data_dir: values.Path = '', size: values.Count = 32,
    channels: Annotated[values.Count, values.between(1, 3)] = 3,
    test_every: Annotated[values.Count, values.at_least(2)] = 10, skip_unreadable: bool = False,
  ):
    if channels not in (1, 3):
      raise ValueError(f'channels={channels}; use 3 for colour or 1 for grey')
    if size < 1:
      raise ValueError(f'images of {size} pixels a side; give a size of 1 or more')
    if test_every < 2:
      raise ValueError(f'test_every={test_every} leaves nothing to train on; use 2 or more')
    self._shape, self.test_every = (size, size, channels), test_every
    self._skip, self.album = skip_unreadable, albums.open_album(data_dir)
    names = self.album.names
    if len(names) < 2:
      raise ValueError(
        f'{data_dir} holds {len(names)} pictures; training and test need at least two'
      )
    if len({name.count('/') for name in names}) > 1 or names[0].count('/') > 1:
      raise ValueError(
        f'{data_dir} mixes folder depths; keep either all pictures at the top or all in one '
        'level of class folders'
      )

  @property
  def shape(self):
    return self._shape

  @functools.cached_property
  def _names(self):
    """Of the pictures that are used, sorted."""
    names, unreadable = self.album.names, {}
    if self._skip:
      for name in names:
        try:
          self.album.read(name, *self.shape[1:])
        except input_file.Unreadable as error:
          unreadable[name] = error
      if len(names) - len(unreadable) < 2:
        raise _several(unreadable.values(), len(names), 'nothing is left to train on')
    return [name for name in names if name not in unreadable]

  @functools.cached_property
  def _files(self):
    """{split: names}."""
    names = sorted(self._names, key=_hash)
    test = names[::self.test_every]
    return {'train': sorted(set(names) - set(test)), 'test': sorted(test)}

  @property
  def classes(self):
    """Names of the folders, sorted, or those that a file of arrays says."""
    return self.album.classes

  @property
  def num_classes(self):
    return self.album.num_classes

  @property
  def splits(self):
    return ('train', 'test')

  @functools.cached_property
  def fingerprint(self):
    told = self.album.digest, self.shape, self.test_every
    return files.digest(repr((*told, self._names) if self._skip else told))

  def store(self, split):
    names = self._files[split]

    def decode(indices):
      images, unreadable = [], []
      for i in indices:
        try:
          images.append(self.album.read(names[i], *self.shape[1:]))
        except input_file.Unreadable as error:
          unreadable.append(error)
      if unreadable:
        raise _several(unreadable, len(indices))
      labels = [self.album.label(names[i]) for i in indices]
      return np.stack(images), np.array(labels, np.int32)

    return store.Store(decode, len(names), shape=self.shape, ram_bytes=store.RAM_BYTES)

  def labels(self, split) -> list[int]:
    """Of all pictures of a split, -1 for none."""
    return [self.album.label(name) for name in self._files[split]]

  def check(self):
    """A quick pass over the headers of all pictures, see pictures.check."""
    self.looks()

  def looks(self) -> list[pictures.Looks]:
    """Of all pictures, by their headers. Raises Unreadable where some cannot be pictures."""
    found, unreadable = [], []
    for name in self._names:
      try:
        found.append(self.album.check(name))
      except input_file.Unreadable as error:
        unreadable.append(error)
    if unreadable:
      raise _several(unreadable, len(self._names))
    return found


def _several(errors, num, remedy='data.skip_unreadable=True leaves them out'):
  """The first of the errors, with how many there are of `num` pictures."""
  first, *others = errors
  also = f'; {len(others) + 1} of {num} pictures cannot be read, {remedy}' if others else ''
  return input_file.Unreadable(f'{first}{also}')


def _hash(name):
  return hashlib.sha256(os.fsencode(name)).digest()
