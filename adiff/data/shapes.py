"""Pictures of coloured shapes with captions: a world in which what is asked for can be checked."""

import dataclasses
import functools
from typing import Annotated

import numpy as np

from adiff.codec import base as codec_base
from adiff.data import base, sentences
from adiff.data import scenes as scenes_lib
from adiff.judge import subset
from adiff.judge.captioned import IMAGE, TEXT
from adiff.judge.shapes import grammar, plans, read, render
from adiff.machine import files
from adiff.sequence import conditions, values

PLAN = 'plan'
DRAWN, FULL = 'drawn', 'full'  # captions
_LEVELS = 256


class Shapes(base.Source):
  """Examples {name: part}, without labels, of those `parts` that are named:

    text   int32 [b, 20], words of a caption, 0 behind its end
    plan   int32 [b, 12], symbols that say what stands where (judge/shapes/plans.py)
    image  uint8 [b, side, side, 3]

  With image alone it is the example, not a part of it. A caption that is no part is told instead: a
  Memory `text`, whose words are read by cross-attention.

  One to four objects of eight shapes, eight colours and two sizes, wherever they fit, in part one
  before the other (judge/shapes/scene.py); captions of a grammar (judge/shapes/grammar.py). Each is
  a function of (seed, split, index). `captions` that are drawn ask for one skill each; full ones
  name every object with its size, colour and shape, from top to bottom. Splits: train (`size`
  examples) and test (size / 8), of one law; unseen (size / 8) shows what training never does, and
  its drawn captions name it.
  """

  def __init__(
    self, side: Annotated[values.Count, values.between(32, 64)] = 32,
    parts: tuple[str, ...] = (TEXT, IMAGE),
    size: Annotated[values.Count, values.at_least(8)] = 2**17, seed: values.Seed = 0,
    captions: Annotated[str, values.one_of(DRAWN, FULL)] = DRAWN,
  ):
    if side % read.SIDE or not side or size < 8:
      raise ValueError(
        f'{size} pictures of {side} pixels a side; use at least 8, of 32 or of 64 pixels'
      )
    known = (TEXT, PLAN, IMAGE)
    if IMAGE not in parts or not set(parts) <= set(known) or len(set(parts)) < len(parts):
      raise ValueError(
        f'data.parts={values.shown(parts)} must name {IMAGE} and may name {TEXT} and {PLAN}, each '
        'once'
      )
    self.side, self.parts, self.seed, self.captions = side, tuple(parts), seed, captions
    self._sizes = {'train': size, 'test': size // 8, 'unseen': size // 8}

  @property
  def facts(self):
    known = {
      TEXT: codec_base.Facts('law', (sentences.LENGTH,), len(grammar.WORDS)),
      PLAN: codec_base.Facts('law', (plans.LENGTH,), len(plans.WORDS)),
      IMAGE: codec_base.Facts('image', (self.side, self.side, 3), _LEVELS),
    }
    conds = {}
    if TEXT not in self.parts:
      conds = {TEXT: conditions.Memory(sentences.LENGTH, vocab=len(grammar.WORDS))}
    if self._alone:
      return dataclasses.replace(known[IMAGE], conds=conds)
    parts = {name: known[name] for name in self.parts}
    return codec_base.Facts('law', (), conds=conds, parts=parts)

  @property
  def _alone(self):
    """Are examples pictures, and nothing besides?"""
    return self.parts == (IMAGE,)

  @property
  def splits(self):
    return scenes_lib.SPLITS

  @property
  def decodes(self):
    return True  # a third of a millisecond each

  @functools.cached_property
  def fingerprint(self):
    few = [self._made(split, subset.spread(self.size(split), 8)) for split in self.splits]
    arrays = [one[name] for one in few for name in dict.fromkeys((TEXT, *self.parts))]
    named = () if self.parts == (TEXT, IMAGE) else (self.parts,)
    told = () if self.captions == DRAWN else (self.captions,)
    return files.digest(*arrays, repr((self.side, self.seed, self._sizes, *named, *told)))

  def size(self, split):
    return self._sizes[base.check_split(split, self.splits)]

  def examples(self, split, indices):
    indices = np.arange(self.size(split))[indices]
    made = self._made(split, indices)
    found = {
      'example': made[IMAGE] if self._alone else {name: made[name] for name in self.parts},
      'label': np.full(len(indices), -1, np.int32),
    }
    if TEXT not in self.parts:
      found[TEXT] = np.where(made[TEXT] == 0, -1, made[TEXT])  # behind the end nothing is told
    return found

  def _made(self, split, indices):
    """All that there may be of examples, by name."""
    scenes = scenes_lib.sample(self.seed, split, indices)
    if self.captions == FULL:
      told = sentences.full(scenes)
    else:
      told = sentences.describe(self.seed, split, indices, scenes)
    return {
      TEXT: grammar.encode(map(grammar.write, told), sentences.LENGTH),
      PLAN: plans.write(scenes),
      IMAGE: render.pictures(scenes, self.side),
    }
