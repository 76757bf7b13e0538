"""How far images are from real ones, in the features of a classifier: numbers, and what they cost.

Everything is measured on seeded subsets where a set is large, and in chunks, so that memory and
time are bounded whatever the data; the section says of how many images each number is.
"""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np

from adiff.judge import base, section, subset
from adiff.judge.metrics import (
  baselines,
  classifier,
  coverage,
  frechet,
  memorisation,
  two_sample,
)
from adiff.judge.page import charts, images

TITLE = 'Quality'
IMAGES, VALUES = 60_000, 2**28  # of a split: what is read of it at most, 256 MiB
BALLS = 10_000  # images of a set whose neighbours are looked for, for precision, recall and so on
NEAREST = 2_000  # images of a set whose nearest training image is looked for
# Numbers of images: key, heading, what is better, what it means.
MEASURES = (
  ('frechet', 'Fréchet', 'low', 'Distance between the feature statistics of the samples and of '
   'the training set. Lower is better; the real held-out split is the floor.'),
  ('inception_score', 'Inception', 'high', 'Confident and varied class predictions. '
   'Higher is better, up to the number of classes.'),
  ('precision', 'Precision', 'high', 'Share of the samples that lie among real images.'),
  ('recall', 'Recall', 'high', 'Share of the real images that lie among samples.'),
  ('density', 'Density', 'high', 'How crowded with real images the places of the samples are. '
   'About 1 for real data; it may exceed 1.'),
  ('coverage', 'Coverage', 'high', 'Share of the real images with a sample close by.'),
  ('nn_ratio', 'NN ratio', None, 'Distance of samples to their nearest training image over that '
   'of test images. Near 1 is right; well below 1 is memorisation.'),
  ('accuracy', 'Class acc.', 'high', 'Share of the samples that a classifier puts into the '
   'class that was asked for.'),
  ('two_sample', 'Two-sample', None, 'Accuracy of a forest that tells samples from real images. '
   'Near 0.5 they cannot be told apart; 1.0 is always told apart.'),
)


