"""A small classifier whose last hidden layer and probabilities serve as the evaluator's eyes.

For 8x8 digits no Inception network makes sense; two hidden layers, trained in a second and
deterministic, rank generators well. Scores depend on it: name it beside every number.
"""

import dataclasses
import warnings

import numpy as np
import threadpoolctl

from adiff.judge import subset
from adiff.judge.metrics import features

# Of what `fit` learns from: images, values of them (512 MiB in float64), and images times epochs.
IMAGES, VALUES, SEEN = 20_000, 2**26, 600_000
WIDE = 1024  # values of an image from which on the products of a batch keep several cores busy


@dataclasses.dataclass(frozen=True, eq=False)
class Perceptron(features.Features):
  """A ReLU perceptron; made by `fit`. Its features are the last hidden layer."""

  name: str
  accuracy: float
  scale: float  # what pixels are divided by
  classes: np.ndarray  # [C] the labels of its outputs
  weights: tuple[np.ndarray, ...]  # of a layer [inputs, outputs]; the last one of two classes: 1
  biases: tuple[np.ndarray, ...]

  def features(self, images):
    return np.concatenate([self._hidden(part) for part in features.pieces(images, self.scale)])

  def probabilities(self, images):
    logits = self.features(images) @ self.weights[-1] + self.biases[-1]
    if logits.shape[1] == 1:
      logits = np.concatenate([np.zeros_like(logits), logits], 1)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)

  def _hidden(self, hidden):
    for weights, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
      hidden = np.maximum(hidden @ weights + bias, 0)
    return hidden

  def arrays(self):
    return {
      'scale': np.float64(self.scale), 'classes': self.classes,
      **{f'weights_{i}': layer for i, layer in enumerate(self.weights)},
      **{f'biases_{i}': layer for i, layer in enumerate(self.biases)},
    }

  @classmethod
  def from_arrays(cls, name, accuracy, arrays):
    num = sum(key.startswith('weights_') for key in arrays)
    weights, biases = (
      tuple(arrays[f'{kind}_{i}'] for i in range(num)) for kind in ('weights', 'biases')
    )
    width = None
    for layer, bias in zip(weights, biases, strict=True):
      if layer.ndim != 2 or bias.shape != layer.shape[1:] or width not in (None, len(layer)):
        raise ValueError(f'a layer {layer.shape} with a bias {bias.shape} does not fit the others')
      width = layer.shape[1]
    if num < 2 or max(width, 2) != len(arrays['classes']):
      raise ValueError(f'{num} layers, {width} outputs and {arrays["classes"].shape} classes')
    return cls(name, accuracy, float(arrays['scale']), arrays['classes'], weights, biases)


def fit(
  images, labels, test_images, test_labels, *, seed=0, levels=None, max_iter=300
) -> Perceptron:
  """Trains the evaluator: a ReLU perceptron with 128 and 64 hidden units; returns it.

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
    network.fit(features.scaled(images[chosen], scale), np.asarray(labels)[chosen])
  name = f'perceptron {width}-128-64-{len(network.classes_)}, seed {seed}'
  if len(chosen) < len(images):
    name += f', fitted to {len(chosen):,} of {len(images):,} images in {epochs} epochs at most'
  fitted = Perceptron(
    name, 0.0, scale, network.classes_, tuple(network.coefs_), tuple(network.intercepts_)
  )
  guessed = network.classes_[fitted.probabilities(test_images).argmax(1)]
  return dataclasses.replace(fitted, accuracy=float(np.mean(guessed == test_labels)))
