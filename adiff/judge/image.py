"""Images: pictures of samples, and their distances to real ones; of latents, pictures alone."""

import dataclasses

import numpy as np

from adiff.judge import base, bound, section
from adiff.judge.metrics import (
  baselines,
  classifier,
  coverage,
  frechet,
  memorisation,
  two_sample,
)
from adiff.judge.page import charts, images

COLUMNS = 10  # of the grids of samples
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


@dataclasses.dataclass(frozen=True)
class Image(base.Judge):
  """Shows samples, and measures them in the features of a classifier."""

  steps: tuple[int, ...] = ()  # a block, at which samples are measured besides the config's
  features: bool = False  # is a classifier trained whose features compare samples with real images?

  media = ('image', 'video')

  def needs(self, parts):
    super().needs(parts)
    if self.features and not (parts.spec.num_classes and parts.source.facts.levels):
      raise ValueError(
        'config.eval.features=True trains a classifier of images, which needs pixels and labels; '
        'write eval.features=False'
      )

  def sections(self, subject: base.Subject) -> list[section.Section]:
    if not subject.levels:
      return _latents(subject)
    sampled = [subject.sample(steps=steps) for steps in sorted({*self.steps, subject.steps})]
    own = next(one for one in sampled if one.steps == subject.steps)
    shown = subject.decode(own.tokens)
    scale = max(1, 48 // shown.shape[1])
    found = [_samples(subject, shown, scale)]
    real = Real.of(subject) if self.features else None
    if real:
      found.append(_quality(subject, sampled, real))
    found += [base.cost(sampled, own), bound.of(subject)]
    if real:
      found.append(_neighbours(subject, shown, scale, real))
    return found


def _samples(subject, shown, scale):
  """Samples as a grid, and as a film."""
  names = [str(i) for i in range(COLUMNS)] if subject.num_classes == COLUMNS else None
  picture = images.grid(
    shown[:COLUMNS * 10], subject.levels, columns=COLUMNS, scale=scale, labels=names
  )
  film = images.strip(_frames(subject), subject.levels, columns=COLUMNS, scale=scale)
  return section.Section('Samples', (
    section.Figure(
      'samples', images.png_bytes(picture), 'Samples, not chosen: the first ones of the seed.',
      'pixels',
    ),
    section.Figure(
      'strip', film, 'Sampling as a film, from noise to data along the plan (blue: still masked).',
      'pixels',
    ),
  ))


def _frames(subject, num=10):
  """[R, num, H, W, C]: what the walk looks like; masked tokens are -1."""
  walked = subject.trace(num)
  rows = walked.tokens.shape[:2]
  flat = walked.tokens.reshape(-1, *walked.tokens.shape[2:])
  shown = subject.decode(flat)
  if walked.hidden is not None:
    hidden = walked.hidden.reshape(flat.shape).astype(flat.dtype)
    shown = np.where(subject.decode(hidden) > 0, -1, shown.astype(np.int32))
  return shown.reshape(*rows, *shown.shape[1:])


@dataclasses.dataclass(frozen=True)
class Real:
  """Real images of both splits, and a classifier whose features compare others with them."""

  train: np.ndarray
  train_labels: np.ndarray
  test: np.ndarray
  test_labels: np.ndarray
  judge: classifier.Classifier
  reference: np.ndarray  # features of `train`

  @classmethod
  def of(cls, subject: base.Subject) -> 'Real':
    train, test = (
      subject.examples(split, np.arange(subject.size(split))) for split in ('train', subject.split)
    )
    arrays = train['example'], train['label'], test['example'], test['label']
    judge = classifier.fit(*arrays, seed=0, levels=subject.levels)
    return cls(*arrays, judge, judge.features(train['example']))

  def scores(self, images, labels=None) -> dict:
    """Numbers of images, with the labels that they were asked for."""
    features, probabilities = self.judge.features(images), self.judge.probabilities(images)
    equal = min(len(images), len(self.test))
    right = None if labels is None else float(np.mean(probabilities.argmax(1) == labels))
    return {
      'frechet': float(frechet.frechet(features, self.reference)),
      'inception_score': float(frechet.inception_score(probabilities)),
      **{name: float(v) for name, v in coverage.scores(self.reference, features).items()},
      'nn_ratio': float(memorisation.nn_ratio(images, self.train, self.test)),
      'accuracy': right,
      'two_sample': float(two_sample.forest_accuracy(self.test[:equal], images[:equal])),
    }


def _quality(subject, sampled, real):
  """The table of distances, with real images and simple generators beside the model."""
  rows = [
    {**one.row(), **real.scores(subject.decode(one.tokens), one.labels)} for one in sampled
  ]
  others = _others(subject, real)
  kind = f'features of {real.judge.name}; {subject.num} samples; {subject.data}'
  columns = [*base.RUN, section.Column('num', 'Samples')]
  columns += [section.Column(*measure, kind=kind) for measure in MEASURES]
  words = (
    f'Features and classes are those of {real.judge.name}, which is right on '
    f'{real.judge.accuracy:.3g} of the real {subject.split} images. Generators for comparison are '
    'fitted to the training split and sampled with the same seed.'
  )
  best = min(rows, key=lambda row: row['frechet'])
  floor, *_ = others
  facts = (
    section.Fact(
      'frechet', 'best Fréchet distance', best['frechet'], better='low', kind=kind,
      beside={floor['name']: floor['frechet']},
      tile=f'best Fréchet distance, at {best["steps"]} steps a block',
    ),
    section.Fact(
      'accuracy', 'class accuracy of the same samples', best['accuracy'], better='high', kind=kind,
      tile='class accuracy of the same samples',
    ),
    section.Fact('classifier_accuracy', 'accuracy of the classifier', float(real.judge.accuracy)),
  )
  return section.Section('Quality', (
    section.Table('Generator', tuple(columns), (
      section.Group('This model', tuple(rows)),
      section.Group('For comparison', tuple(others), ranked=False),
    )),
    section.Text(words), section.Facts(facts, shown=False), *_chart(rows, others),
  ))


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


def _others(subject, real) -> list[dict]:
  """Rows to compare with: real held-out images, first, and simple generators."""
  seed, num, levels = subject.seed, subject.num, subject.levels
  held_out = {
    'name': f'real {subject.split} split', 'num': len(real.test),
    **real.scores(real.test, real.test_labels), 'two_sample': None,
  }
  mixture = baselines.gaussian_mixture(real.train, num, components=40, seed=seed, levels=levels)
  mixture = {'name': '40-component mixture', 'num': num, **real.scores(mixture)}
  each = -(-num // subject.num_classes)
  normal, labels = baselines.class_gaussians(
    real.train, real.train_labels, each, seed=seed, levels=levels
  )
  order = np.random.default_rng(seed).permutation(len(normal))[:num]
  normal = {
    'name': 'class-conditional Gaussians', 'num': num, **real.scores(normal[order], labels[order])
  }
  return [held_out, mixture, normal]


def _neighbours(subject, shown, scale, real):
  """Samples beside their nearest training images."""
  few = shown[:COLUMNS * 2]
  index, _ = memorisation.nearest(few, real.train)
  picture = images.neighbours(few, real.train[index], subject.levels, scale=scale)
  return section.Section('Nearest neighbours', (section.Figure(
    'neighbours', images.png_bytes(picture), 'Each pair: a sample, and at its right the nearest '
    'training image. A model that memorises shows the same picture twice.', 'pixels',
  ),))


def _latents(subject):
  """Up to three channels of samples and of real examples as colours, nothing decoded."""
  sampled = subject.sample()
  num = min(len(sampled.tokens), subject.size(subject.split))
  real = subject.examples(subject.split, np.arange(min(num, 40)))['example']
  figures = (
    section.Figure(
      'samples', _colours(subject.decode(sampled.tokens[:40])),
      'Samples, not chosen: channels of their latents as colours.', 'pixels',
    ),
    section.Figure(
      'samples_real', _colours(real),
      f'Latents of the {subject.split} split, in the same way.', 'pixels',
    ),
  )
  return [
    section.Section('Samples', figures), base.cost([sampled], sampled), bound.of(subject)
  ]


def _colours(examples):
  """PNG of latents [n, H, W, C], or of videos of them."""
  pictures = images.colours(examples)
  return images.png_bytes(images.grid(pictures, 256, scale=max(1, 64 // pictures.shape[1])))