def read(subject: base.Subject, split) -> dict[str, np.ndarray]:
  """{'example', 'label'} of a split, or of as many of it as are read."""
  values = subject.examples(split, np.zeros(1, int))['example'].size
  most = min(IMAGES, max(1, VALUES // values))
  return subject.examples(split, subset.spread(subject.size(split), most))


def _few(images, most):
  """As many images, spread over them."""
  return images[subset.spread(len(images), most)]


@dataclasses.dataclass(frozen=True)
class Real:
  """Real images of both splits, a classifier, and what it takes to compare others with them."""

  train: np.ndarray
  train_labels: np.ndarray
  test: np.ndarray
  test_labels: np.ndarray
  judge: classifier.Classifier
  reference: np.ndarray  # features of `train`
  near: np.ndarray  # some of them
  radii: np.ndarray  # of the balls around those
  gap: float  # between a test image and the training image nearest to it

  @classmethod
  def of(cls, subject: base.Subject) -> 'Real':
    subject.tell('reads real images')
    train, test = (read(subject, split) for split in ('train', subject.split))
    arrays = train['example'], train['label'], test['example'], test['label']
    subject.tell('trains a classifier of real images')
    judge = classifier.fit(*arrays, seed=0, levels=subject.levels)
    subject.tell('measures real images')
    reference = judge.features(train['example'])
    near = _few(reference, BALLS)
    gap = memorisation.typical_gap(_few(test['example'], NEAREST), train['example'])
    return cls(*arrays, judge, reference, near, coverage.radii(near), gap)

  def scores(self, images, labels=None) -> dict:
    """Numbers of images, with the labels that they were asked for."""
    features, probabilities = self.judge.features(images), self.judge.probabilities(images)
    right = None if labels is None else float(np.mean(probabilities.argmax(1) == labels))
    balls = coverage.scores(self.near, _few(features, BALLS), real_radii=self.radii)
    return {
      'frechet': float(frechet.frechet(features, self.reference)),
      'inception_score': float(frechet.inception_score(probabilities)),
      **{name: float(v) for name, v in balls.items()},
      'nn_ratio': memorisation.nn_ratio(_few(images, NEAREST), self.train, self.gap),
      'accuracy': right,
    }

  def told_apart(self, images) -> dict:
    """How well a forest tells images from real ones; samples come in no order."""
    return {'two_sample': float(two_sample.forest_accuracy(self.test, images[:len(self.test)]))}


class Quality:
  """The table of distances as it grows: real images and simple generators beside the model."""

  def __init__(self, subject: base.Subject, sampled):
    """sampled: base.Sampled, a row each."""
    self._subject, self._sampled = subject, sampled
    self._real, self._rows, self._others = None, [], []

  def sections(self) -> Iterator[section.Section]:
    """The section, with more and more in it."""
    for measure in (self._model, self._held_out, self._mixture, self._gaussians):
      yield self._subject.attempt(TITLE, functools.partial(self._grown, measure))
      if not self._rows:
        return  # there is nothing to compare with

  def _grown(self, measure):
    measure()
    return self._section()

  def _model(self):
    subject, real = self._subject, Real.of(self._subject)
    rows = []
    for one in self._sampled:
      subject.tell(f'measures samples of {one.steps} steps a block')
      images = subject.decode(one.tokens)
      rows.append({**one.row(), **real.scores(images, one.labels), **real.told_apart(images)})
    self._real, self._rows = real, rows

  def _held_out(self):
    subject, real = self._subject, self._real
    subject.tell('measures held-out images')
    self._others.append({
      'name': f'real {subject.split} split', 'num': len(real.test),
      **real.scores(real.test, real.test_labels), 'two_sample': None,
    })

  def _mixture(self):
    subject, real = self._subject, self._real
    subject.tell('measures a mixture')
    made = baselines.gaussian_mixture(
      real.train, subject.num, components=40, seed=subject.seed, levels=subject.levels
    )
    self._compare('40-component mixture', made)

  def _gaussians(self):
    subject, real, num = self._subject, self._real, self._subject.num
    subject.tell('measures Gaussians')
    made, labels = baselines.class_gaussians(
      real.train, real.train_labels, -(-num // subject.num_classes), seed=subject.seed,
      levels=subject.levels,
    )
    order = np.random.default_rng(subject.seed).permutation(len(made))[:num]
    self._compare('class-conditional Gaussians', made[order], labels[order])

  def _compare(self, name, images, labels=None):
    scores = {**self._real.scores(images, labels), **self._real.told_apart(images)}
    self._others.append({'name': name, 'num': self._subject.num, **scores})

  def _section(self):
    real, rows, others = self._real, self._rows, self._others
    kind = f'features of {real.judge.name}; {self._subject.num} samples; {self._subject.data}'
    columns = [*base.RUN, section.Column('num', 'Samples')]
    columns += [section.Column(*measure, kind=kind) for measure in MEASURES]
    best = min(rows, key=lambda row: row['frechet'])
    facts = (
      section.Fact(
        'frechet', 'best Fréchet distance', best['frechet'], better='low', kind=kind,
        beside={row['name']: row['frechet'] for row in others[:1]},
        tile=f'best Fréchet distance, at {best["steps"]} steps a block',
      ),
      section.Fact(
        'accuracy', 'class accuracy of the same samples', best['accuracy'], better='high',
        kind=kind, tile='class accuracy of the same samples',
      ),
      section.Fact('classifier_accuracy', 'accuracy of the classifier', real.judge.accuracy),
    )
    return section.Section(TITLE, (
      section.Table('Generator', tuple(columns), (
        section.Group('This model', tuple(rows)),
        section.Group('For comparison', tuple(others), ranked=False),
      )),
      section.Text(' '.join(self._words())), section.Facts(facts, shown=False),
      *_chart(rows, others),
    ))

  def _words(self):
    """What was measured with, and on how many images where that was not on all."""
    subject, real = self._subject, self._real
    yield (
      f'Features and classes are those of {real.judge.name}, which is right on '
      f'{real.judge.accuracy:.3g} of the real {subject.split} images. Generators for comparison '
      f'are fitted to {baselines.words(len(real.train), real.train[0].size)} and sampled with the '
      'same seed.'
    )
    if subsets := list(self._subsets()):
      yield f'Subsets are seeded and spread over their set: {"; ".join(subsets)}.'

  def _subsets(self):
    """What did not look at all there is, in words."""
    subject, real = self._subject, self._real
    read = len(real.train) + len(real.test)
    total = subject.size('train') + subject.size(subject.split)
    if read < total:
      yield f'{read:,} of the {total:,} real images were read'
    if max(len(real.train), len(real.test), subject.num) > BALLS:
      yield f'precision, recall, density and coverage look at {BALLS:,} images of a set at most'
    if max(len(real.test), subject.num) > NEAREST:
      yield f'the NN ratio looks at {NEAREST:,} samples or test images at most'
    if min(len(real.test), subject.num) > two_sample.MOST:
      yield f'the forest looks at {two_sample.MOST:,} images of a set'


def _chart(rows, others):
  """Quality against cost, where it can be drawn."""
  if not any(row['nfe'] and row['frechet'] > 0 for row in rows):
    return ()
  figure = charts.quality_vs_steps(
    [*rows, *others], metric='frechet', ylabel='Fréchet distance (lower is better)'
  )
  return (section.Figure(
    'quality', images.png_bytes(figure), 'Quality against cost: Fréchet distance over sequential '
    'network evaluations; T is the number of steps per block.',
  ),)
