"""Tokenizers: text to symbols and back, and whole corpora to one stream of symbols.

All have encode, decode, size, eos, vocab and digest. Symbols are 0 .. size - 1 and end-of-text,
`eos`, is always one more, which no text contains; vocab = size + 1.
"""

import abc
import array
import contextlib
import dataclasses
import functools
import itertools
import os
import pathlib
import shutil
import tempfile
import time
from typing import NamedTuple

import numpy as np
import tokenizers
import tqdm

from adiff.data import spec

UNKNOWN = '\ufffd'
RAM_CHARACTERS = 64 * 2**20
_STALE_SECONDS = 86400


class Tokenizer(abc.ABC):
  """Text to int32 symbols and back."""

  @property
  @abc.abstractmethod
  def size(self):
    """Number of symbols without end-of-text."""

  @property
  @abc.abstractmethod
  def digest(self):
    """16 hex digits that change when the meaning of the symbols changes."""

  @abc.abstractmethod
  def encode(self, text):
    """The symbols of `text`, int32 [n], without end-of-text."""

  @abc.abstractmethod
  def decode(self, ids):
    """The text of symbols int [n]; never raises: what is no symbol is shown as U+FFFD."""

  @property
  def eos(self):
    """The id of end-of-text."""
    return self.size

  @property
  def vocab(self):
    """V, the symbols and end-of-text."""
    return self.size + 1


@dataclasses.dataclass(frozen=True)
class Bytes(Tokenizer):
  """The 256 bytes of UTF-8."""

  @property
  def size(self):
    return 256

  @property
  def digest(self):
    return spec.digest('bytes')

  def encode(self, text):
    return np.frombuffer(text.encode('utf-8'), np.uint8).astype(np.int32)

  def decode(self, ids):
    unknown = UNKNOWN.encode('utf-8')
    data = b''.join(bytes([i]) if 0 <= i < 256 else unknown for i in np.asarray(ids).tolist())
    return data.decode('utf-8', errors='replace')


@dataclasses.dataclass(frozen=True)
class Characters(Tokenizer):
  """One symbol a character of `alphabet`; encode raises ValueError for any other character."""
  alphabet: str

  def __post_init__(self):
    if not self.alphabet or len(set(self.alphabet)) < len(self.alphabet):
      raise ValueError('an alphabet lists one or more characters, each once; use characters_of')

  @functools.cached_property
  def _sorted(self):
    """Code points in increasing order and the symbol of each."""
    codes = _codes(self.alphabet)
    symbols = np.argsort(codes)
    return codes[symbols], symbols.astype(np.int32)

  @property
  def size(self):
    return len(self.alphabet)

  @functools.cached_property
  def digest(self):
    return spec.digest('characters', _codes(self.alphabet))

  def encode(self, text):
    codes = _codes(text)
    known, symbols = self._sorted
    places = np.minimum(np.searchsorted(known, codes), self.size - 1)
    strange = np.flatnonzero(known[places] != codes)
    if len(strange):
      character = text[strange[0]]
      raise ValueError(
          f'the character {character!r} (U+{ord(character):04X}) is not among the {self.size} of '
          'the alphabet; make it with characters_of from all the text, or use Bytes')
    return symbols[places]

  def decode(self, ids):
    return ''.join(
        self.alphabet[i] if 0 <= i < self.size else UNKNOWN for i in np.asarray(ids).tolist())


def _codes(text):
  """Code points uint32 [n]."""
  return np.frombuffer(text.encode('utf-32-le', 'surrogatepass'), '<u4').astype(np.uint32)


def characters_of(texts):
  """The `Characters` that occur in `texts`, an iterable of str; sorted, so order is no matter."""
  found = set()
  for text in texts:
    found.update(text)
  return Characters(''.join(sorted(found)))


@dataclasses.dataclass(frozen=True)
class Subwords(Tokenizer):
  """A tokenizer of the library `tokenizers` (BPE, unigram, WordPiece), as its JSON text.

  Its special tokens are not added, its truncation and padding are off. Whether decoding returns
  the encoded text is up to the tokenizer: byte-level BPE does.
  """
  json: str

  @functools.cached_property
  def _tokenizer(self):
    tokenizer = tokenizers.Tokenizer.from_str(self.json)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer

  @functools.cached_property
  def _known(self):
    return frozenset(self._tokenizer.get_vocab(with_added_tokens=True).values())

  @functools.cached_property
  def size(self):
    return max(self._known) + 1

  @functools.cached_property
  def digest(self):
    return spec.digest('subwords', self.json)

  def encode(self, text):
    return np.array(self._tokenizer.encode(text, add_special_tokens=False).ids, np.int32)

  def decode(self, ids):
    runs = itertools.groupby(np.asarray(ids).tolist(), self._known.__contains__)
    return ''.join(
        self._tokenizer.decode(list(run), skip_special_tokens=False) if known
        else UNKNOWN * len(list(run)) for known, run in runs)


