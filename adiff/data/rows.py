"""Rows of symbols: cut from the stream of a corpus, or packed with whole documents."""

import abc
import array
import collections.abc
import functools
import os
import pathlib
import threading

import numpy as np

from adiff.codec import base as codec_base
from adiff.data import base, corpora
from adiff.data import stream as stream_lib
from adiff.machine import files


class _Cut:
  """Examples of N of the symbols [T], one every `stride`."""

  def __init__(self, tokens, num_tokens, stride):
    self._tokens, self._num_tokens, self._stride = tokens, num_tokens, stride
    self.size = (len(tokens) - num_tokens) // stride + 1

  def examples(self, indices):
    places = indices[:, None] * self._stride + np.arange(self._num_tokens)[None]
    return {'tokens': np.asarray(self._tokens[places], np.int32)}


class _Packed:
  """Examples of N symbols that hold documents whole, as many as fit, in order.

  A piece is a document, or as much of a longer one as an example holds: its symbols, and what fills
  it up. Example i holds the pieces bounds[i] to bounds[i + 1] - 1.
  """

  def __init__(self, stream, num_tokens, align, eos):
    self._stream, self._num_tokens, self._eos = stream, num_tokens, eos
    lengths = np.diff(stream.bounds)
    filled = -(-lengths // align) * align
    pieces = -(-filled // num_tokens)
    # Each piece's document, place in the stream, symbols, symbols and fill.
    self._document = np.repeat(np.arange(len(lengths)), pieces)
    number = np.arange(len(self._document)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    offset = number * num_tokens
    self._start = stream.bounds[self._document] + offset
    self._length = np.minimum(lengths[self._document] - offset, num_tokens)
    self._filled = np.minimum(filled[self._document] - offset, num_tokens)
    ends = np.concatenate([[0], np.cumsum(self._filled)])
    after = np.searchsorted(ends, ends[:-1] + num_tokens, side='right') - 1
    bounds = array.array('q', [0])
    while bounds[-1] < len(after):
      bounds.append(after[bounds[-1]])
    self._bounds = np.asarray(bounds)
    self.size = len(bounds) - 1

  def examples(self, indices):
    examples = [self._example(index) for index in indices]
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]}

  def _example(self, index):
    pieces = np.arange(self._bounds[index], self._bounds[index + 1])
    filled = self._filled[pieces]
    piece = np.repeat(pieces, filled)
    place = np.arange(len(piece)) - np.repeat(np.cumsum(filled) - filled, filled)
    real = place < self._length[piece]
    tokens = np.full(len(piece), self._eos, np.int32)
    tokens[real] = self._stream.tokens[(self._start[piece] + place)[real]]
    rest = self._num_tokens - len(piece)

    def pad(values, value, dtype):
      return np.append(values, np.full(rest, value)).astype(dtype)

    return {
      'tokens': pad(tokens, self._eos, np.int32),
      'segment': pad(piece - pieces[0], -1, np.int32),
      'position': np.append(place, np.arange(rest)).astype(np.int32),
      'document': pad(self._document[piece], -1, np.int32),
      'weight': pad(np.ones(len(piece)), 0, np.float32),
      'real': pad(real, 0, np.float32),
    }


class Documents(base.Source):
  """A source of text: a corpus, of which rows of `num_tokens` symbols are made."""

  num_tokens: int
  packed: bool  # whole documents, several a row, instead of rows cut anywhere

  @property
  @abc.abstractmethod
  def corpus(self) -> corpora.Corpus:
    """The documents by split, and what they are called."""

  @property
  def facts(self):
    return codec_base.Facts('text', (self.num_tokens,))

  @property
  def splits(self):
    return self.corpus.splits

  @property
  def fingerprint(self):
    return self.corpus.fingerprint

  def documents(self, split) -> collections.abc.Sequence[str]:
    """The documents of a split, read when asked for."""
    return self.corpus.documents(split)

  def stream(self, split, codec, folder) -> stream_lib.Stream:
    """The symbols of the documents of a split; folder: where a large one may be kept."""
    return stream_lib.tokenise(self.documents(split), codec, folder)

  def size(self, split):
    return len(self.documents(split))

  def examples(self, split, indices):
    documents = self.documents(split)
    texts = np.array([documents[int(index)] for index in indices], object)
    return {'example': texts, 'label': np.full(len(texts), -1, np.int32)}

  def coded(self, codec, params=(), *, align=1):
    return Rows(self, codec, align=align)


class Rows(base.Coded):
  """Rows of the symbols of a corpus through a tokenizer, a codec.text.Tokenizer.

  Cut (packed=False): a split is one stream, end-of-text after each document but a lone one.
  Training rows start at every symbol, so that shuffled batches are random crops; held-out rows
  follow each other and a remainder shorter than one is left out.

  Packed: documents and their end-of-text in rows, whole and in order, each filled with end-of-text
  up to a multiple of `align`; a longer document is cut into pieces of a row. Rows then also hold,
  each [b, N], 'segment': int32, the piece in its row, -1 in padding; 'position': int32, from 0 in
  every segment; 'document': int32, index in documents(split), -1 in padding; 'weight': float32, 1
  but 0 in padding, which holds end-of-text; 'real': float32, 1 for the symbols of documents and the
  first end-of-text of each, 0 for fill and padding. The sum of real terms over 'document' is what
  belongs to a document.

  A large split is tokenised once, into a folder of `cache_dir` (None: adiff/text in
  $XDG_CACHE_HOME or ~/.cache). Raises ValueError for num_tokens that align does not divide, and, at
  the first use of a split, when it is shorter than a row.
  """

  params = ()

  def __init__(self, source, codec, *, align=1, cache_dir=None):
    if source.num_tokens < 1 or align < 1 or source.packed and source.num_tokens % align:
      raise ValueError(
        f'rows of {source.num_tokens} tokens cannot hold documents aligned to {align}; set '
        'num_tokens to a multiple of align'
      )
    self.source, self.codec = source, codec
    self._align = align if source.packed else 1
    caches = pathlib.Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache') / 'adiff' / 'text'
    self._cache = pathlib.Path(caches if cache_dir is None else cache_dir).expanduser()
    self._views, self._lock = {}, threading.Lock()

  @functools.cached_property
  def fingerprint(self):
    # Without align: blocks may change between two calls.
    source = self.source
    return files.digest(
      repr((source.fingerprint, self.codec.digest, source.num_tokens, source.packed))
    )

  def _view(self, split):
    """The rows of a split: a _Cut or a _Packed, made at the first use."""
    base.check_split(split, self.splits)
    with self._lock:
      if split not in self._views:
        self._views[split] = self._make_view(split)
      return self._views[split]

  def _make_view(self, split):
    source = self.source
    folder = self._cache / files.digest(source.fingerprint, self.codec.digest) / split
    stream = source.stream(split, self.codec, folder)
    if not source.packed and len(stream.bounds) == 2:  # A lone document: no end follows it.
      stream = stream._replace(tokens=stream.tokens[:-1])
    if len(stream.tokens) < source.num_tokens:
      raise ValueError(
        f"the split '{split}' of {source.corpus.name} has {len(stream.tokens)} tokens but examples "
        f'have {source.num_tokens}; set fewer tokens an example or take more text'
      )
    if source.packed:
      return _Packed(stream, source.num_tokens, self._align, self.codec.eos)
    stride = 1 if split == 'train' else source.num_tokens
    return _Cut(stream.tokens, source.num_tokens, stride)

  def size(self, split):
    return self._view(split).size

  def examples(self, split, indices):
    view, indices = self._view(split), np.asarray(indices, np.int64)
    if len(indices) and not 0 <= indices.min() <= indices.max() < view.size:
      raise IndexError(f"the split '{split}' has the examples 0 to {view.size - 1}; ask for those")
    return {**view.examples(indices), 'label': np.full(len(indices), -1, np.int32)}
