"""Samples that anybody made, and real ones to compare them with, as they lie on the disk.

  FILE.npz     arr_0 or examples: pictures [n, H, W, C] or [n, H, W], whole numbers 0..levels-1 or
               floats in [0, 1]; or features [n, F] of any network. arr_1 or labels: [n], if there.
               mu and sigma alone: the mean and the covariance of features (the usual FID files)
  FOLDER       pictures of one size, however deep; their 0..255 span the values of the data
"""

import dataclasses
import os
from typing import NamedTuple

import numpy as np

from adiff.data import pictures
from adiff.machine import array_file, files, input_file, rates, storage
from adiff.run import output
from adiff.sequence import values

MOMENTS = ('mu', 'sigma')
LEAST = 6  # samples: K = 5 neighbours each
_ADVICE = 'write it again with numpy.savez'


class Moments(NamedTuple):
  """What the Fréchet distance is of."""

  mean: np.ndarray  # [F]
  cov: np.ndarray  # [F, F]


@dataclasses.dataclass(frozen=True, eq=False)
class Made:
  """Pictures that somebody made."""

  where: str  # a path
  images: np.ndarray  # [n, H, W, C] as they were written
  labels: np.ndarray | None = None  # int32 [n]
  spans: bool = False  # do values 0..255 stand for the whole range of the data?

  def as_data(self, levels, shape) -> np.ndarray:
    """[n, H, W, C] of whole numbers 0..levels-1, as data of this shape have them. Raises ValueError
    for another shape or range."""
    images = self.images
    if shape[2:] == (1,) and images.shape[3] == 3 and np.all(np.ptp(images, 3) == 0):
      images = images[..., :1]  # grey, written as colours
    elif shape[2:] == (3,) and images.shape[3] == 1:
      images = np.repeat(images, 3, 3)
    if images.shape[1:] != tuple(shape):
      raise ValueError(
        f'{self.where} holds pictures {list(images.shape[1:])} where the reference has '
        f'{list(shape)}; judge samples of that shape [n, H, W, C]'
      )
    if self.spans and levels != 256:
      images = np.rint(images * ((levels - 1) / 255))
    elif images.dtype.kind == 'f':
      if not (images.min() >= 0 and images.max() <= 1):  # not a number, neither
        raise ValueError(
          f'{self.where} holds floats from {images.min():.4g} to {images.max():.4g}; write floats '
          f'in [0, 1], or whole numbers 0..{levels - 1}'
        )
      images = np.rint(images * (levels - 1))
    elif images.min() < 0 or images.max() >= levels:
      raise ValueError(
        f'{self.where} holds values from {images.min()} to {images.max()} where the reference has '
        f'0..{levels - 1}; write those'
      )
    return images.astype(np.uint8 if levels <= 256 else np.int32)

  def digest(self) -> str:
    """16 hex digits."""
    return files.digest(self.images, *(() if self.labels is None else (self.labels,)))


def read(path) -> Made | np.ndarray | Moments:
  """Pictures, features [n, F], or their moments. Raises ValueError in a sentence for anything else,
  OSError where the system refuses."""
  if storage.is_folder(path):
    return _folder(path)
  try:
    arrays = array_file.npz(path, advice=_ADVICE)
  except FileNotFoundError as error:
    raise ValueError(f'there is no {path}; name an .npz, or a folder of pictures') from error
  names = next((pair for pair in (output.SAMPLES, output.OLD_SAMPLES) if pair[0] in arrays), None)
  if names is None and arrays.keys() >= set(MOMENTS):
    return moments(path, arrays)
  if names is None:
    raise input_file.Unreadable(
      f'{path} has neither arr_0 nor examples, nor mu and sigma, but '
      f'{", ".join(sorted(arrays)[:5]) or "nothing"}; name the samples arr_0'
    )
  examples, labels = (arrays.get(name) for name in names)
  if examples.dtype.kind not in 'iuf' or examples.ndim not in (2, 3, 4) or not examples.size:
    raise input_file.Unreadable(
      f'{path} holds {names[0]} {list(examples.shape)} of {examples.dtype}; write pictures '
      '[n, H, W, C] of numbers, or features [n, F]'
    )
  _check_number(path, len(examples))
  if examples.ndim == 2:
    return _finite(path, np.asarray(examples, np.float64))
  images = examples.reshape(*examples.shape[:3], -1)
  return Made(path, images, _labels(path, labels, len(images)))


def moments(path, arrays) -> Moments:
  """mu and sigma of an .npz; raises Unreadable for what is none."""
  mean, cov = (np.asarray(arrays[name]) for name in MOMENTS)
  if mean.ndim != 1 or cov.shape != 2 * mean.shape or {mean.dtype.kind, cov.dtype.kind} - {'f'}:
    raise input_file.Unreadable(
      f'{path} holds mu {list(mean.shape)} and sigma {list(cov.shape)}; write floats [F] and [F, F]'
    )
  return Moments(*(_finite(path, np.asarray(one, np.float64)) for one in (mean, cov)))


def _finite(path, array):
  if not np.all(np.isfinite(array)):
    raise input_file.Unreadable(f'{path} holds numbers that are not finite; make it anew')
  return array


def _check_number(path, num):
  if num < LEAST:
    raise ValueError(f'{path} holds {num} samples; give {LEAST} at least, better thousands')


def _labels(path, labels, num):
  """int32 [num], or None where there are none, or not of all."""
  if labels is None:
    return None
  if labels.dtype.kind not in 'iu' or labels.shape != (num,):
    raise input_file.Unreadable(
      f'{path} holds labels {list(labels.shape)} of {labels.dtype} for {num} samples; '
      'write a whole number each, or none'
    )
  return None if labels.min() < 0 else labels.astype(np.int32)


def _folder(path):
  """The pictures of a folder, sorted by name."""
  names = pictures.find(path)
  if not names:
    kinds = ', '.join(pictures.SUFFIXES[:3])
    raise ValueError(f'{path} holds no picture ({kinds} ..); name their folder')
  _check_number(path, len(names))
  first = pictures.whole(os.path.join(path, names[0]))
  values.check_memory(
    f'the pictures in {path}', 3 * len(names) * first[..., 0].size, 'judge fewer of them',
    most=rates.memory(),
  )
  found = [pictures.whole(os.path.join(path, name)) for name in names]
  for name, picture in zip(names, found, strict=True):
    if picture.shape[:2] != first.shape[:2]:
      raise ValueError(
        f'{path} mixes sizes: {names[0]} has {list(first.shape[:2])} pixels and {name} '
        f'{list(picture.shape[:2])}; samples have one size'
      )
  colours = max(picture.shape[2] for picture in found)
  return Made(
    path, np.stack([np.broadcast_to(one, (*first.shape[:2], colours)) for one in found]),
    spans=True,
  )
