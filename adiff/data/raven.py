"""Three rows of panels that follow one abstract rule, for models that must find it."""

import functools
from typing import Annotated

import numpy as np

from adiff.codec import base as codec_base
from adiff.data import base, chance
from adiff.judge import panels, subset
from adiff.judge.metrics import chi_square
from adiff.machine import files
from adiff.sequence import values

_SPLITS = ('train', 'test', 'unseen')
_CHUNK = 4096
_PANEL = 1 + panels.CELLS * 4  # uniform numbers that one is made of
_FRESH, _NUM_FRESH = 2**40, 2**15  # indices of no split, for the law
_SETS = np.arange(2**panels.VALUES)[:, None] >> np.arange(panels.VALUES) & 1
_MEMBERS = np.argsort(-_SETS, 1, kind='stable')  # [sets, VALUES], the members first


class Raven(base.Source):
  """Samples of panels (judge/panels.py): int32 [b, 81], 9 panels of 9 cells, without labels.

  Each is a function of (seed, split, index): its rule is uniform over those of the split, what the
  panels of each row are uniform over all that the rule admits, all else is free. Splits: train
  (`size` samples) and test (size / 8) of 32 rules, unseen (size / 8) of the eight that are held
  out.
  """

  def __init__(
    self, size: Annotated[values.Count, values.at_least(8)] = 65536, seed: values.Seed = 0
  ):
    if size < 8:
      raise ValueError(f'{size} samples of panels are too few; use at least 8')
    self.seed = seed
    self._sizes = {'train': size, 'test': size // 8, 'unseen': size // 8}

  @functools.cached_property
  def facts(self):
    panel, cell = np.divmod(np.arange(panels.PANELS * panels.CELLS), panels.CELLS)
    coords = np.stack([panel // 3, panel % 3, cell // 3, cell % 3], 1)
    return codec_base.Facts('law', (len(coords),), panels.VOCAB, coords=coords)

  @property
  def splits(self):
    return _SPLITS

  @functools.cached_property
  def fingerprint(self):
    few = [
      self.examples(split, subset.spread(self.size(split), 8))['example'] for split in self.splits
    ]
    return files.digest(*few, repr((self.seed, self._sizes)))

  def size(self, split):
    return self._sizes[base.check_split(split, self.splits)]

  def examples(self, split, indices):
    indices = np.arange(self.size(split))[indices]
    return {
      'example': self.sample(split, indices), 'label': np.full(len(indices), -1, np.int32)
    }

  def sample(self, split, indices) -> np.ndarray:
    """int32 [n, 81] of any indices, also beyond the split's size."""
    parts = [self._few(split, part) for part in np.array_split(
      np.asarray(indices), max(1, -(-len(indices) // _CHUNK))
    )]
    return np.concatenate(parts)

  def _few(self, split, indices):
    allowed = np.flatnonzero(panels.HELD_OUT == (split == 'unseen'))
    code = _SPLITS.index(split)
    first = chance.uniforms(self.seed, code, indices, [0], 4)[:, 0]
    each = chance.uniforms(self.seed, code, indices, 1 + np.arange(panels.PANELS), _PANEL)
    rules = allowed[(first[:, 0] * len(allowed)).astype(int)]
    made = np.zeros((len(indices), panels.PANELS, panels.CELLS), np.int32)
    for rule in np.unique(rules):
      rows, triples = np.flatnonzero(rules == rule), panels.triples(int(rule))
      chosen = triples[(first[rows, 1:] * len(triples)).astype(int)]  # [m, 3 rows, 3 panels]
      made[rows] = _panels(int(rule), chosen.reshape(len(rows), -1), each[rows])
    return made.reshape(len(indices), -1)

  def law_test(self, examples, told=None):
    """Chi-square test of samples int [b, 81] against the law of the splits train and test: which
    rule they follow first, if any, beside 2^15 fresh samples."""
    del told  # nothing can be
    made, fresh = (
      np.bincount(_first_rule(tokens), minlength=len(panels.RULES) + 1)
      for tokens in (examples, self._fresh)
    )
    return chi_square.two_samples(made, fresh)

  @functools.cached_property
  def _fresh(self):
    return self.sample('train', _FRESH + np.arange(_NUM_FRESH))


def _first_rule(tokens):
  """int [n]: the first of RULES that all rows follow; len(RULES) where none is."""
  found = panels.consistent(tokens)
  return np.where(found.any(1), found.argmax(1), len(panels.RULES))


def _panels(rule, chosen, chance):
  """int32 [m, 9, 9] of what a rule chose for each panel [m, 9], and uniform numbers [m, 9, _PANEL].
  """
  attribute, relation = divmod(rule, len(panels.RELATIONS))
  sets, layout = relation >= panels.SETS, attribute == len(panels.ATTRIBUTES) - 1
  free = np.full(chosen.shape, 2**panels.VALUES - 1)
  members = [free] * 3
  least, most = np.ones_like(chosen), panels.CELLS
  if not layout:
    members[attribute] = chosen if sets else 1 << chosen
    least = _SETS[members[attribute]].sum(-1)
  number = least + (chance[..., 0] * (most + 1 - least)).astype(int)
  order = chance[..., 1:1 + panels.CELLS].argsort(-1)  # the first cells of it are taken
  if layout and sets:
    taken = chosen[..., None] >> np.arange(panels.CELLS) & 1 > 0
  else:
    number = chosen if layout else number
    taken = order.argsort(-1) < number[..., None]
  each = np.split(chance[..., 1 + panels.CELLS:], 3, -1)
  picked = []
  for index, (one, share) in enumerate(zip(members, each, strict=True)):
    size = _SETS[one].sum(-1)[..., None]
    place = (share * size).astype(int)
    if index == attribute:  # every member of the set occurs
      rank = order.argsort(-1)
      place = np.where(rank < size, rank, place)
    picked.append(np.take_along_axis(_MEMBERS[one], place, -1))
  return panels.symbols(taken, *picked)
