"""Text: corpora of documents, and rows of tokens cut or packed from them.

A split is one stream of symbols, each document followed by end-of-text. Rows are cut from it
anywhere, or documents are packed into them whole.
"""

import abc
import array
import collections.abc
import contextlib
import functools
import hashlib
import os
import pathlib
import platform
import pydoc_data.topics
import threading

import numpy as np

from adiff.codec import tokenizers
from adiff.data import spec, tfds_folder

_SPLITS = ('train', 'test')
_SUFFIXES = '.txt .md .rst .tex .html .py .c .h .cc .cpp .go .rs .java .js .ts .sh .json'.split()
_CHUNK = 1024


class Corpus(abc.ABC):
  """Documents of text, by split; test is what is held out."""
  splits = _SPLITS

  @property
  @abc.abstractmethod
  def name(self):
    """The corpus in words, for reports."""

  @property
  @abc.abstractmethod
  def fingerprint(self):
    """16 hex digits that change when the text changes."""

  @abc.abstractmethod
  def documents(self, split):
    """A sequence of str, read when asked for; raises ValueError for an unknown split."""


class _Documents(collections.abc.Sequence):
  """A sequence of str behind read(list of indices) -> list of str."""

  def __init__(self, size, read):
    self._size, self._read = size, read

  def __len__(self):
    return self._size

  def __getitem__(self, index):
    if isinstance(index, slice):
      return self._read(list(range(self._size)[index]))
    return self._read([range(self._size)[index]])[0]

  def __iter__(self):
    for start in range(0, self._size, _CHUNK):
      yield from self[start:start + _CHUNK]


class PythonDocs(Corpus):
  """The language reference inside Python itself: one document a topic, some 370,000 characters.

  Every tenth topic, by name, is held out. Topics that are mostly sections of longer ones are left
  out, or held-out text would be trained on. Needs no download; differs between versions of Python.
  """

  @functools.cached_property
  def _texts(self):
    topics, seen, kept = pydoc_data.topics.topics, set(), []
    for key in sorted(topics, key=lambda key: (-len(topics[key]), key)):
      lines = [line.strip() for line in topics[key].splitlines() if line.strip()]
      if 2 * sum(line in seen for line in lines) <= len(lines):
        kept.append(key)
        seen.update(lines)
    return [topics[key] for key in sorted(kept)]

  @property
  def name(self):
    version = f'Python {platform.python_version()}'
    return f'{version} documentation (pydoc_data.topics), sha256 {self.fingerprint}'

  @functools.cached_property
  def fingerprint(self):
    return spec.digest(repr(self._texts))

  def documents(self, split):
    train = spec.check_split(split, self.splits) == 'train'
    # From the second, for these are neither the shortest topics nor the longest ones.
    return [text for i, text in enumerate(self._texts) if (i % 10 != 1) == train]


def _read(path):
  try:
    return path.read_bytes().decode('utf-8')
  except UnicodeDecodeError as error:
    raise ValueError(
        f'{path} is not UTF-8 at byte {error.start}; save it again as UTF-8') from error


class Files(Corpus):
  """A text file, or a folder of them, in UTF-8.

  A file is split by position: its first nine tenths of characters train, the rest is held out. Of
  a folder every text file below it is a document, by its suffix (.txt, .md, .rst, .py and other
  sources) and unless it is hidden, empty or not UTF-8; sorted by the hash of the relative name,
  every tenth is held out. Raises FileNotFoundError for a missing path, ValueError for no text.
  """

  def __init__(self, path):
    self._path = pathlib.Path(path).expanduser()
    if not str(path) or not self._path.exists():
      raise FileNotFoundError(
          f"there is no file or folder '{path}'; give a text file or a folder of text files")
    if self._path.is_dir():
      if len(self._digests) < 2:
        raise ValueError(f'{self._path} holds {len(self._digests)} text files in UTF-8; training '
                         'and held-out text need at least two')
    elif len(self._text) < 2:
      raise ValueError(f'{self._path} holds no text; give a file of two characters or more')

  @functools.cached_property
  def _text(self):
    return _read(self._path)

  @functools.cached_property
  def _digests(self):
    """{relative name: digest} of what a folder holds."""
    digests = {}
    for path in sorted(self._path.rglob('*')):
      name = path.relative_to(self._path)
      if path.suffix.lower() in _SUFFIXES and path.is_file() and not any(
          part.startswith('.') for part in name.parts):
        with contextlib.suppress(ValueError):
          if text := _read(path):
            digests[name.as_posix()] = spec.digest(text)
    return digests

  @property
  def name(self):
    files = f' ({len(self._digests)} files)' if self._path.is_dir() else ''
    return f'{self._path.name}{files}, sha256 {self.fingerprint}'

  @functools.cached_property
  def fingerprint(self):
    return spec.digest(repr(self._digests) if self._path.is_dir() else self._text)

  def documents(self, split):
    spec.check_split(split, self.splits)
    if not self._path.is_dir():
      cut = len(self._text) * 9 // 10
      return [self._text[:cut] if split == 'train' else self._text[cut:]]
    names = sorted(self._digests, key=lambda name: hashlib.sha256(name.encode()).digest())
    test = set(names[::10])
    names = sorted(test if split == 'test' else set(names) - test)
    return _Documents(len(names), lambda indices: [_read(self._path / names[i]) for i in indices])


