"""Text: examples of a corpus, cut from its stream of symbols or packed with whole documents."""

import array
import functools
import os
import pathlib
import threading

import numpy as np

from adiff.data import spec
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


class Text(spec.Source):
  """Examples of `num_tokens` symbols of a corpus through a tokenizer (adiff.codec.tokenizers).

  Cut (packed=False): a split is one stream, end-of-text after each document but a lone one.
  Training examples start at every symbol, so that shuffled batches are random crops; held-out
  examples follow each other and a remainder shorter than one is left out.

  Packed: documents and their end-of-text in examples, whole and in order, each filled with
  end-of-text up to a multiple of `align`; a longer document is cut into pieces of an example.
  Examples then also hold, each [b, N], 'segment': int32, the piece in its example, -1 in padding;
  'position': int32, from 0 in every segment; 'document': int32, index in corpus.documents(split),
  -1 in padding; 'weight': float32, 1 but 0 in padding, which holds end-of-text; 'real': float32, 1
  for the symbols of documents and the first end-of-text of each, 0 for fill and padding. The sum of
  real terms over 'document' is what belongs to a document.

  A large split is tokenised once, into a folder of `cache_dir` (None: adiff/text in
  $XDG_CACHE_HOME or ~/.cache). decode of the spec: int [b, N] -> list of str, each up to its first
  end-of-text. Raises ValueError for num_tokens that align does not divide, and, at the first use of
  a split, when it is shorter than an example.
  """

  def __init__(self, corpus, tokenizer, num_tokens, *, packed=False, align=1, cache_dir=None):
    if num_tokens < 1 or align < 1 or packed and num_tokens % align:
      raise ValueError(
        f'examples of {num_tokens} tokens cannot hold documents aligned to {align}; set num_tokens '
        'to a multiple of align'
      )
    self.corpus, self.tokenizer, self.packed = corpus, tokenizer, packed
    self._num_tokens, self._align = num_tokens, align if packed else 1
    caches = pathlib.Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache') / 'adiff' / 'text'
    self._cache = pathlib.Path(cache_dir or caches).expanduser()
    self._views, self._lock = {}, threading.Lock()

  @functools.cached_property
  def spec(self):
    return spec.Spec(
      num_tokens=self._num_tokens,
      grid=(self._num_tokens,),
      vocab=self.tokenizer.vocab,
      dim=0,
      coords=np.arange(self._num_tokens, dtype=np.int32)[:, None],
      num_classes=0,
      dims=self._num_tokens,
      bin=None,
      decode=self._decode,
      image_levels=0,
    )

  def _decode(self, tokens):
    texts = []
    for symbols in np.asarray(tokens):
      ends = np.flatnonzero(symbols == self.tokenizer.eos)
      texts.append(self.tokenizer.decode(symbols[:ends[0]] if len(ends) else symbols))
    return texts

  @property
  def splits(self):
    return self.corpus.splits

  @property
  def exact(self):
    return {}

  @functools.cached_property
  def fingerprint(self):
    # Without align: blocks may change between two calls.
    return files.digest(
      repr((self.corpus.fingerprint, self.tokenizer.digest, self._num_tokens, self.packed))
    )

  def _view(self, split):
    """The examples of a split: a _Cut or a _Packed, made at the first use."""
    spec.check_split(split, self.splits)
    with self._lock:
      if split not in self._views:
        self._views[split] = self._make_view(split)
      return self._views[split]

  def _make_view(self, split):
    folder = self._cache / files.digest(self.corpus.fingerprint, self.tokenizer.digest) / split
    stream = stream_lib.tokenise(self.corpus.documents(split), self.tokenizer, folder)
    if not self.packed and len(stream.bounds) == 2:  # A lone document: no end follows it.
      stream = stream._replace(tokens=stream.tokens[:-1])
    if len(stream.tokens) < self._num_tokens:
      raise ValueError(
        f"the split '{split}' of {self.corpus.name} has {len(stream.tokens)} tokens but examples "
        f'have {self._num_tokens}; set fewer tokens an example or take more text'
      )
    if self.packed:
      return _Packed(stream, self._num_tokens, self._align, self.tokenizer.eos)
    return _Cut(stream.tokens, self._num_tokens, 1 if split == 'train' else self._num_tokens)

  def size(self, split):
    return self._view(split).size

  def examples(self, split, indices):
    view, indices = self._view(split), np.asarray(indices, np.int64)
    if len(indices) and not 0 <= indices.min() <= indices.max() < view.size:
      raise IndexError(f"the split '{split}' has the examples 0 to {view.size - 1}; ask for those")
    return {**view.examples(indices), 'label': np.full(len(indices), -1, np.int32)}
