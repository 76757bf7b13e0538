"""Pictures of coloured shapes with captions: a world in which what is asked for can be checked."""

import functools
from typing import Annotated

import numpy as np

from adiff.codec import base as codec_base
from adiff.data import base, sentences
from adiff.data import scenes as scenes_lib
from adiff.judge import subset
from adiff.judge.captioned import IMAGE, TEXT
from adiff.judge.shapes import grammar, read, render
from adiff.machine import files
from adiff.sequence import values

_LEVELS = 256


class Shapes(base.Source):
  """Examples {'text': int32 [b, 20], words of a caption, 0 behind its end; 'image': uint8
  [b, side, side, 3]}, without labels.

  One to four objects of eight shapes, eight colours and two sizes, wherever they fit, in part one
  before the other (judge/shapes/scene.py); captions of a grammar (judge/shapes/grammar.py). Each is
  a function of (seed, split, index). Splits: train (`size` examples) and test (size / 8), of one
  law; unseen (size / 8) names and shows what training never does.
  """

  def __init__(
    self, side: Annotated[values.Count, values.between(32, 64)] = 32,
    size: Annotated[values.Count, values.at_least(8)] = 2**17, seed: values.Seed = 0,
  ):
    if side % read.SIDE or not side or size < 8:
      raise ValueError(
        f'{size} pictures of {side} pixels a side; use at least 8, of 32 or of 64 pixels'
      )
    self.side, self.seed = side, seed
    self._sizes = {'train': size, 'test': size // 8, 'unseen': size // 8}

  @property
  def facts(self):
    return codec_base.Facts('law', (), parts={
      TEXT: codec_base.Facts('law', (sentences.LENGTH,), len(grammar.WORDS)),
      IMAGE: codec_base.Facts('image', (self.side, self.side, 3), _LEVELS),
    })

  @property
  def splits(self):
    return scenes_lib.SPLITS

  @property
  def decodes(self):
    return True  # a third of a millisecond each

  @functools.cached_property
  def fingerprint(self):
    few = [
      self.examples(split, subset.spread(self.size(split), 8))['example'] for split in self.splits
    ]
    arrays = [array for one in few for array in one.values()]
    return files.digest(*arrays, repr((self.side, self.seed, self._sizes)))

  def size(self, split):
    return self._sizes[base.check_split(split, self.splits)]

  def examples(self, split, indices):
    indices = np.arange(self.size(split))[indices]
    scenes = scenes_lib.sample(self.seed, split, indices)
    told = sentences.describe(self.seed, split, indices, scenes)
    return {
      'example': {
        TEXT: grammar.encode(map(grammar.write, told), sentences.LENGTH),
        IMAGE: render.pictures(scenes, self.side),
      },
      'label': np.full(len(indices), -1, np.int32),
    }
