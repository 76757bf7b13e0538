"""How far images are from real ones, in features of them: numbers, and what they cost.

Memory and time are bounded whatever the data (judge/reference.py); the section says of how many
images each number is.
"""

import functools
from collections.abc import Iterator

import numpy as np

from adiff.judge import base, section
from adiff.judge import reference as reference_lib
from adiff.judge.metrics import baselines, two_sample
from adiff.judge.page import charts, images

TITLE = 'Quality'
# Numbers of images: key, heading, what is better, what it means.
MEASURES = (
  ('frechet', 'Fréchet', 'low', 'Distance between the feature statistics of the samples and of '
   'the training set. Lower is better, and few images end higher: compare equal numbers.'),
  ('inception_score', 'Inception', 'high', 'Confident and varied class predictions. '
   'Higher is better, up to the number of classes.'),
  ('precision', 'Precision', 'high', 'Share of the samples that lie among real images.'),
  ('recall', 'Recall', 'high', 'Share of the real images that lie among samples.'),
  ('density', 'Density', 'high', 'How crowded with real images the places of the samples are. '
   'About 1 for real data; it may exceed 1.'),
  ('coverage', 'Coverage', 'high', 'Share of the real images with a sample close by.'),
  ('kernel', 'Kernel', 'low', 'Kernel distance (KID) of the features. Near 0 for real images, '
   'however few samples there are; it may be below.'),
  ('class_entropy', 'Class entropy', None, 'Entropy in nats of the classes of the samples, as the '
   'classifier reads them. At most the logarithm of their number.'),
  ('support', 'Support', None, 'Birthday test: how many different images there are, over those '
   'among real ones. Well below 1 samples repeat each other.'),
  ('nn_ratio', 'NN ratio', None, 'Distance of samples to their nearest training image over that '
   'of test images. Near 1 is right; well below 1 is memorisation.'),
  ('accuracy', 'Class acc.', 'high', 'Share of the samples that a classifier puts into the '
   'class that was asked for.'),
  ('two_sample', 'Two-sample', None, 'Accuracy of a forest that tells samples from real images. '
   'Near 0.5 they cannot be told apart; 1.0 is always told apart.'),
)


class Quality:
  """The table of distances as it grows: real images and simple generators beside the samples."""

  def __init__(self, subject: base.Subject, sampled, *, heading='This model'):
    """sampled: base.Sampled, a row each; heading: above them."""
    self._subject, self._sampled, self._heading = subject, sampled, heading
    self._real, self._rows, self._others, self._left_out = None, [], [], []

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
    subject = self._subject
    real = subject.reference(lambda: reference_lib.Reference.make(subject))
    rows = []
    for one in self._sampled:
      subject.tell('measures samples' + (f' of {one.steps} steps a block' if one.steps else ''))
      rows.append({**one.row(), **_scores(real, subject.decode(one.tokens), one.labels)})
    self._real, self._rows = real, rows

  def _held_out(self):
    real = self._real
    self._others.append({
      'name': f'real {real.split} split', 'num': real.num_test, **real.held_out,
      'two_sample': None,
    })

  def _mixture(self):
    subject, pictures = self._subject, self._real.pictures
    if pictures is None:
      return
    if len(pictures.train) < baselines.COMPONENTS:
      self._left_out.append(f'a mixture of {baselines.COMPONENTS} components')
      return
    subject.tell('measures a mixture')
    made = baselines.gaussian_mixture(
      pictures.train, subject.num, seed=subject.seed, levels=subject.levels
    )
    self._compare(f'{baselines.COMPONENTS}-component mixture', made)

  def _gaussians(self):
    subject, pictures, num = self._subject, self._real.pictures, self._subject.num
    if pictures is None or not subject.num_classes:
      return
    if baselines.smallest_class(pictures.train_labels) < 2:
      self._left_out.append('a Gaussian a class')
      return
    subject.tell('measures Gaussians')
    made, labels = baselines.class_gaussians(
      pictures.train, pictures.train_labels, -(-num // subject.num_classes), seed=subject.seed,
      levels=subject.levels,
    )
    order = np.random.default_rng(subject.seed).permutation(len(made))[:num]
    self._compare('class-conditional Gaussians', made[order], labels[order])

  def _compare(self, name, images, labels=None):
    scores = _scores(self._real, images, labels)
    self._others.append({'name': name, 'num': len(images), **scores})

  def _section(self):
    real, rows, others = self._real, self._rows, self._others
    kind = f'features of {real.eyes.name}; {self._subject.num} samples; {real.data}'
    columns = [*base.RUN, section.Column('num', 'Samples')]
    columns += [section.Column(*measure, kind=kind) for measure in MEASURES]
    best = min(rows, key=lambda row: row['frechet'])
    facts = (
      section.Fact(
        'frechet', 'best Fréchet distance', best['frechet'], better='low', kind=kind,
        beside={row['name']: row['frechet'] for row in others[:1]},
        tile=(
          f'best Fréchet distance, at {best["steps"]} steps a block' if best['steps'] else
          'Fréchet distance'
        ),
      ),
      section.Fact(
        'accuracy', 'class accuracy of the same samples', best['accuracy'], better='high',
        kind=kind, tile='class accuracy of the same samples',
      ),
      section.Fact('classifier_accuracy', 'accuracy of the classifier', real.eyes.accuracy),
      section.Fact('features', 'features', f'{real.eyes.name}, {real.eyes.digest}'),
    )
    return section.Section(TITLE, (
      section.Table('Generator', tuple(columns), (
        section.Group(self._heading, tuple(rows)),
        section.Group('For comparison', tuple(others), ranked=False),
      )),
      section.Text(' '.join(self._words())), section.Facts(facts, shown=False),
      *_chart(rows, others),
    ))

  def _words(self):
    """What was measured with, and on how many images where that was not on all."""
    real = self._real
    yield f'Features are those of {real.eyes.name} (digest {real.eyes.digest}).'
    if real.eyes.accuracy is not None:
      yield (
        f'Classes are its own, too: it is right on {real.eyes.accuracy:.3g} of the real '
        f'{real.split} images.'
      )
    if real.pictures is None:
      yield (
        'The real images are not among the statistics that were read: nearest images, a forest and '
        'generators that are fitted to them are left out.'
      )
    else:
      fitted = baselines.words(real.num_train, int(np.prod(real.shape)))
      yield f'Generators for comparison are fitted to {fitted} and sampled with the same seed.'
    if self._left_out:
      yield f'There are too few training images for {" and ".join(self._left_out)}.'
    if subsets := list(self._subsets()):
      yield f'Subsets are seeded and spread over their set: {"; ".join(subsets)}.'

  def _subsets(self):
    """What did not look at all there is, in words."""
    num, real = self._subject.num, self._real
    read = real.num_train + real.num_test
    if read < real.total:
      yield f'{read:,} of the {real.total:,} real images were read'
    if max(real.num_train, real.num_test, num) > (most := reference_lib.BALLS):
      yield f'precision, recall, density and coverage look at {most:,} images of a set at most'
    if max(real.num_test, num) > (most := reference_lib.NEAREST):
      yield f'the NN ratio looks at {most:,} samples or test images at most'
    if min(real.num_test, num) > (most := two_sample.MOST):
      yield f'the forest looks at {most:,} images of a set'


def _scores(real, images, labels):
  """Numbers of images, those of the forest among them where there are real ones to look at."""
  apart = None if real.pictures is None else real.pictures.told_apart(images)
  return {**real.scores(images, labels), 'two_sample': apart}


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
