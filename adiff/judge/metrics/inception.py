"""Features of the FID Inception network, for whoever has its weights: numbers as papers print them.

Nothing is downloaded: the weights are the user's file. A picture takes 11 GFLOP, about 0.4 s on two
cores.
"""

import dataclasses
import functools
from collections.abc import Mapping

import jax
import numpy as np

from adiff.judge.metrics import features
from adiff.nn import inception

NAME = 'FID Inception (inception-v3-compat)'
BATCH = 32  # pictures at a time
_run = jax.jit(inception.features)


@dataclasses.dataclass(frozen=True, eq=False)
class Inception(features.Features):
  """The 2,048 features before the classes; made by `of`. Grey is seen in all three channels."""

  name: str
  scale: float  # the largest value of a pixel: 255 is what the network is shown for it
  weights: Mapping[str, np.ndarray]  # by their published names

  accuracy = classes = None
  costly = True

  def features(self, images):
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
      raise ValueError(f'Inception sees pictures [n, H, W, 1 or 3], not {list(images.shape)}')
    return features.in_batches(self._found, images, BATCH)

  def _found(self, images):
    shown = np.rint(images * (255 / self.scale)).astype(np.uint8)
    return _run(self._params, np.broadcast_to(shown, (*shown.shape[:3], 3)))

  def arrays(self):
    return {'scale': np.float64(self.scale), **self.weights}

  @classmethod
  def from_arrays(cls, name, accuracy, arrays):
    del accuracy
    weights = {key: array for key, array in arrays.items() if key != 'scale'}
    inception.check(weights)
    return cls(name, float(arrays['scale']), weights)

  @functools.cached_property
  def _params(self):
    return inception.params(self.weights)


def of(weights: Mapping[str, np.ndarray], levels) -> Inception:
  """The network with these weights, as read from a file, for pictures of values 0..levels-1.

  Raises ValueError for weights of another network; those of its classes are left away.
  """
  kept = {name: array for name, array in weights.items() if name in inception.shapes()}
  return Inception.from_arrays(NAME, None, {'scale': np.float64(levels - 1), **kept})
