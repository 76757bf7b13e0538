"""What real images are to those that are compared with them: the statistics of a reference.

Everything is measured on seeded subsets where a set is large, and in chunks, so that memory and
time are bounded whatever the data. `as_arrays` and `from_arrays` are inverse: what was measured
once is kept in a file and read, and then others are judged without the data. The images themselves
are part of that where they are few: without them nothing is said of nearest neighbours, and no
generator is fitted to them.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from adiff.judge import base, subset
from adiff.judge.metrics import (
  classifier,
  coverage,
  efficientnet,
  features,
  frechet,
  inception,
  kernel,
  memorisation,
  two_sample,
  variety,
)

IMAGES, VALUES = 60_000, 2**28  # of a split: what is read of it at most, 256 MiB
BALLS = 10_000  # images of a set whose neighbours are looked for, for precision, recall and so on
NEAREST = 2_000  # images of a set whose nearest training image is looked for
KEPT = 2**26  # values of real images that are kept with their statistics at most
FEATURES = {
  'perceptron': classifier.Perceptron, 'components': features.Components,
  'inception': inception.Inception, 'efficientnet': efficientnet.EfficientNet,
}
# What `as_arrays` says besides arrays, in the form of machine/json_file.
FORM = {
  'features': {'kind': str, 'name': str, 'digest': str, 'accuracy?': float}, 'of': dict,
  'data': str, 'split': str, 'num_train': int, 'num_test': int, 'total': int, 'levels': int,
  'shape': [int], 'gap': float, 'held_out': {str: float | None},
}
ARRAYS = ('mu', 'sigma', 'near', 'radii')  # mu and sigma by the names that other programs read
_PICTURES = ('train', 'train_labels', 'test', 'test_labels')


def read(subject: base.Subject, split) -> dict[str, np.ndarray]:
  """{'example', 'label'} of a split, or of as many of it as are read."""
  values = subject.examples(split, np.zeros(1, int))['example'].size
  most = min(IMAGES, max(1, VALUES // values))
  return subject.examples(split, subset.spread(subject.size(split), most))


def few(images, most) -> np.ndarray:
  """As many images, spread over them."""
  return images[subset.spread(len(images), most)]


@dataclasses.dataclass(frozen=True)
class Pictures:
  """Real images of both splits; a label is -1 where there is none."""

  train: np.ndarray
  train_labels: np.ndarray
  test: np.ndarray
  test_labels: np.ndarray

  def told_apart(self, images) -> float:
    """How well a forest tells images from real ones."""
    return float(two_sample.forest_accuracy(self.test, images))


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
  """Statistics of real images, and what it takes to compare others with them."""

  eyes: features.Features
  mean: np.ndarray  # [F] of the features of training images
  cov: np.ndarray  # [F, F]
  near: np.ndarray  # [n, F] features of some of them
  radii: np.ndarray  # [n] of the balls around those
  gap: float  # between a test image and the training image nearest to it
  data: str  # which data in which split, in words
  split: str  # that is held out
  num_train: int  # images that were read
  num_test: int
  total: int  # images that there are
  levels: int  # values are 0..levels-1
  shape: tuple[int, ...]  # (H, W, C) of an image
  held_out: Mapping[str, float | None]  # numbers of the test images
  pictures: Pictures | None
  of: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # what it follows from, as JSON

  @classmethod
  def make(cls, subject: base.Subject, eyes: features.Features | None = None) -> 'Reference':
    """Measures both splits of a subject, in features of its own, or in those that are given."""
    subject.tell('reads real images')
    train, test = (read(subject, split) for split in ('train', subject.split))
    pictures = Pictures(train['example'], train['label'], test['example'], test['label'])
    eyes = _eyes(subject, pictures) if eyes is None else eyes
    subject.tell('measures real images')
    found = eyes.features(pictures.train)
    mean, cov = frechet.moments(found)
    near = few(found, BALLS)
    measured = cls(
      eyes, mean, cov, near, coverage.radii(near),
      gap=memorisation.typical_gap(few(pictures.test, NEAREST), pictures.train),
      data=subject.data, split=subject.split,
      num_train=len(pictures.train), num_test=len(pictures.test),
      total=subject.size('train') + subject.size(subject.split), levels=subject.levels,
      shape=pictures.train.shape[1:], held_out={}, pictures=pictures,
    )
    labels = None if eyes.classes is None else pictures.test_labels
    return dataclasses.replace(measured, held_out=measured.scores(pictures.test, labels))

  def scores(self, images, labels=None) -> dict[str, float | None]:
    """Numbers of images, with the labels that they were asked for."""
    found, shares = self.eyes.features(images), self.eyes.probabilities(images)
    right = entropy = None
    if shares is not None:
      entropy = variety.class_entropy(shares.argmax(1), shares.shape[1])
    if shares is not None and labels is not None:
      right = float(np.mean(self.eyes.classes[shares.argmax(1)] == labels))
    balls = coverage.scores(self.near, few(found, BALLS), real_radii=self.radii)
    return {
      'frechet': frechet.gaussian_frechet(*frechet.moments(found), self.mean, self.cov),
      'inception_score': None if shares is None else float(frechet.inception_score(shares)),
      **{name: float(v) for name, v in balls.items()},
      'kernel': kernel.distance(few(self.near, kernel.MOST), few(found, kernel.MOST)),
      'class_entropy': entropy,
      'support': variety.support(few(self.near, variety.MOST), few(found, variety.MOST)),
      'nn_ratio': self.pictures and memorisation.nn_ratio(
        few(images, NEAREST), self.pictures.train, self.gap
      ),
      'accuracy': right,
    }

  def as_arrays(self) -> tuple[dict, dict[str, np.ndarray]]:
    """(facts as JSON in the form of FORM, arrays by name)."""
    kind = next(kind for kind, chosen in FEATURES.items() if type(self.eyes) is chosen)
    eyes = {
      'kind': kind, 'name': self.eyes.name, 'digest': self.eyes.digest,
      'accuracy': self.eyes.accuracy,
    }
    named = ('of', 'data', 'split', 'num_train', 'num_test', 'total', 'levels', 'gap', 'held_out')
    facts = {'features': eyes, 'shape': list(self.shape)}
    facts |= {name: getattr(self, name) for name in named}
    arrays = dict(zip(ARRAYS, (self.mean, self.cov, self.near, self.radii), strict=True))
    arrays |= {f'features.{name}': array for name, array in self.eyes.arrays().items()}
    if self.pictures and self.pictures.train.size + self.pictures.test.size <= KEPT:
      arrays |= {name: getattr(self.pictures, name) for name in _PICTURES}
    return facts, arrays

  @classmethod
  def from_arrays(cls, facts, arrays) -> 'Reference':
    """Inverse of `as_arrays`; raises ValueError or KeyError for what does not fit together."""
    about = facts['features']
    if about['kind'] not in FEATURES:
      raise ValueError(
        f'its features are {about["kind"]!r}, and {" and ".join(FEATURES)} are known here'
      )
    own = {
      name.removeprefix('features.'): array for name, array in arrays.items()
      if name.startswith('features.')
    }
    eyes = FEATURES[about['kind']].from_arrays(about['name'], about.get('accuracy'), own)
    if eyes.digest != about['digest']:
      raise ValueError(f'its features are {eyes.digest}, and those measured {about["digest"]}')
    pictures = Pictures(*(arrays[name] for name in _PICTURES)) if 'train' in arrays else None
    mean, cov, near, radii = (arrays[name] for name in ARRAYS)
    _check(eyes, mean, cov, near, radii, pictures, tuple(facts['shape']))
    rest = {key: value for key, value in facts.items() if key not in ('features', 'shape')}
    return cls(
      eyes, mean, cov, near, radii, shape=tuple(facts['shape']), pictures=pictures, **rest
    )


def _eyes(subject, pictures):
  """A classifier where every image has a label, components of pixels elsewhere."""
  labels = np.concatenate([pictures.train_labels, pictures.test_labels])
  if labels.min() < 0 or len(np.unique(pictures.train_labels)) < 2:
    subject.tell('looks for components of real images')
    return features.components(pictures.train, levels=subject.levels)
  subject.tell('trains a classifier of real images')
  return classifier.fit(
    pictures.train, pictures.train_labels, pictures.test, pictures.test_labels, seed=0,
    levels=subject.levels,
  )


def _check(eyes, mean, cov, near, radii, pictures, shape):
  """Raises ValueError for arrays that are not those of one reference."""
  (width,), wanted = mean.shape, eyes.features(np.zeros((1, *shape), np.uint8)).shape[1]
  fits = width == wanted and cov.shape == (width, width)
  fits &= near.ndim == 2 and near.shape[1] == width and radii.shape == near.shape[:1]
  if pictures:
    for images, labels in (
      (pictures.train, pictures.train_labels), (pictures.test, pictures.test_labels),
    ):
      fits &= images.shape[1:] == shape and labels.shape == images.shape[:1]
  if not fits or not all(np.all(np.isfinite(one)) for one in (mean, cov, near, radii)):
    raise ValueError(f'its arrays are not those of {width} features of images {list(shape)}')
