"""The evaluator for digits reads digits, and its scores rank known generators."""

import numpy as np
import pytest

from adiff.data import digits
from adiff.judge.metrics import baselines, classifier, frechet


def images_of(split):
  found = digits.Digits().examples(split, slice(None))
  return found['example'], found['label']


@pytest.fixture(scope='module')
def evaluator():
  return classifier.fit(*images_of('train'), *images_of('test'))


def test_the_evaluator_reads_digits(evaluator):
  images, labels = images_of('test')
  assert evaluator.accuracy > 0.955
  assert np.mean(evaluator.probabilities(images).argmax(1) == labels) == evaluator.accuracy
  assert '64-128-64-10' in evaluator.name


def test_features_are_the_last_hidden_layer(evaluator):
  images, _ = images_of('test')
  features = evaluator.features(images)
  assert features.shape == (360, 64) and features.min() == 0
  logits = features @ evaluator.weights[-1] + evaluator.biases[-1]
  shares = np.exp(logits - logits.max(1, keepdims=True))
  np.testing.assert_allclose(
      shares / shares.sum(1, keepdims=True), evaluator.probabilities(images), atol=1e-9)


def test_real_digits_beat_one_gaussian_by_far(evaluator):
  images, labels = images_of('train')
  train, test = evaluator.features(images), images_of('test')[0]
  gaussian, _ = baselines.class_gaussians(images, 0 * labels, 1000)
  floor = frechet.frechet(evaluator.features(test), train)
  assert floor < 1.0 < 4.0 < frechet.frechet(evaluator.features(gaussian), train) < 9.0
  assert frechet.inception_score(evaluator.probabilities(test)) > 9
  assert frechet.inception_score(evaluator.probabilities(gaussian)) < 7


def test_unlabelled_images_are_refused():
  images, labels = images_of('test')
  with pytest.raises(ValueError, match='labelled'):
    classifier.fit(images, np.full_like(labels, -1), images, labels)
