"""Decoded images, kept in memory where they fit; what all image sets on disk share."""

import abc
import functools
import threading

import numpy as np

from adiff.codec import base as codec_base
from adiff.data import base
from adiff.sequence import conditions

LEVELS = 256
RAM_BYTES = 2 * 2**30
_CHUNK = 1024


class Store:
  """Decoded images of one split: kept in memory after first use when they fit in `ram_bytes`.

  decode: int indices -> (images uint8 [b, *shape], labels int32 [b]). Safe to call from threads.
  """

  def __init__(self, decode, size, *, shape, ram_bytes):
    self._decode = decode
    self._lock = threading.Lock()
    self._resident = None
    self.fits = size * int(np.prod(shape)) <= ram_bytes
    self.size = size

  def get(self, indices) -> tuple[np.ndarray, np.ndarray]:
    """(images uint8 [b, H, W, C], labels int32 [b]) of `indices`, an int array or a slice."""
    indices = np.arange(self.size)[indices]
    if not self.fits:
      return self._decode(indices)
    with self._lock:
      if self._resident is None:
        chunks = [
          self._decode(np.arange(start, min(start + _CHUNK, self.size)))
          for start in range(0, self.size, _CHUNK)
        ]
        self._resident = tuple(np.concatenate(parts) for parts in zip(*chunks, strict=True))
    images, labels = self._resident
    return images[indices], labels[indices]


class Images(base.Source):
  """Image sets on disk: their examples come from a `Store` a split."""

  @property
  @abc.abstractmethod
  def shape(self) -> tuple[int, int, int]:
    """(H, W, C) of every image."""

  @property
  @abc.abstractmethod
  def num_classes(self) -> int:
    """0 where images have no label."""

  @property
  def classes(self) -> tuple[str, ...]:
    """Names of the classes, in the order of their labels; () where they have none."""
    return ()

  @abc.abstractmethod
  def store(self, split) -> Store:
    """The images of a split."""

  @property
  def facts(self):
    label = conditions.Label(self.num_classes, self.classes)
    conds = {'label': label} if self.num_classes else {}
    return codec_base.Facts('image', self.shape, LEVELS, conds)

  @property
  def decodes(self):
    return not all(one.fits for one in self._stores.values())

  @functools.cached_property
  def _stores(self):
    return {split: self.store(split) for split in self.splits}

  def size(self, split):
    return self._stores[base.check_split(split, self.splits)].size

  def examples(self, split, indices):
    images, labels = self._stores[base.check_split(split, self.splits)].get(indices)
    return {'example': images, 'label': labels}
