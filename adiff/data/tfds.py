"""Any image set of TFDS, read from its folder without TensorFlow."""

import dataclasses
import functools

import numpy as np

from adiff.data import store, tfds_folder
from adiff.sequence import values

_MOST = 2**26  # values of an image


@dataclasses.dataclass(frozen=True, eq=False)
class Tfds(store.Images):
  """Images of a TFDS folder in ArrayRecord format, read with random access.

  Splits: train, and test or else validation. Raises FileNotFoundError for a missing folder and
  ValueError for a set that has no such splits, no fixed-size uint8 images, or another file format.
  """

  places = ('data_dir',)

  dataset: values.Path = 'mnist'  # folder in data_dir, 'imagenet_resized/32x32'; the newest version
  data_dir: values.Path = ''  # where TFDS keeps its data sets

  def __post_init__(self):
    features, splits = self._builder.info.features, self._builder.info.splits
    if 'train' not in splits or not {'test', 'validation'} & set(splits):
      raise ValueError(
        f"{self.dataset} has the splits {', '.join(splits)}; adiff needs 'train', and 'test' or "
        "'validation'"
      )
    tfds_folder.check_random_access(self._builder.info, self.dataset)
    image = features['image'] if 'image' in features else None
    three = image is not None and len(image.shape or ()) == 3 and None not in image.shape
    if not three or np.dtype(image.np_dtype) != np.uint8 or not 1 <= np.prod(image.shape) <= _MOST:
      raise ValueError(
        f"{self.dataset} has no feature 'image' of a fixed size in uint8; export its pictures to a "
        'folder and set data.name=image_folder'
      )

  @functools.cached_property
  def _folder(self):
    return tfds_folder.find(self.data_dir, self.dataset)

  @functools.cached_property
  def _builder(self):
    return tfds_folder.builder(self._folder)

  @functools.cached_property
  def num_classes(self):
    features = self._builder.info.features
    return int(getattr(features['label'], 'num_classes', 0)) if 'label' in features else 0

  @functools.cached_property
  def classes(self):
    return tuple(self._builder.info.features['label'].names) if self.num_classes else ()

  @property
  def shape(self):
    return tuple(self._builder.info.features['image'].shape)

  @functools.cached_property
  def splits(self):
    return ('train', 'test' if 'test' in self._builder.info.splits else 'validation')

  @functools.cached_property
  def fingerprint(self):
    return tfds_folder.fingerprint(self._folder, self.dataset)

  def store(self, split):
    records = tfds_folder.Records(self._folder, self._builder, split)

    def decode(indices):
      items = records.read(indices)
      labels = [int(item['label']) if self.num_classes else -1 for item in items]
      for index, item, label in zip(indices, items, labels, strict=True):
        whole = item['image'].shape == self.shape and item['image'].dtype == np.uint8
        if not whole or not -1 <= label < max(self.num_classes, 1):
          raise ValueError(
            f'{self._folder}: example {index} of {split} is no {self.shape} image of a class below '
            f'{self.num_classes}; prepare it again with TFDS'
          )
      return np.stack([item['image'] for item in items]), np.array(labels, np.int32)

    return store.Store(decode, len(records), shape=self.shape, ram_bytes=store.RAM_BYTES)
