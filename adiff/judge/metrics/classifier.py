"""A small classifier whose last hidden layer and probabilities serve as the evaluator's eyes.

For 8x8 digits no Inception network makes sense; two hidden layers, trained in a second and
deterministic, rank generators well. Scores depend on it: name it beside every number.
"""

import abc
import dataclasses
from typing import Any

import numpy as np
import threadpoolctl


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
    hidden = self._inputs(images)
    layers = zip(self.network.coefs_[:-1], self.network.intercepts_[:-1], strict=True)
    for weights, bias in layers:
      hidden = np.maximum(hidden @ weights + bias, 0)
    return hidden

  def probabilities(self, images):
    return self.network.predict_proba(self._inputs(images))

  def _inputs(self, images):
    return np.asarray(images, np.float64).reshape(len(images), -1) / self.scale


def fit(
  images, labels, test_images, test_labels, *, seed=0, levels=None, max_iter=300
) -> Classifier:
  """Trains the evaluator: a ReLU perceptron with 128 and 64 hidden units; returns a `Classifier`.

  images int [n, H, W, C] of values 0..levels-1 (None: the largest training value + 1), labels int
  [n]; `accuracy` is measured on the test images. Adam until the loss stalls, at most `max_iter`
  epochs. Raises ValueError when examples are unlabelled.
  """
  from sklearn import neural_network  # seconds to import, for this alone

  if np.min(labels) < 0 or np.min(test_labels) < 0:
    raise ValueError(
      'the evaluator learns from labels and some are missing (-1); use a labelled data set'
    )
  scale = float(np.max(images) if levels is None else levels - 1)
  flat = np.asarray(images, np.float64).reshape(len(images), -1) / scale
  network = neural_network.MLPClassifier((128, 64), random_state=seed, max_iter=max_iter)
  with threadpoolctl.threadpool_limits(1):  # Tiny products: threads cost 30 times what they gain.
    network.fit(flat, labels)
  test = np.asarray(test_images, np.float64).reshape(len(test_images), -1) / scale
  return Perceptron(
    network=network,
    scale=scale,
    accuracy=float(network.score(test, test_labels)),
    name=f'perceptron {flat.shape[1]}-128-64-{len(network.classes_)}, seed {seed}',
  )
