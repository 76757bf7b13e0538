"""The reader of pictures: files by their SUFFIXES, uint8 [H, W, C] by content.

Read as a person sees them: turned as their orientation tag says, the first of several frames, what
is transparent over white. 16 bits a pixel are scaled to 8. Refused by name: what is no picture or
torn, 32 bits and floats, whose range is unknown, and more than MOST_PIXELS or MOST_BYTES, which
would fill the memory. HEIC is read where the package pillow-heif is installed.
"""

import collections
import contextlib
import functools
import itertools
import os
import warnings
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import PIL.Image
import PIL.ImageOps
from absl import logging

from adiff.machine import input_file, storage

SUFFIXES = ('.png', '.jpg', '.jpeg', '.jfif', '.webp', '.gif', '.bmp', '.tif', '.tiff', '.avif',
            '.jp2', '.ppm', '.pgm', '.pbm', '.qoi', '.heic', '.heif')
# By content; names are often wrong.
FORMATS = ('PNG', 'JPEG', 'WEBP', 'GIF', 'BMP', 'TIFF', 'AVIF', 'JPEG2000', 'PPM', 'QOI', 'HEIF')
MOST_PIXELS = 2**26
MOST_BYTES = 64 * 2**20  # of a file
BACKGROUND = (255, 255, 255)  # behind what is transparent
# How a picture of any size becomes a square of one, wherever that is done.
RULE = 'the largest square in the centre, resampled to the size by an antialiased bicubic filter'
_FAULT, _ADVICE = 'is no readable image', 'remove it or save it again'
_HEIC = tuple(b'ftyp' + brand for brand in (b'heic', b'heix', b'hevc', b'heim', b'mif1', b'msf1'))
_SIXTEEN = ('I;16', 'I;16L', 'I;16B', 'I;16N')
_PGM = ('I', 'PPM')  # whose 16 bits Pillow has in 32
_GREY = (*_SIXTEEN, 'I', '1', 'L', 'LA', 'La')
_EIGHT = ('1', 'L', 'P', 'RGB', 'CMYK', 'YCbCr', 'HSV', 'LAB', 'RGBX', 'LA', 'La', 'PA', 'RGBA',
          'RGBa')


def find(root) -> list[str]:
  """The relative names of the pictures below a folder, sorted.

  What is hidden, or lies in a folder that is (a name that begins with a dot, __MACOSX), is passed
  over. Other files are counted in a warning, with the folders that hold nothing else.
  """
  names = []
  for folder, folders, inside in storage.walk(root):
    folders[:] = itertools.filterfalse(input_file.hidden, folders)
    paths = (os.path.join(folder, name) for name in inside if not input_file.hidden(name))
    names += [os.path.relpath(path, root) for path in paths if storage.is_listed_file(path)]
  return chosen(names, root)


def chosen(names: Iterable[str], where) -> list[str]:
  """Those of relative names that are called as pictures are, sorted; the others are counted in a
  warning, with the folders that hold nothing else."""
  names = list(names)
  found = [name for name in names if os.path.splitext(name)[1].lower() in SUFFIXES]
  others = sorted(set(names) - set(found))
  if others:
    empty = sorted({*map(os.path.dirname, others)} - {*map(os.path.dirname, found)} - {''})
    also = f'; no picture, and so no class: {", ".join(empty[:5])}' if empty else ''
    logging.warning(
      '%s: %d files are not called as pictures are (%s and so on) and are left out (%s)%s', where,
      len(others), ', '.join(SUFFIXES[:3]), kinds(others), also,
    )
  return sorted(found)


def kinds(names) -> str:
  """How many files of which suffix, the most frequent first."""
  counted = collections.Counter(os.path.splitext(name)[1].lower() or 'bare' for name in names)
  return ', '.join(f'{count} {kind}' for kind, count in counted.most_common(5))


class Looks(NamedTuple):
  """What a header says of a picture."""

  width: int
  height: int
  channels: int  # 1 for grey, 3 for colour