class TfdsText(Corpus):
  """The feature 'text' of a TFDS folder in ArrayRecord format, read without TensorFlow.

  dataset: folder under `data_dir`, such as 'lm1b'; the newest version is taken. heldout: the split
  held out, or a sum such as 'validation+test', in that order; '' is test or else validation. Where
  every split is one document, the splits are pieces of one text, and a sum joins them into one.
  Raises FileNotFoundError for a missing folder and ValueError for a set that is not like this.
  """

  def __init__(self, dataset, data_dir, heldout=''):
    self._dataset, self._folder = dataset, tfds_folder.find(data_dir, dataset)
    self._builder = tfds_folder.builder(self._folder)
    info = self._builder.info
    tfds_folder.check_random_access(info, dataset)
    feature = info.features['text'] if 'text' in info.features else None
    if feature is None or feature.shape != () or feature.np_dtype != np.dtype(object):
      raise ValueError(f"{dataset} has no feature 'text' that is a string; choose a text data set")
    self._heldout = heldout or ('test' if 'test' in info.splits else 'validation')
    self._parts = self._heldout.split('+')
    if 'train' in self._parts or not {'train', *self._parts} <= set(info.splits):
      raise ValueError(
          f"{dataset} has the splits {', '.join(info.splits)} and cannot train on 'train' and hold "
          f"out '{self._heldout}'; set heldout to other splits it has, joined by +")

  @property
  def name(self):
    return (f'{self._dataset} {self._folder.name} (TFDS, held out: {self._heldout}), '
            f'fingerprint {self.fingerprint}')

  @functools.cached_property
  def fingerprint(self):
    return spec.digest(tfds_folder.fingerprint(self._folder, self._dataset), self._heldout)

  def documents(self, split):
    train = spec.check_split(split, self.splits) == 'train'
    records = self._builder.as_data_source('train' if train else self._heldout)

    def read(indices):
      return [item['text'].decode('utf-8') for item in records.__getitems__(indices)]

    splits = self._builder.info.splits
    if all(splits[part].num_examples == 1 for part in ('train', *self._parts)):
      return [''.join(read(range(len(records))))]
    return _Documents(len(records), read)


class _Cut:
  """Rows of N of the symbols [T], one every `stride`."""

  def __init__(self, tokens, num_tokens, stride):
    self._tokens, self._num_tokens, self._stride = tokens, num_tokens, stride
    self.size = (len(tokens) - num_tokens) // stride + 1

  def rows(self, indices):
    places = indices[:, None] * self._stride + np.arange(self._num_tokens)[None]
    return {'tokens': np.asarray(self._tokens[places], np.int32)}


