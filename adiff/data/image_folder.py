"""Pictures in a folder."""

import functools
import hashlib
import os
import pathlib
from typing import Annotated

import numpy as np

from adiff.data import pictures, store
from adiff.machine import contents, files
from adiff.sequence import values


class ImageFolder(store.Images):
  """Pictures in `data_dir`, either data_dir/CLASS/*.png|jpg or a flat folder without labels.

  Each is read by pictures.py: resized so that its short side is `size`, in pixels, and cropped in
  the centre; channels are 3 for colour, 1 for grey. The split depends on file names only: sorted by
  the hash of the relative name, every `test_every`-th goes to test.
  Raises FileNotFoundError for a missing folder, ValueError for too few or mixed files and for one
  that is no readable image.
  """

  places = ('data_dir',)

  def __init__(
    self, data_dir: values.Path = '', size: values.Count = 32,
    channels: Annotated[values.Count, values.between(1, 3)] = 3,
    test_every: Annotated[values.Count, values.at_least(2)] = 10,
  ):
    if channels not in (1, 3):
      raise ValueError(f'channels={channels}; use 3 for colour or 1 for grey')
    if size < 1:
      raise ValueError(f'images of {size} pixels a side; give a size of 1 or more')
    if test_every < 2:
      raise ValueError(f'test_every={test_every} leaves nothing to train on; use 2 or more')
    self._shape, self.test_every = (size, size, channels), test_every
    self._root = pathlib.Path(data_dir).expanduser()
    if not self._root.is_dir():
      raise FileNotFoundError(
        f'there is no folder {self._root}; set --config.data.data_dir=FOLDER, which must hold '
        'CLASS/*.png or *.jpg, or the pictures themselves'
      )
    names = self._names
    if len(names) < 2:
      raise ValueError(
        f'{self._root} holds {len(names)} png or jpg files; training and test need at least two'
      )
    if len({name.count('/') for name in names}) > 1 or names[0].count('/') > 1:
      raise ValueError(
        f'{self._root} mixes folder depths; keep either all pictures at the top or all in one '
        'level of class folders'
      )

  @property
  def shape(self):
    return self._shape

  @functools.cached_property
  def _names(self):
    """The names of the pictures relative to the folder, sorted."""
    return pictures.find(self._root)

  @functools.cached_property
  def _files(self):
    """{split: names}."""
    names = sorted(self._names, key=_hash)
    test = names[::self.test_every]
    return {'train': sorted(set(names) - set(test)), 'test': sorted(test)}

  @functools.cached_property
  def classes(self):
    """Names of the folders, sorted; () for a flat folder."""
    names = self._files['train'] + self._files['test']
    return tuple(sorted({name.split('/')[0] for name in names if '/' in name}))

  @property
  def num_classes(self):
    return len(self.classes)

  @property
  def splits(self):
    return ('train', 'test')

  @functools.cached_property
  def fingerprint(self):
    content = contents.digest(self._root, self._names)
    return files.digest(repr((content, self.shape, self.test_every)))

  def store(self, split):
    names = self._files[split]
    index = {name: label for label, name in enumerate(self.classes)}

    def decode(indices):
      images = np.stack([pictures.read(self._root / names[i], *self.shape[1:]) for i in indices])
      labels = [index.get(names[i].split('/')[0], -1) for i in indices]
      return images, np.array(labels, np.int32)

    return store.Store(decode, len(names), shape=self.shape, ram_bytes=store.RAM_BYTES)

  def check(self):
    """A quick pass over the headers of all pictures, see pictures.check."""
    pictures.check(self._root / name for name in self._names)


def _hash(name):
  return hashlib.sha256(os.fsencode(name)).digest()