def check(file, name) -> Looks:
  """A quick look at the header of a binary file; no pixel is decoded. Raises Unreadable for what
  cannot be a picture of a size and depth that is read, OSError where the system refuses."""
  with input_file.told(name, _FAULT, _ADVICE):
    picture = _header(file, name)
    return Looks(*picture.size, 1 if picture.mode in _GREY else 3)


def read(path, size, channels) -> np.ndarray:
  """uint8 [size, size, channels] of a file, as RULE says; raises as `decode`."""
  with input_file.opened(path, limit=MOST_BYTES) as file:
    return decode(file, path, size, channels)


def decode(file, name, size, channels) -> np.ndarray:
  """uint8 [size, size, channels] of a binary file, as RULE says.

  name: what it is called in errors; channels: 3 for colour, 1 for grey. Raises Unreadable with the
  name, or OSError.
  """
  with _decoded(file, name) as picture:
    return fit(picture.convert('L' if channels == 1 else 'RGB'), size)


def whole(path) -> np.ndarray:
  """uint8 [H, W, C], as large as it is: C is 1 where the file is grey, else 3. Raises as `decode`.
  """
  with input_file.opened(path, limit=MOST_BYTES) as file, _decoded(file, path) as picture:
    picture = picture.convert('L' if picture.mode in _GREY else 'RGB')
    return np.atleast_3d(np.asarray(picture, np.uint8))


@contextlib.contextmanager
def _decoded(file, name):
  """A picture in 8 bits, as a person sees it; what is raised of it has its name."""
  with input_file.told(name, _FAULT, _ADVICE):
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')  # of Pillow: what matters of a file is told as an error
      picture = _header(file, name)
      picture.load()
      picture = picture.convert('I;16') if picture.mode == 'I' else picture
      yield _opaque(PIL.ImageOps.exif_transpose(picture))


def fit(picture, size) -> np.ndarray:
  """uint8 [size, size, channels] of a grey or coloured PIL.Image, as RULE says."""
  picture = PIL.ImageOps.fit(picture, (size, size), PIL.Image.Resampling.BICUBIC)
  return np.asarray(picture, np.uint8).reshape(size, size, -1)


@functools.cache
def _formats():
  """Those of FORMATS that are read here."""
  PIL.Image.init()
  with contextlib.suppress(ImportError):
    import pillow_heif

    pillow_heif.register_heif_opener()
  return tuple(one for one in FORMATS if one in PIL.Image.OPEN)


def _header(file, path):
  """A picture that is opened and not decoded yet."""
  with warnings.catch_warnings():
    warnings.simplefilter('ignore', PIL.Image.DecompressionBombWarning)
    try:
      picture = PIL.Image.open(file, formats=_formats())
    except PIL.UnidentifiedImageError as error:
      file.seek(0)
      if file.read(12)[4:] in _HEIC:
        raise input_file.Unreadable(
          f'{path} is HEIC, which needs the package pillow-heif; pip install pillow-heif, or save '
          'it as .jpg'
        ) from error
      raise
  width, height = picture.size
  if width * height > MOST_PIXELS:
    raise input_file.Unreadable(
      f'{path} has {width} x {height} pixels, more than {MOST_PIXELS}; save it smaller'
    )
  if picture.mode not in (*_SIXTEEN, *_EIGHT) and (picture.mode, picture.format) != _PGM:
    raise input_file.Unreadable(
      f'{path} has pixels of the kind {picture.mode} (32 bits or floats), whose range is unknown; '
      'save it with 8 or 16 bits'
    )
  return picture


def _opaque(picture):
  """The picture in 8 bits over the background."""
  if picture.mode in _SIXTEEN:
    values = np.asarray(picture).astype(np.uint32)
    scaled = np.where(values == picture.info.get('transparency'), 255, (values + 128) // 257)
    return PIL.Image.fromarray(scaled.astype(np.uint8))
  if picture.mode.lower() in ('la', 'pa', 'rgba') or 'transparency' in picture.info:
    picture = picture.convert('RGBA')
    below = PIL.Image.new('RGBA', picture.size, BACKGROUND)
    return PIL.Image.alpha_composite(below, picture)
  return picture