class _Packed:
  """Rows of N symbols that hold documents whole, as many as fit, in order."""

  def __init__(self, stream, num_tokens, align, eos):
    self._stream, self._num_tokens, self._eos = stream, num_tokens, eos
    lengths = np.diff(stream.bounds)
    filled = -(-lengths // align) * align
    pieces = -(-filled // num_tokens)
    # Of every piece: document, place in the stream, symbols, symbols and fill.
    self._document = np.repeat(np.arange(len(lengths)), pieces)
    first = np.arange(len(self._document)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    offset = first * num_tokens
    self._start = stream.bounds[self._document] + offset
    self._length = np.minimum(lengths[self._document] - offset, num_tokens)
    self._filled = np.minimum(filled[self._document] - offset, num_tokens)
    ends = np.concatenate([[0], np.cumsum(self._filled)])
    after = np.searchsorted(ends, ends[:-1] + num_tokens, side='right') - 1
    rows = array.array('q', [0])
    while rows[-1] < len(after):
      rows.append(after[rows[-1]])
    self._rows = np.asarray(rows)
    self.size = len(rows) - 1

  def rows(self, indices):
    rows = [self._row(index) for index in indices]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

  def _row(self, index):
    pieces = np.arange(self._rows[index], self._rows[index + 1])
    filled = self._filled[pieces]
    piece = np.repeat(pieces, filled)
    place = np.arange(len(piece)) - np.repeat(np.cumsum(filled) - filled, filled)
    real = place < self._length[piece]
    tokens = np.full(len(piece), self._eos, np.int32)
    tokens[real] = self._stream.tokens[(self._start[piece] + place)[real]]
    rest = self._num_tokens - len(piece)
    pad = lambda values, value, dtype: np.append(values, np.full(rest, value)).astype(dtype)
    return {
        'tokens': pad(tokens, self._eos, np.int32),
        'segment': pad(piece - pieces[0], -1, np.int32),
        'position': np.append(place, np.arange(rest)).astype(np.int32),
        'document': pad(self._document[piece], -1, np.int32),
        'weight': pad(np.ones(len(piece)), 0, np.float32),
        'real': pad(real, 0, np.float32)}


class Text(spec.Source):
  """Rows of `num_tokens` symbols of a corpus through a tokenizer (adiff.codec.tokenizers).

  Cut (packed=False): a split is one stream, end-of-text after each document but a lone one.
  Training examples start at every symbol, so that shuffled batches are random crops; held-out
  examples follow each other and a remainder shorter than one is left out.

  Packed: documents and their end-of-text in rows, whole and in order, each filled with end-of-text
  up to a multiple of `align`; a document longer than a row is cut into pieces of a row. Rows then
  also hold, each [b, N], 'segment': int32, the piece in its row, -1 in padding; 'position': int32,
  from 0 in every segment; 'document': int32, index in corpus.documents(split), -1 in padding;
  'weight': float32, 1 but 0 in padding, which holds end-of-text; 'real': float32, 1 for the
  symbols of documents and the first end-of-text of each, 0 for fill and padding. The sum of real
  terms over 'document' is what belongs to a document.

  A large split is tokenised once, into a folder of `cache_dir` (None: adiff/text in
  $XDG_CACHE_HOME or ~/.cache). decode of the spec: int [b, N] -> list of str, each up to its first
  end-of-text. Raises ValueError for num_tokens that align does not divide, and, at the first use of
  a split, when it is shorter than a row.
  """

  def __init__(self, corpus, tokenizer, num_tokens, *, packed=False, align=1, cache_dir=None):
    if num_tokens < 1 or align < 1 or packed and num_tokens % align:
      raise ValueError(
          f'rows of {num_tokens} tokens cannot hold documents aligned to {align}; set num_tokens '
          'to a multiple of align')
    self.corpus, self.tokenizer, self.packed = corpus, tokenizer, packed
    self._num_tokens, self._align = num_tokens, align if packed else 1
    caches = pathlib.Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache') / 'adiff' / 'text'
    self._cache = pathlib.Path(cache_dir or caches).expanduser()
    self._views, self._lock = {}, threading.Lock()

  @functools.cached_property
  def spec(self):
    return spec.Spec(
        num_tokens=self._num_tokens, grid=(self._num_tokens,), vocab=self.tokenizer.vocab, dim=0,
        coords=np.arange(self._num_tokens, dtype=np.int32)[:, None], num_classes=0,
        dims=self._num_tokens, bin=None, decode=self._decode, image_levels=0)

  def _decode(self, tokens):
    tokens = np.asarray(tokens)
    ends = [np.append(np.flatnonzero(row == self.tokenizer.eos), len(row))[0] for row in tokens]
    return [self.tokenizer.decode(row[:end]) for row, end in zip(tokens, ends, strict=True)]

  @property
  def splits(self):
    return _SPLITS

  @property
  def exact(self):
    return {}

  @functools.cached_property
  def fingerprint(self):
    return spec.digest(repr((self.corpus.fingerprint, self.tokenizer.digest, self._num_tokens,
                             self.packed)))  # not align: blocks may change between two calls

  def _view(self, split):
    spec.check_split(split, self.splits)
    with self._lock:
      if split not in self._views:
        folder = self._cache / spec.digest(self.corpus.fingerprint, self.tokenizer.digest) / split
        stream = tokenizers.tokenise(self.corpus.documents(split), self.tokenizer, folder)
        if not self.packed and len(stream.bounds) == 2:  # A lone document: no end follows it.
          stream = stream._replace(tokens=stream.tokens[:-1])
        if len(stream.tokens) < self._num_tokens:
          raise ValueError(
              f"the split '{split}' of {self.corpus.name} has {len(stream.tokens)} tokens but rows "
              f'have {self._num_tokens}; set fewer tokens a row or take more text')
        self._views[split] = (
            _Packed(stream, self._num_tokens, self._align, self.tokenizer.eos) if self.packed
            else _Cut(stream.tokens, self._num_tokens, 1 if split == 'train' else self._num_tokens))
      return self._views[split]

  def size(self, split):
    return self._view(split).size

  def rows(self, split, indices):
    view, indices = self._view(split), np.asarray(indices, np.int64)
    if len(indices) and not 0 <= indices.min() <= indices.max() < view.size:
      raise IndexError(f"the split '{split}' has the examples 0 to {view.size - 1}; ask for those")
    return {**view.rows(indices), 'label': np.full(len(indices), -1, np.int32)}
