"""Tokens that a codec has made beforehand: what `--mode=encode` writes, see data/token_file.py.

A config that names it says the rest as if the data were encoded on the way: the same codec, blocks
and process, and sees the same batches. Another codec than the one that made the tokens is refused.
"""

import copy
import dataclasses
import functools
import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from adiff.data import base, corpora, facts_file, rows, token_file
from adiff.data import stream as stream_lib
from adiff.machine import array_file, contents, copies, files, input_file, storage
from adiff.sequence import values

_OPEN = 128  # shards of a split that are open at a time: each takes a handle


class Stored(NamedTuple):
  """A codec in a folder, as run/codec_file.py reads it."""

  folder: str
  told: dict
  where: str  # the file that tells of it


@dataclasses.dataclass(frozen=True, eq=False)
class EncodedSet(base.Source):
  """A set of tokens; its facts are those of the data that was encoded, and its examples what the
  codec makes of the tokens, once `coded` was told of a codec.

  Raises FileNotFoundError for a folder without a set, ValueError for one that was changed, or that
  lacks a shard, or a part of one.
  """

  places = ('data_dir',)

  data_dir: values.Path = ''
  num_tokens: values.Whole = 0  # of a row of text; 0: as in the run whose data was encoded
  packed: bool = False  # texts: whole documents, several a row, instead of rows cut anywhere
  _decode: Callable | None = dataclasses.field(default=None, init=False)

  def __post_init__(self):
    if not self.data_dir:
      raise ValueError(
        'data encoded needs a folder of tokens; write --config.data.data_dir=DIR, which '
        '--mode=encode --out=DIR makes'
      )
    if self._told['facts']['medium'] != 'text' and (self.num_tokens or self.packed):
      raise ValueError(
        f'{self.data_dir} holds no text, whose rows data.num_tokens and data.packed are of; leave '
        'them away'
      )

  @functools.cached_property
  def _root(self):
    return copies.here(self.data_dir)

  @functools.cached_property
  def _told(self):
    """What encoded.json holds."""
    try:
      return token_file.read(self._root)
    except FileNotFoundError as error:
      raise FileNotFoundError(
        f'there is no {os.path.join(self.data_dir, token_file.FILE)}, so that it is no set of '
        'tokens, or none yet; --mode=encode --out=DIR makes one, and goes on where it was stopped'
      ) from error

  @functools.cached_property
  def facts(self):
    where = os.path.join(self.data_dir, token_file.FILE)
    with input_file.told(where, 'holds no facts of data', token_file.ADVICE):
      facts = facts_file.read(self._told['facts'])
    return dataclasses.replace(facts, shape=(self.num_tokens,)) if self.num_tokens else facts

  @property
  def encoded_by(self):
    return Stored(str(self._root), self._told, os.path.join(self.data_dir, token_file.FILE))

  @property
  def splits(self):
    return tuple(self._told['splits'])

  @functools.cached_property
  def fingerprint(self):
    shards = {
      os.path.join(split, os.path.basename(token_file.path('', split, index))): shard['sha256']
      for split, told in self._told['splits'].items()
      for index, shard in enumerate(told['shards'])
    }
    self.check()
    if contents.digest(self._root, list(shards)) != contents.digest_of(sorted(shards.items())):
      for name, sha256 in shards.items():
        if files.sha256(self._root / name) != sha256:
          raise ValueError(
            f'{os.path.join(self.data_dir, name)} is not what {token_file.FILE} beside it was '
            f'written with; {token_file.ADVICE}'
          )
    return self._told['fingerprint']

  def check(self):
    for split, told in self._told['splits'].items():
      for index, shard in enumerate(told['shards']):
        place = token_file.path(self._root, split, index)
        size = storage.size(place) if storage.is_file(place) else None
        if size != shard['bytes']:
          what = 'there is no' if size is None else f'{size} of {shard["bytes"]} bytes are left of'
          raise ValueError(
            f'{what} {token_file.path(self.data_dir, split, index)}, a shard of the set; '
            f'{token_file.ADVICE}, or copy it again'
          )

  def size(self, split):
    told = self._split(split)
    return told['copies'] * sum(shard['examples'] for shard in told['shards'])

  def examples(self, split, indices):
    if self._decode is None:
      raise ValueError('examples are made of tokens by their codec; ask `coded` for it')
    found = self.tokens(split, indices)
    return {'example': self._decode(found.pop('tokens')), **found}

  def tokens(self, split, indices) -> dict[str, np.ndarray]:
    """As data.base.Coded.examples."""
    indices, copies_of = np.asarray(indices, np.int64), self._split(split)['copies']
    found = self._arrays[split]
    tokens = found['tokens'][indices]
    beside = {
      name: array[indices // copies_of] for name, array in found.items() if name != 'tokens'
    }
    return {'tokens': tokens.astype(np.float32 if tokens.dtype.kind == 'f' else np.int32), **beside}

  def coded(self, codec, params=(), *, align=1):
    if codec.digest != self._told['codec_digest']:
      raise ValueError(
        f'{self.data_dir} holds tokens that {self._told["codec_words"]} has made '
        f'({self._told["codec_digest"]}), and config.codec is {words(codec)} ({codec.digest}); '
        'choose that codec, or encode the data with this one'
      )
    if self.facts.medium == 'text':
      return rows.Rows(_Texts(self, codec), codec, align=align)
    known = copy.copy(self)
    object.__setattr__(known, '_decode', functools.partial(codec.decode, params))
    return Tokens(known, codec, params)

  def stream(self, split) -> stream_lib.Stream:
    """The documents of a text."""
    lengths = self._arrays[split]['lengths']
    bounds = np.cumsum(np.append(0, lengths[np.arange(len(lengths))]))
    return stream_lib.Stream(self._arrays[split]['tokens'], bounds)

  def _split(self, split):
    return self._told['splits'][base.check_split(split, self.splits)]

  @functools.cached_property
  def _arrays(self):
    """{split: {name: array of all shards, but for what statistics were made of}}."""
    return {split: self._joined(split) for split in self.splits}

  def _joined(self, split):
    shards = self._split(split)['shards']

    @functools.lru_cache(_OPEN)
    def opened(index):
      return array_file.mapped_npz(token_file.path(self._root, split, index))

    def joined(name):
      many = [shard['rows' if name == 'tokens' else 'examples'] for shard in shards]
      return token_file.Joined(lambda index: opened(index)[name], many)

    return {name: joined(name) for name in opened(0) if name not in token_file.ABOUT}


@dataclasses.dataclass(frozen=True, eq=False)
class Tokens(base.Encoded):
  """A set of tokens as training reads it."""

  source: EncodedSet

  def examples(self, split, indices):
    return self.source.tokens(split, indices)


class _Corpus(corpora.Corpus):
  """The documents that a tokenizer makes of the tokens of a set."""

  def __init__(self, found, codec):
    self._set, self._codec, self.splits = found, codec, found.splits

  @property
  def name(self):
    return f'texts of {self._set.data_dir}'

  @property
  def fingerprint(self):
    return self._set.fingerprint

  def documents(self, split):
    tokens, bounds = self._set.stream(split)

    def read(indices):
      return [
        self._codec.text(tokens[np.arange(bounds[index], bounds[index + 1] - 1)])
        for index in indices
      ]

    return corpora.Documents(len(bounds) - 1, read)


class _Texts(rows.Documents):
  """A set of tokens of text, in rows."""

  def __init__(self, found, codec):
    self.num_tokens, self.packed = found.facts.shape[0], found.packed
    self._set, self._codec = found, codec

  @functools.cached_property
  def corpus(self):
    return _Corpus(self._set, self._codec)

  def check(self):
    self._set.check()

  def stream(self, split, codec, folder):
    return self._set.stream(split)


def words(codec) -> str:
  """What errors call a codec, on one line: its arguments, but for places and what files hold."""
  away = (*codec.places, *codec.files)
  own = ', '.join(
    f'{one.name}={getattr(codec, one.name)!r}'[:80] for one in dataclasses.fields(codec)
    if one.name not in away and not callable(getattr(codec, one.name))
  )
  return f'{type(codec).__name__}({own})'
