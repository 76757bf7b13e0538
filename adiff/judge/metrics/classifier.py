"""A small classifier whose last hidden layer and probabilities serve as the evaluator's eyes.

For 8x8 digits no Inception network makes sense; two hidden layers, trained in a second and
deterministic, rank generators well. Scores depend on it: name it beside every number.
"""

import abc
import dataclasses
import warnings
from typing import Any

import numpy as np
import threadpoolctl

from adiff.judge import subset
from adiff.judge.metrics import chunks

# Of what `fit` learns from: images, values of them (512 MiB in float64), and images times epochs.
IMAGES, VALUES, SEEN = 20_000, 2**26, 600_000
WIDE = 1024  # values of an image from which on the products of a batch keep several cores busy


class Classifier(abc.ABC):
  """What the metrics need of a classifier. Images are integers [n, H, W, C]."""

  name: str  # what to print beside every number
  accuracy: float  # on the test images

  @abc.abstractmethod
  def features(self, images) -> np.ndarray:
    """Features [n, F], float64."""

  @abc.abstractmethod
  def probabilities(self, images) -> np.ndarray:
    """Class probabilities [n, C], float64."""


@dataclasses.dataclass(frozen=True, eq=False)
class Perceptron(Classifier):
  """A fitted scikit-learn MLP; made by `fit`."""

  network: Any  # an MLPClassifier
  scale: float  # what pixels are divided by
  accuracy: float
  name: str

  def features(self, images):
    return np.concatenate([self._hidden(flat) for flat in self._chunks(images)])

  def probabilities(self, images):
    return np.concatenate([self.network.predict_proba(flat) for flat in self._chunks(images)])

  def _hidden(self, hidden):
    layers = zip(self.network.coefs_[:-1], self.network.intercepts_[:-1], strict=True)
    for weights, bias in layers:
      hidden = np.maximum(hidden @ weights + bias, 0)
    return hidden

  def _chunks(self, images):
    flat = np.asarray(images).reshape(len(images), -1)
    return (_scaled(flat[rows], self.scale) for rows in chunks.slices(*flat.shape))


def _scaled(images, scale):
  """float64 [n, values], divided in place."""
  flat = np.array(images, np.float64).reshape(len(images), -1)
  flat /= scale
  return flat


def fit(
  images, labels, test_images, test_labels, *, seed=0, levels=None, max_iter=300
) -> Classifier:
  """Trains the evaluator: a ReLU perceptron with 128 and 64 hidden units; returns a `Classifier`.

  images int [n, H, W, C] of values 0..levels-1 (None: the largest training value + 1), labels int
  [n]; `accuracy` is measured on the test images. Adam until the loss stalls, at most `max_iter`
  epochs. Of more than IMAGES images or VALUES values a subset is learnt from, and not more than
  SEEN images altogether: a minute on one core. Raises ValueError when examples are unlabelled.
  """
  from sklearn import exceptions, neural_network  # seconds to import, for this alone

  if np.min(labels) < 0 or np.min(test_labels) < 0:
    raise ValueError(
      'the evaluator learns from labels and some are missing (-1); use a labelled data set'
    )
  scale = float(np.max(images) if levels is None else levels - 1)
  width = int(np.prod(np.shape(images)[1:]))
  chosen = subset.spread(len(images), min(IMAGES, max(1, VALUES // width)))
  epochs = min(max_iter, max(1, SEEN // len(chosen)))
  network = neural_network.MLPClassifier((128, 64), random_state=seed, max_iter=epochs)
  # Tiny products: threads cost 30 times what they gain.
  with threadpoolctl.threadpool_limits(None if width >= WIDE else 1), warnings.catch_warnings():
    if epochs < max_iter:
      warnings.simplefilter('ignore', exceptions.ConvergenceWarning)
    network.fit(_scaled(images[chosen], scale), np.asarray(labels)[chosen])
  name = f'perceptron {width}-128-64-{len(network.classes_)}, seed {seed}'
  if len(chosen) < len(images):
    name += f', fitted to {len(chosen):,} of {len(images):,} images in {epochs} epochs at most'
  fitted = Perceptron(network, scale, accuracy=0.0, name=name)
  guessed = network.classes_[fitted.probabilities(test_images).argmax(1)]
  return dataclasses.replace(fitted, accuracy=float(np.mean(guessed == test_labels)))
