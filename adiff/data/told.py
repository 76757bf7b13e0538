"""Strings whose law follows from what one is told, by any class of condition; the law is known."""

import functools
from typing import Annotated

import numpy as np

from adiff.codec import base as codec_base
from adiff.data import base
from adiff.judge.metrics import chi_square
from adiff.machine import files
from adiff.sequence import conditions, values

_SPLITS = ('train', 'test')
_CELLS = 2000  # strings whose law is written down one by one
_CLASSES, _WORDS, _ROWS = 4, 6, 3  # of a label; of a vocabulary; of a memory
_BINS = 16  # of the test


class Told(base.Source):
  """Strings int [b, N] of `vocab` symbols V under conditions:

    p(x_i = v | x_{i-1}, told) = softmax_v(base[x_{i-1}, v] + sum of the tilts of what is told)

  condition  class                 its tilt [V] of token i
  label      Label                 a row of a table
  style      Label                 a row of another table
  mood       Features [V]          itself
  map        Features [N, V]       its row i
  words      Memory, symbols [L]   the rows of a table, added up: at most L = 3 words
  notes      Memory [L, V]         its rows, added up

  by: which of them there are, always given; without label it is -1. Splits: train (`size` strings)
  and test (size / 8), sampled independently. exact: {'nats'}, the mean entropy of the test strings,
  each given what it was told.
  """

  def __init__(
    self, by: tuple[str, ...] = ('label',), num_tokens: values.Count = 4,
    vocab: Annotated[values.Count, values.at_least(2)] = 3,
    size: Annotated[values.Count, values.at_least(8)] = 65536, seed: values.Seed = 0,
  ):
    known = self._conds(num_tokens, vocab)
    for name in by:
      if name not in known:
        raise ValueError(
          f'data.by names {values.shown(name)}, which nobody is told; write some of '
          f'{", ".join(known)}'
        )
    if num_tokens * np.log(vocab) > np.log(_CELLS):
      raise ValueError(
        f'{vocab} symbols and {num_tokens} tokens make more than {_CELLS} strings, too many to '
        'write down the law of each; write smaller ones'
      )
    values.check_memory(
      f'{size} strings and what they are told', 16 * size * vocab * (num_tokens + 4),
      'write a smaller data.size',
    )
    self.by, self.num_tokens, self.vocab, self.seed = tuple(by), num_tokens, vocab, seed
    self._sizes = {'train': size, 'test': size // 8}

  @staticmethod
  def _conds(num_tokens, vocab):
    """All conditions that there may be."""
    return {
      'label': conditions.Label(_CLASSES), 'style': conditions.Label(_CLASSES),
      'mood': conditions.Features(vocab),
      'map': conditions.Features(vocab, per_token=True),
      'words': conditions.Memory(_ROWS, vocab=_WORDS), 'notes': conditions.Memory(_ROWS, dim=vocab),
    }

  @functools.cached_property
  def facts(self):
    known = self._conds(self.num_tokens, self.vocab)
    return codec_base.Facts(
      'law', (self.num_tokens,), self.vocab, {name: known[name] for name in self.by}
    )

  @property
  def splits(self):
    return _SPLITS

  @functools.cached_property
  def fingerprint(self):
    return files.digest(*(
      found[name] for found in self._examples.values() for name in sorted(found)
    ))

  @functools.cached_property
  def exact(self):
    law = self.law({name: self._examples['test'][name] for name in self.by})
    return {'nats': float(-np.sum(law * np.log(law), axis=1).mean())}

  @functools.cached_property
  def _tables(self):
    """Logits: [V + 1, V] after each symbol and at first, and {name: tilts [rows, V]}."""
    rng = np.random.default_rng([self.seed, 0])
    normal = lambda rows: rng.normal(size=(rows, self.vocab))
    after = normal(self.vocab + 1)
    return after, {'label': normal(_CLASSES), 'style': normal(_CLASSES), 'words': normal(_WORDS)}

  @functools.cached_property
  def _examples(self):
    """{split: what `examples` gives, of all}."""
    return {
      split: self._sample(size, np.random.default_rng([self.seed, 1, index]))
      for index, (split, size) in enumerate(self._sizes.items())
    }

  def tell(self, num, *, seed) -> dict[str, np.ndarray]:
    """{name: what `num` strings are told}; splits use other seeds."""
    return self._told(num, np.random.default_rng([self.seed, 2, seed]))

  def _told(self, num, rng):
    there = rng.integers(1, _ROWS + 1, (num, 1)) > np.arange(_ROWS)  # of a memory's rows
    found = {
      'label': rng.integers(_CLASSES, size=num).astype(np.int32),
      'style': rng.integers(_CLASSES, size=num).astype(np.int32),
      'mood': rng.normal(size=(num, self.vocab)).astype(np.float32),
      'map': rng.normal(size=(num, self.num_tokens, self.vocab)).astype(np.float32),
      'words': np.where(there, rng.integers(_WORDS, size=(num, _ROWS)), -1).astype(np.int32),
      'notes': np.where(
        there[..., None], rng.normal(size=(num, _ROWS, self.vocab)), np.nan
      ).astype(np.float32),
    }
    return {name: found[name] for name in self.by}

  def _tilts(self, told):
    """[b, N, V], all tilts added up."""
    _, tables = self._tables
    total = 0.0
    for name, value in told.items():
      if name in ('label', 'style'):
        tilt = tables[name][value][:, None]
      elif name == 'words':
        tilt = np.where((value >= 0)[..., None], tables[name][value], 0).sum(1, keepdims=True)
      elif name == 'notes':
        tilt = np.nansum(value.astype(float), axis=1, keepdims=True)
      else:
        tilt = value.astype(float).reshape(len(value), -1, self.vocab)
      total = total + tilt
    num = len(next(iter(told.values()))) if told else 1
    return np.broadcast_to(total, (num, self.num_tokens, self.vocab))

  def law(self, told) -> np.ndarray:
    """p(string | told), float64 [b, V^N], strings in the order of np.indices."""
    after, _ = self._tables
    tilts = self._tilts(told)
    logits = after[None, None] + tilts[:, :, None]  # [b, N, V + 1, V]
    steps = np.exp(logits - logits.max(-1, keepdims=True))
    steps /= steps.sum(-1, keepdims=True)
    law, size = steps[:, 0, self.vocab], self.vocab  # begun by what stands behind all symbols
    for place in range(1, self.num_tokens):
      last = law.reshape(len(law), -1, size)
      law = (last[..., None] * steps[:, place, None, :size]).reshape(len(law), -1)
    return law

  def _sample(self, num, rng):
    told, strings = self._told(num, rng), np.empty((num, self.num_tokens), np.int32)
    for first in range(0, num, 4096):
      part = {name: value[first:first + 4096] for name, value in told.items()}
      law = np.cumsum(self.law(part), axis=1)
      here = strings[first:first + 4096]
      cells = np.sum(rng.random((len(here), 1)) * law[:, -1:] >= law[:, :-1], axis=1)
      here[:] = np.stack(np.unravel_index(cells, (self.vocab,) * self.num_tokens), 1)
    return {'example': strings, 'label': np.full(num, -1, np.int32), **told}

  def size(self, split):
    return self._sizes[base.check_split(split, self.splits)]

  def examples(self, split, indices):
    found = self._examples[base.check_split(split, self.splits)]
    return {name: value[indices] for name, value in found.items()}

  def law_test(self, examples, told=None) -> dict:
    """Chi-square test of strings int [b, N], each against its own law given what it was told:
    {'statistic', 'dof', 'p_value'}.

    The probability of all likelier strings, plus a random share of the string's own, is uniform;
    what takes no notice of what it was told makes unlikely strings too often.
    """
    cells = np.ravel_multi_index(tuple(np.asarray(examples).T), (self.vocab,) * self.num_tokens)
    law = self.law({name: told[name] for name in self.by})
    own = np.take_along_axis(np.broadcast_to(law, (len(cells), law.shape[1])), cells[:, None], 1)
    share = np.random.default_rng([self.seed, 3]).random(len(cells))
    place = np.sum(law * (law > own), axis=1) + share * own[:, 0]
    counts = np.bincount(np.minimum((place * _BINS).astype(int), _BINS - 1), minlength=_BINS)
    statistic, dof = chi_square.goodness_of_fit(counts, np.full(_BINS, 1 / _BINS))
    return chi_square.verdict(statistic, dof)
