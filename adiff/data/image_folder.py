"""Pictures in a folder."""

import functools
import hashlib
import pathlib

import numpy as np
import PIL.Image
import PIL.ImageOps

from adiff.data import store
from adiff.machine import files

_SUFFIXES = ('.png', '.jpg', '.jpeg')


class ImageFolder(store.Images):
  """Pictures in `data_dir`, either data_dir/CLASS/*.png|jpg or a flat folder without labels.

  Each is resized so that its short side is `size`, in pixels, and cropped in the centre; channels
  are 3 for colour, 1 for grey. The split depends on file names only: sorted by the hash of the
  relative name, every `test_every`-th goes to test.
  Raises FileNotFoundError for a missing folder, ValueError for too few or mixed files, OSError for
  a file that is no readable image.
  """

  def __init__(self, data_dir='', size=32, channels=3, test_every=10):
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
    names = _relative_files(self._root)
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
  def _files(self):
    """{split: names}."""
    names = sorted(_relative_files(self._root), key=_hash)
    test = names[::self.test_every]
    return {'train': sorted(set(names) - set(test)), 'test': sorted(test)}

  @functools.cached_property
  def classes(self) -> tuple[str, ...]:
    """Class names, sorted; the label is the index. Empty for a flat folder."""
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
    sizes = [(name, (self._root / name).stat().st_size) for name in _relative_files(self._root)]
    return files.digest(repr((sizes, self.shape, self.test_every)))

  def store(self, split):
    names = self._files[split]
    index = {name: label for label, name in enumerate(self.classes)}

    def decode(indices):
      images = np.stack([self._open(names[i]) for i in indices])
      labels = [index.get(names[i].split('/')[0], -1) for i in indices]
      return images, np.array(labels, np.int32)

    return store.Store(decode, len(names), shape=self.shape, ram_bytes=store.RAM_BYTES)

  def _open(self, name):
    try:
      with PIL.Image.open(self._root / name) as file:
        picture = file.convert('L' if self.shape[2] == 1 else 'RGB')
    except OSError as error:
      raise OSError(
        f'{self._root / name} is no readable image; remove it or save it again'
      ) from error
    picture = PIL.ImageOps.fit(picture, self.shape[:2], PIL.Image.Resampling.BICUBIC)
    return np.asarray(picture, np.uint8).reshape(self.shape)


def _relative_files(root):
  """The names of the pictures below a folder, sorted."""
  return sorted(
    p.relative_to(root).as_posix()
    for p in root.rglob('*')
    if p.suffix.lower() in _SUFFIXES and p.is_file()
  )


def _hash(name):
  return hashlib.sha256(name.encode()).digest()
