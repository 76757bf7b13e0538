"""Any image set of TFDS, read from its folder without TensorFlow."""

import functools
import io
from typing import Annotated

import numpy as np
import PIL.Image

from adiff.data import pictures, store, tfds_folder
from adiff.sequence import values

_MOST = 2**26  # values of an image


class Tfds(store.Images):
  """Images of a TFDS folder in ArrayRecord format, read with random access.

  With a size, pictures of any size (`imagenet2012`, `coco_captions`) become squares of it, as
  data/pictures.py says; data/prepare.py does that once. Splits: train, and test, or else validation
  (where there is no test, or one without the labels that the set has, as of `imagenet2012`).
  Raises FileNotFoundError for a missing folder and ValueError for a set that has no such splits, no
  uint8 images, without a size none of a fixed size, or another file format.
  """

  places = ('data_dir',)

  def __init__(
    self,
    dataset: values.Path = 'mnist',  # folder in data_dir, 'imagenet_resized/32x32'; newest version
    data_dir: values.Path = '',  # where TFDS keeps its data sets
    size: Annotated[values.Whole, values.between(0, 2**13)] = 0,  # pixels a side; 0: as they are
  ):
    self.dataset, self._data_dir, self._side = dataset, data_dir, size
    features, splits = self._builder.info.features, self._builder.info.splits
    if 'train' not in splits or not {'test', 'validation'} & set(splits):
      raise ValueError(
        f"{self.dataset} has the splits {', '.join(splits)}; adiff needs 'train', and 'test' or "
        "'validation' (python -m adiff.data.prepare holds some pictures out)"
      )
    tfds_folder.check_random_access(self._builder.info, self.dataset)
    image = features['image'] if 'image' in features else None
    sides = image is not None and len(image.shape or ()) == 3
    if not sides or np.dtype(image.np_dtype) != np.uint8:
      raise ValueError(
        f"{self.dataset} has no feature 'image' in uint8; export its pictures to a folder and set "
        'data.name=image_folder'
      )
    if self._side and image.shape[-1] not in (1, 3):
      raise ValueError(
        f'{self.dataset} has pictures of {image.shape[-1]} channels; data.size needs 1 or 3'
      )
    if not self._side and None in image.shape:
      raise ValueError(
        f'{self.dataset} has pictures of any size; write the pixels a side that they shall have, '
        'data.size=256, or prepare them once: python -m adiff.data.prepare'
      )
    if not 1 <= np.prod(self.shape) <= _MOST:
      raise ValueError(f'{self.dataset} has images of {self.shape}, more than can be read')

  @functools.cached_property
  def _folder(self):
    return tfds_folder.find(self._data_dir, self.dataset)

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
    stored = tuple(self._builder.info.features['image'].shape)
    return (self._side, self._side, stored[-1]) if self._side else stored

  @functools.cached_property
  def splits(self):
    there = self._builder.info.splits
    either = {'test', 'validation'} <= set(there)
    test = self._is_labelled('test') if either else 'test' in there
    return ('train', 'test' if test else 'validation')

  def _is_labelled(self, split):
    """Has the first example of a split a class, where the set has any?"""
    if not self.num_classes:
      return True
    records = tfds_folder.Records(self._folder, self._builder, split, encoded=('image',))
    return not len(records) or int(records.read([0])[0]['label']) >= 0

  @functools.cached_property
  def fingerprint(self):
    return tfds_folder.fingerprint(self._folder, self.dataset)

  def store(self, split):
    scaled = ('image',) if self._side else ()
    records = tfds_folder.Records(self._folder, self._builder, split, encoded=scaled)

    def decode(indices):
      items = records.read(indices)
      labels = [int(item['label']) if self.num_classes else -1 for item in items]
      images = [self._image(item['image'], index, split) for index, item in zip(
        indices, items, strict=True)]
      for index, image, label in zip(indices, images, labels, strict=True):
        whole = image.shape == self.shape and image.dtype == np.uint8
        if not whole or not -1 <= label < max(self.num_classes, 1):
          raise ValueError(
            f'{self._folder}: example {index} of {split} is no {self.shape} image of a class below '
            f'{self.num_classes}; prepare it again with TFDS'
          )
      return np.stack(images), np.array(labels, np.int32)

    return store.Store(decode, len(records), shape=self.shape, ram_bytes=store.RAM_BYTES)

  def _image(self, stored, index, split):
    """The picture of a record: an array, or the bytes of a file."""
    if not self._side:
      return stored
    if isinstance(stored, bytes):
      where = f'{self._folder}: example {index} of {split}'
      return pictures.decode(io.BytesIO(stored), where, self._side, self.shape[-1])
    return pictures.fit(PIL.Image.fromarray(stored[..., 0] if stored.shape[-1] == 1 else stored),
                        self._side)
