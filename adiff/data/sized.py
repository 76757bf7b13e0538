"""Data at another size: pictures are resized, and their tokens lie at their places in the picture
(sequence/places.py), so that one network learns, and makes, pictures of several sizes."""

import dataclasses
import functools

import numpy as np
import PIL.Image

from adiff.codec import base as codec_base
from adiff.data import base
from adiff.machine import files
from adiff.sequence import places
from adiff.sequence import spec as spec_lib

_LEVELS = 256  # at most, as bytes have


def at(coded: base.Coded, sides) -> base.Coded:
  """The same data with pictures of `sides`, rows and columns of pixels. Raises ValueError for data
  without pictures, codecs that know one size, and sides that their patches do not tile."""
  source = _Resized(coded.source, sides)
  return _Sized(source, coded.codec.at(source.facts), coded.params, trained=coded.spec)


def sides(facts) -> tuple[int, ...]:
  """Rows and columns of the pictures that examples are, or have; () where they have none."""
  pictures = [one for one in (facts, *facts.parts.values()) if one.medium == 'image']
  return tuple(pictures[0].shape[:2]) if pictures else ()


@dataclasses.dataclass(frozen=True, eq=False)
class _Resized(base.Source):
  """A source whose pictures, or the part of its examples that is one, are stretched to other sides
  by Pillow's triangle filter, which averages where pictures get smaller."""

  whole: base.Source
  sides: tuple[int, int]

  @functools.cached_property
  def facts(self):
    return _resized(self.whole.facts, self.sides)

  @property
  def splits(self):
    return self.whole.splits

  @property
  def fingerprint(self):
    return files.digest(self.whole.fingerprint, repr(tuple(self.sides)))

  def size(self, split):
    return self.whole.size(split)

  def check(self):
    self.whole.check()

  @property
  def decodes(self):
    return True

  def examples(self, split, indices):
    found, facts = self.whole.examples(split, indices), self.facts
    example = found['example']
    if facts.parts:
      example = {
        name: _stretched(one, self.sides) if facts.parts[name].medium == 'image' else one
        for name, one in example.items()
      }
    else:
      example = _stretched(example, self.sides)
    return {**found, 'example': example}


@dataclasses.dataclass(frozen=True, eq=False)
class _Sized(base.Encoded):
  """A source at another size through its codec; `trained`: the spec of the size trained on."""

  _: dataclasses.KW_ONLY
  trained: spec_lib.Spec

  @functools.cached_property
  def spec(self):
    spec = self.codec.spec(self.source.facts)
    return dataclasses.replace(spec, coords=places.of(spec, self.trained))


def _resized(facts, sides) -> codec_base.Facts:
  """The facts of examples whose pictures have other sides."""
  if facts.parts and any(one.medium == 'image' for one in facts.parts.values()):
    return dataclasses.replace(facts, parts={
      name: _resized(one, sides) if one.medium == 'image' else one
      for name, one in facts.parts.items()
    })
  if facts.medium != 'image' or not 0 < facts.levels <= _LEVELS or len(facts.shape) != 3:
    raise ValueError(
      f'other sizes are those of pictures of at most {_LEVELS} levels, and these data are '
      f'{facts.medium} of shape {tuple(facts.shape)}; leave them empty'
    )
  return dataclasses.replace(facts, shape=(*map(int, sides), facts.shape[-1]))


def _stretched(pictures, sides) -> np.ndarray:
  """uint8 [b, H, W, C] at other sides, channel by channel."""
  height, width = sides
  if pictures.shape[1:3] == (height, width):
    return pictures
  found = np.empty((len(pictures), height, width, pictures.shape[-1]), pictures.dtype)
  for b, channel in np.ndindex(len(pictures), pictures.shape[-1]):
    plane = PIL.Image.fromarray(np.ascontiguousarray(pictures[b, :, :, channel], np.uint8))
    found[b, :, :, channel] = plane.resize((width, height), PIL.Image.Resampling.BILINEAR)
  return found
