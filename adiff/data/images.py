"""Image data sets from disk: TFDS folders (without TensorFlow) and folders of picture files."""

import dataclasses
import functools
import hashlib
import pathlib
import threading
from collections.abc import Callable

import numpy as np
import PIL.Image
import PIL.ImageOps

from adiff.data import spec, tfds_folder
from adiff.machine import files

LEVELS = 256
RAM_BYTES = 2 * 2**30
_SUFFIXES = ('.png', '.jpg', '.jpeg')
_CHUNK = 1024


class Store:
  """Decoded images of one split: kept in memory after first use when they fit in `ram_bytes`.

  decode: int indices -> (images uint8 [b, *shape], labels int32 [b]). Safe to call from threads.
  """

  def __init__(self, decode, size, *, shape, ram_bytes):
    self._decode = decode
    self._lock = threading.Lock()
    self._resident = None
    self._fits = size * int(np.prod(shape)) <= ram_bytes
    self.size = size

  def get(self, indices) -> tuple[np.ndarray, np.ndarray]:
    """(images uint8 [b, H, W, C], labels int32 [b]) of `indices`, an int array or a slice."""
    indices = np.arange(self.size)[indices]
    if not self._fits:
      return self._decode(indices)
    with self._lock:
      if self._resident is None:
        chunks = [
          self._decode(np.arange(start, min(start + _CHUNK, self.size)))
          for start in range(0, self.size, _CHUNK)
        ]
        self._resident = tuple(np.concatenate(parts) for parts in zip(*chunks, strict=True))
    images, labels = self._resident
    return images[indices], labels[indices]


class _Images(spec.Source):
  """What both kinds share; they have codec, splits, _num_classes and _store(split)."""

  @functools.cached_property
  def spec(self):
    return spec.of_codec(self.codec, num_classes=self._num_classes)

  @property
  def exact(self):
    return {}

  @functools.cached_property
  def _stores(self):
    return {split: self._store(split) for split in self.splits}

  def size(self, split):
    return self._stores[spec.check_split(split, self.splits)].size

  def images(self, split, indices=slice(None)) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [n, H, W, C] and labels int32 [n] of a split, or of `indices` in it."""
    return self._stores[spec.check_split(split, self.splits)].get(indices)

  def examples(self, split, indices):
    images, labels = self.images(split, indices)
    return {'tokens': self.codec.encode(images), 'label': labels}


@dataclasses.dataclass(frozen=True, eq=False)
class TfdsImages(_Images):
  """Images of a TFDS folder in ArrayRecord format, read with random access and no TensorFlow.

  Splits: train, and test or else validation. Raises FileNotFoundError for a missing folder and
  ValueError for a set that has no such splits, no fixed-size uint8 images, or another file format.
  """

  codec_factory: Callable  # (shape, levels) -> codec
  name: str  # folder in data_dir, as 'imagenet_resized/32x32'; the newest version is taken
  data_dir: str  # where TFDS keeps its data sets
  _: dataclasses.KW_ONLY
  ram_bytes: int = RAM_BYTES  # a split that needs no more is kept in memory

  def __post_init__(self):
    features, splits = self._builder.info.features, self._builder.info.splits
    if 'train' not in splits or not {'test', 'validation'} & set(splits):
      raise ValueError(
        f"{self.name} has the splits {', '.join(splits)}; adiff needs 'train', and 'test' or "
        "'validation'"
      )
    tfds_folder.check_random_access(self._builder.info, self.name)
    image = features['image'] if 'image' in features else None
    if image is None or None in image.shape or np.dtype(image.np_dtype) != np.uint8:
      raise ValueError(
        f"{self.name} has no feature 'image' of a fixed size in uint8; export its pictures to a "
        'folder and use ImageFolder'
      )

  @functools.cached_property
  def _folder(self):
    return tfds_folder.find(self.data_dir, self.name)

  @functools.cached_property
  def _builder(self):
    return tfds_folder.builder(self._folder)

  @functools.cached_property
  def _num_classes(self):
    features = self._builder.info.features
    return int(getattr(features['label'], 'num_classes', 0)) if 'label' in features else 0

  @functools.cached_property
  def codec(self):
    """The codec that `codec_factory` made for these images."""
    return self.codec_factory(tuple(self._builder.info.features['image'].shape), LEVELS)

  @functools.cached_property
  def splits(self):
    return ('train', 'test' if 'test' in self._builder.info.splits else 'validation')

  @functools.cached_property
  def fingerprint(self):
    return tfds_folder.fingerprint(self._folder, self.name)

  def _store(self, split):
    records = self._builder.as_data_source(split)

    def decode(indices):
      items = records.__getitems__([int(i) for i in indices])
      labels = [item['label'] if self._num_classes else -1 for item in items]
      return np.stack([item['image'] for item in items]), np.array(labels, np.int32)

    return Store(
      decode,
      len(records),
      shape=self._builder.info.features['image'].shape,
      ram_bytes=self.ram_bytes,
    )


def _relative_files(root):
  """The names of the pictures below a folder, sorted."""
  return sorted(
    p.relative_to(root).as_posix()
    for p in root.rglob('*')
    if p.suffix.lower() in _SUFFIXES and p.is_file()
  )


def _hash(name):
  return hashlib.sha256(name.encode()).digest()


class ImageFolder(_Images):
  """Pictures in `data_dir`, either data_dir/CLASS/*.png|jpg or a flat folder without labels.

  Each is resized so that its short side is `size` and cropped in the centre. The split depends on
  file names only: sorted by the hash of the relative name, every `test_every`-th goes to test.
  codec_factory: (shape, levels) -> codec. Raises FileNotFoundError for a missing folder,
  ValueError for too few or mixed files, OSError for a file that is no readable image.
  """

  def __init__(
    self, codec_factory, data_dir, size, *, channels=3, test_every=10, ram_bytes=RAM_BYTES
  ):
    if channels not in (1, 3):
      raise ValueError(f'channels={channels}; use 3 for colour or 1 for grey')
    if size < 1:
      raise ValueError(f'images of {size} pixels a side; give a size of 1 or more')
    if test_every < 2:
      raise ValueError(f'test_every={test_every} leaves nothing to train on; use 2 or more')
    self.codec_factory, self.test_every, self.ram_bytes = codec_factory, test_every, ram_bytes
    self.shape = (size, size, channels)
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
  def _num_classes(self):
    return len(self.classes)

  @functools.cached_property
  def codec(self):
    """The codec that `codec_factory` made for these images."""
    return self.codec_factory(self.shape, LEVELS)

  @property
  def splits(self):
    return ('train', 'test')

  @functools.cached_property
  def fingerprint(self):
    sizes = [(name, (self._root / name).stat().st_size) for name in _relative_files(self._root)]
    return files.digest(repr((sizes, self.shape, self.test_every)))

  def _store(self, split):
    names = self._files[split]
    index = {name: label for label, name in enumerate(self.classes)}

    def decode(indices):
      images = np.stack([self._open(names[i]) for i in indices])
      labels = [index.get(names[i].split('/')[0], -1) for i in indices]
      return images, np.array(labels, np.int32)

    return Store(decode, len(names), shape=self.shape, ram_bytes=self.ram_bytes)

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
