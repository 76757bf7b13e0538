"""What images are compared in: numbers of an image that are nearer for images that look alike.

Every distance depends on them: their name and digest stand beside it.
"""

import abc
import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from adiff.judge import subset
from adiff.judge.metrics import chunks

MOST, WIDTH = 10_000, 64  # images that components are fitted to, and components, at most


class Features(abc.ABC):
  """Features of images, integers [n, H, W, C]; its fields are all that they follow from."""

  name: str  # what to print beside every number
  accuracy: float | None  # of the classes on the test images; None where it knows no classes
  classes: np.ndarray | None  # [C] their labels
  costly = False  # do they take so long that only what matters most is looked at?

  @abc.abstractmethod
  def features(self, images) -> np.ndarray:
    """Features [n, F], float64."""

  def probabilities(self, images) -> np.ndarray | None:
    """Class probabilities [n, C], float64; None where it knows no classes."""
    del images
    return None

  @abc.abstractmethod
  def arrays(self) -> dict[str, np.ndarray]:
    """What `from_arrays` makes them of again, besides name and accuracy."""

  @classmethod
  @abc.abstractmethod
  def from_arrays(cls, name, accuracy, arrays) -> 'Features':
    """Inverse of `arrays`; raises KeyError or ValueError for arrays of something else."""

  @property
  def digest(self) -> str:
    """16 hex digits of the arrays: features of equal digests are the same."""
    sha = hashlib.sha256()
    for key, array in sorted(self.arrays().items()):
      sha.update(f'{key} {array.dtype} {array.shape} '.encode())
      sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()[:16]


def scaled(images, scale) -> np.ndarray:
  """float64 [n, values] of images, over `scale`."""
  flat = np.array(images, np.float64).reshape(len(images), -1)
  flat /= scale
  return flat


def pieces(images, scale) -> Iterator[np.ndarray]:
  """`scaled` of chunks of images."""
  flat = np.asarray(images).reshape(len(images), -1)
  return (scaled(flat[rows], scale) for rows in chunks.slices(*flat.shape))


def in_batches(find: Callable[[np.ndarray], Any], images, size) -> np.ndarray:
  """find(batch), float64 [n, F], of batches of `size` images or of all there are: the last one is
  filled up with its last image, so that one compiled program serves."""
  found, size = [], min(size, len(images))
  for start in range(0, len(images), size):
    rows = np.minimum(np.arange(start, start + size), len(images) - 1)
    found.append(np.asarray(find(images[rows]), np.float64))
  return np.concatenate(found)[:len(images)]


@dataclasses.dataclass(frozen=True, eq=False)
class Components(Features):
  """Principal components of pixels: for images that nobody labelled."""

  name: str
  scale: float  # what pixels are divided by
  mean: np.ndarray  # [values]
  axes: np.ndarray  # [F, values]

  accuracy = classes = None

  def features(self, images):
    return np.concatenate([(part - self.mean) @ self.axes.T for part in pieces(images, self.scale)])

  def arrays(self):
    return {'scale': np.float64(self.scale), 'mean': self.mean, 'axes': self.axes}

  @classmethod
  def from_arrays(cls, name, accuracy, arrays):
    del accuracy
    mean, axes = arrays['mean'], arrays['axes']
    if axes.ndim != 2 or mean.shape != axes.shape[1:]:
      raise ValueError(f'a mean {mean.shape} and axes {axes.shape} do not fit together')
    return cls(name, float(arrays['scale']), mean, axes)


def components(images, *, levels, seed=0) -> Components:
  """The components of images [n, H, W, C] of values 0..levels-1: WIDTH at most, fitted to MOST
  images that are spread over them."""
  from sklearn import decomposition  # seconds to import, for this alone

  chosen = images[subset.spread(len(images), MOST)]
  points = scaled(chosen, levels - 1)
  width = min(WIDTH, *points.shape)
  fitted = decomposition.PCA(width, copy=False, svd_solver='randomized', random_state=seed)
  fitted.fit(points)
  name = f'{width} principal components of {len(chosen):,} images, seed {seed}'
  return Components(name, float(levels - 1), fitted.mean_, fitted.components_)
