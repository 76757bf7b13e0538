"""The 1,797 8x8 digits of scikit-learn: real images that need no download.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998, the test
part, as shipped by `sklearn.datasets.load_digits`: grey values 0..16, ten classes.
"""

import dataclasses
import functools
import importlib.util
import pathlib

import numpy as np

from adiff.codec import base as codec_base
from adiff.data import base
from adiff.machine import files
from adiff.sequence import conditions

SHAPE = (8, 8, 1)
LEVELS = 17
NUM_TEST = 360


def _read():
  """Images uint8 [1797, 8, 8, 1] and labels int32 [1797], from the file inside scikit-learn. To
  import the package would cost every start seconds."""
  folder = importlib.util.find_spec('sklearn').submodule_search_locations[0]
  table = np.loadtxt(pathlib.Path(folder, 'datasets/data/digits.csv.gz'), np.uint8, delimiter=',')
  return table[:, :-1].reshape(-1, *SHAPE), table[:, -1].astype(np.int32)


def _stratified(labels, num_test):
  """(train, test): indices, split as `sklearn.model_selection.train_test_split` does with
  `stratify` and random_state=0."""
  random, counts = np.random.RandomState(0), np.bincount(labels)
  num_train = len(labels) - num_test

  def shares(counts, total):  # in proportion, rounded down; the largest remainders get one more
    exact = counts / counts.sum() * total
    whole = exact.astype(int)
    rest = exact - whole
    for value in np.unique(rest)[::-1]:
      missing = total - whole.sum()
      if missing:
        ties = np.flatnonzero(rest == value)
        whole[random.choice(ties, min(missing, len(ties)), replace=False)] += 1
    return whole

  of_train = shares(counts, num_train)
  of_test = shares(counts - of_train, num_test)
  train, test = [], []
  for label, (first, second) in enumerate(zip(of_train, of_test, strict=True)):
    members = np.flatnonzero(labels == label)[random.permutation(counts[label])]
    train.append(members[:first])
    test.append(members[first:first + second])
  return tuple(random.permutation(np.concatenate(part)) for part in (train, test))


@functools.cache
def _splits():
  """{split: (images, labels)}, read-only."""
  images, labels = _read()
  splits = {}
  for name, chosen in zip(('train', 'test'), _stratified(labels, NUM_TEST), strict=True):
    splits[name] = images[chosen], labels[chosen]
    for array in splits[name]:
      array.setflags(write=False)
  return splits


@dataclasses.dataclass(frozen=True)
class Digits(base.Source):
  """Splits: train (1,437) and test (360), stratified by class with a fixed seed. Examples are uint8
  [b, 8, 8, 1] of values 0..16."""

  @property
  def facts(self):
    return codec_base.Facts('image', SHAPE, LEVELS, {'label': conditions.Label(10)})

  @property
  def splits(self):
    return ('train', 'test')

  @functools.cached_property
  def fingerprint(self):
    return files.digest(*(array for name in self.splits for array in _splits()[name]))

  def size(self, split):
    return len(_splits()[base.check_split(split, self.splits)][1])

  def examples(self, split, indices):
    images, labels = _splits()[base.check_split(split, self.splits)]
    return {'example': images[indices], 'label': labels[indices]}
