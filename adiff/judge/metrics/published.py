"""Features of networks that others trained: numbers as papers print them, or of a smaller network.

Nothing is downloaded: the weights are the user's file, or a package that is installed.
"""

import abc
import dataclasses
import functools
from collections.abc import Mapping
from types import ModuleType
from typing import ClassVar

import numpy as np

from adiff.judge.metrics import features


@dataclasses.dataclass(frozen=True, eq=False)
class Published(features.Features):
  """Features before the classes. Grey is seen in all three channels."""

  name: str
  scale: float  # the largest value of a pixel: 255 is what the network is shown for it
  weights: Mapping[str, np.ndarray]  # by their published names

  accuracy = classes = None
  costly = True
  network: ClassVar[ModuleType]  # its shapes, check and params
  batch: ClassVar[int]  # pictures at a time

  @abc.abstractmethod
  def seen(self, shown) -> np.ndarray:
    """Features [n, F] of pictures uint8 [n, H, W, 3]."""

  def features(self, images):
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
      raise ValueError(f'{self.name} sees pictures [n, H, W, 1 or 3], not {list(images.shape)}')
    return features.in_batches(self._found, images, self.batch)

  def _found(self, images):
    shown = np.rint(images * (255 / self.scale)).astype(np.uint8)
    return self.seen(np.broadcast_to(shown, (*shown.shape[:3], 3)))

  def arrays(self):
    return {'scale': np.float64(self.scale), **self.weights}

  @classmethod
  def from_arrays(cls, name, accuracy, arrays):
    del accuracy
    weights = {key: array for key, array in arrays.items() if key != 'scale'}
    cls.network.check(weights)
    return cls(name, float(arrays['scale']), weights)

  @classmethod
  def of(cls, name, weights: Mapping[str, np.ndarray], levels) -> 'Published':
    """The network with these weights, as read from a file, for pictures of values 0..levels-1.

    Raises ValueError for weights of another network; those of its classes are left away.
    """
    kept = {key: array for key, array in weights.items() if key in cls.network.shapes()}
    return cls.from_arrays(name, None, {'scale': np.float64(levels - 1), **kept})

  @functools.cached_property
  def params(self):
    """As the network takes them."""
    return self.network.params(self.weights)
