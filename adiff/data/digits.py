"""The 1,797 8x8 digits of scikit-learn: real images that need no download.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998, the test
part, as shipped by `sklearn.datasets.load_digits`: grey values 0..16, ten classes.
"""

import dataclasses
import functools
from typing import Any

import numpy as np

from adiff.data import spec

SHAPE = (8, 8, 1)
LEVELS = 17


@functools.cache
def _split():
  from sklearn import datasets, model_selection  # seconds to import, for this alone

  data = datasets.load_digits()
  images = data.images.astype(np.uint8)[..., None]
  labels = data.target.astype(np.int32)
  train, test, train_labels, test_labels = model_selection.train_test_split(
      images, labels, test_size=0.2, stratify=labels, random_state=0)
  for array in (train, test, train_labels, test_labels):
    array.setflags(write=False)
  return {'train': (train, train_labels), 'test': (test, test_labels)}


@dataclasses.dataclass(frozen=True)
class Digits(spec.Source):
  """Digits through `codec`, a codec object built for SHAPE and LEVELS.

  Splits: train (1,437) and test (360), stratified by class with a fixed seed. Raises ValueError
  when the codec was built for other images.
  """
  codec: Any

  def __post_init__(self):
    if tuple(self.codec.shape) != SHAPE or self.codec.levels != LEVELS:
      raise ValueError(
          f'the codec was built for images {tuple(self.codec.shape)} of {self.codec.levels} '
          f'levels but digits are {SHAPE} of {LEVELS}; build it with digits.SHAPE and LEVELS')

  @functools.cached_property
  def spec(self):
    return spec.of_codec(self.codec, num_classes=10)

  @property
  def splits(self):
    return ('train', 'test')

  @property
  def exact(self):
    return {}

  @functools.cached_property
  def fingerprint(self):
    return spec.digest(*(array for name in self.splits for array in self.images(name)))

  def size(self, split):
    return len(self.images(split)[1])

  def images(self, split):
    """All of a split: images uint8 [n, 8, 8, 1] of values 0..16, labels int32 [n]; read-only."""
    return _split()[spec.check_split(split, self.splits)]

  def rows(self, split, indices):
    images, labels = self.images(split)
    return {'tokens': self.codec.encode(images[indices]), 'label': labels[indices]}