def subwords_from(path):
  """The `Subwords` of any file that the library saves (tokenizer.json).

  Raises FileNotFoundError for a missing file and ValueError for one that is no tokenizer.
  """
  file = pathlib.Path(path).expanduser()
  if not file.is_file():
    raise FileNotFoundError(
        f"there is no file '{path}'; give the tokenizer.json of the library tokenizers")
  try:
    return Subwords(tokenizers.Tokenizer.from_file(str(file)).to_str())
  except Exception as error:  # The library raises nothing narrower.
    raise ValueError(
        f'{file} is no tokenizer; give a file saved by the library tokenizers') from error


def subwords_of(texts, size):
  """A byte-level BPE (Sennrich et al. 2016, arXiv:1508.07909) of `size` symbols, learnt from texts.

  The same texts give the same tokenizer. Raises ValueError for fewer than the 256 bytes.
  """
  if size < 256:
    raise ValueError(f'subwords begin with the 256 bytes; write size=256 or more, not {size}')
  tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
  tokenizer.decoder = tokenizers.decoders.ByteLevel()
  tokenizer.train_from_iterator(texts, tokenizers.trainers.BpeTrainer(
      vocab_size=size, show_progress=False,
      initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()))
  return Subwords(tokenizer.to_str())


class Stream(NamedTuple):
  """Symbols [T] of all documents, end-of-text after each; document d is bounds[d]:bounds[d + 1]."""
  tokens: np.ndarray
  bounds: np.ndarray


def _load(folder, dtype):
  bounds = np.load(folder / 'bounds.npy')
  if (folder / 'tokens').stat().st_size != bounds[-1] * np.dtype(dtype).itemsize:
    raise ValueError(f'{folder} is damaged; delete it, and it is made again')
  return Stream(np.memmap(folder / 'tokens', dtype, mode='r'), bounds)


def _new_part(folder):
  """An empty folder of a unique name beside `folder`; removes what killed runs left long ago."""
  folder.parent.mkdir(parents=True, exist_ok=True)
  for part in folder.parent.glob(f'{folder.name}.*.part'):
    with contextlib.suppress(FileNotFoundError):
      if time.time() - max(p.stat().st_mtime for p in (part, *part.iterdir())) > _STALE_SECONDS:
        shutil.rmtree(part, ignore_errors=True)
  return pathlib.Path(tempfile.mkdtemp(prefix=f'{folder.name}.', suffix='.part', dir=folder.parent))


def tokenise(documents, tokenizer, folder):
  """The `Stream` of documents: in memory, or above RAM_CHARACTERS in files of `folder`.

  The folder, a pathlib.Path, is written under another name and renamed when complete; when it is
  there, it is read and no document is. Raises ValueError for a damaged folder.
  """
  dtype = np.uint16 if tokenizer.vocab <= 2**16 else np.uint32
  if folder.is_dir():
    return _load(folder, dtype)
  lengths, pending, waiting, part = array.array('q', [0]), [np.empty(0, dtype)], 0, None
  try:
    for text in tqdm.tqdm(documents, 'tokenise', unit='document', delay=3, dynamic_ncols=True):
      ids = tokenizer.encode(text)
      lengths.append(len(ids) + 1)
      pending += [ids.astype(dtype), np.array([tokenizer.eos], dtype)]
      waiting += len(text) + 1
      if waiting > RAM_CHARACTERS:
        part = part or _new_part(folder)
        with open(part / 'tokens', 'ab') as file:
          np.concatenate(pending).tofile(file)
        pending, waiting = [np.empty(0, dtype)], 0
    bounds = np.cumsum(np.asarray(lengths, np.int64))
    if part is None:
      return Stream(np.concatenate(pending), bounds)
    with open(part / 'tokens', 'ab') as file:
      np.concatenate(pending).tofile(file)
    np.save(part / 'bounds.npy', bounds)
    with contextlib.suppress(OSError):  # Another process was first.
      os.rename(part, folder)
    return _load(folder, dtype)
  finally:
    if part is not None:
      shutil.rmtree(part, ignore_errors=True)
