"""Pictures of coloured shapes alone: those of data/shapes.py, without their captions."""

import functools
from typing import Annotated

import numpy as np

from adiff.codec import base as codec_base
from adiff.data import base
from adiff.data import scenes as scenes_lib
from adiff.data import shapes as shapes_lib
from adiff.judge import subset
from adiff.judge.captioned import IMAGE
from adiff.judge.shapes import render
from adiff.machine import files
from adiff.sequence import values


class Drawn(base.Source):
  """Examples uint8 [b, side, side, 3], without labels; arguments and splits as of shapes.Shapes."""

  def __init__(
    self, side: Annotated[values.Count, values.between(32, 64)] = 32,
    size: Annotated[values.Count, values.at_least(8)] = 2**17, seed: values.Seed = 0,
  ):
    self._whole = shapes_lib.Shapes(side, size=size, seed=seed)

  @property
  def facts(self) -> codec_base.Facts:
    return self._whole.facts.parts[IMAGE]

  @property
  def splits(self):
    return self._whole.splits

  @property
  def decodes(self):
    return True

  @functools.cached_property
  def fingerprint(self):
    few = [self.examples(one, subset.spread(self.size(one), 8))['example'] for one in self.splits]
    sizes = [self.size(one) for one in self.splits]
    return files.digest(*few, repr((self._whole.side, self._whole.seed, sizes)))

  def size(self, split):
    return self._whole.size(split)

  def examples(self, split, indices):
    indices = np.arange(self.size(split))[indices]
    scenes = scenes_lib.sample(self._whole.seed, split, indices)
    return {
      'example': render.pictures(scenes, self._whole.side),
      'label': np.full(len(indices), -1, np.int32),
    }
