"""Tokenizers: text to symbols and back.

All have encode, decode, size, eos, vocab and digest. Symbols are 0 .. size - 1 and end-of-text,
`eos`, is always one more, which no text contains; vocab = size + 1.
"""

import abc
import dataclasses
import functools
import itertools
import pathlib

import numpy as np
import tokenizers

from adiff.machine import files

UNKNOWN = '\ufffd'


class Tokenizer(abc.ABC):
  """Text to int32 symbols and back."""

  @property
  @abc.abstractmethod
  def size(self) -> int:
    """Number of symbols without end-of-text."""

  @property
  @abc.abstractmethod
  def digest(self) -> str:
    """16 hex digits that change when the meaning of the symbols changes."""

  @abc.abstractmethod
  def encode(self, text) -> np.ndarray:
    """The symbols of `text`, int32 [n], without end-of-text."""

  @abc.abstractmethod
  def decode(self, ids) -> str:
    """The text of symbols int [n]; never raises: what is no symbol is shown as U+FFFD."""

  @property
  def eos(self) -> int:
    """The id of end-of-text."""
    return self.size

  @property
  def vocab(self) -> int:
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
    return files.digest('bytes')

  def encode(self, text):
    return np.frombuffer(text.encode('utf-8'), np.uint8).astype(np.int32)

  def decode(self, ids):
    unknown = UNKNOWN.encode('utf-8')
    data = b''.join(bytes([i]) if 0 <= i < 256 else unknown for i in np.asarray(ids).tolist())
    return data.decode('utf-8', errors='replace')


@dataclasses.dataclass(frozen=True)
class Characters(Tokenizer):
  """One symbol a character of `alphabet`; encode raises ValueError for any other character."""

  alphabet: str  # each symbol is the place of its character here

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
    return files.digest('characters', _codes(self.alphabet))

  def encode(self, text):
    codes = _codes(text)
    known, symbols = self._sorted
    places = np.minimum(np.searchsorted(known, codes), self.size - 1)
    strange = np.flatnonzero(known[places] != codes)
    if len(strange):
      character = text[strange[0]]
      raise ValueError(
        f'the character {character!r} (U+{ord(character):04X}) is not among the {self.size} of '
        'the alphabet; make it with characters_of from all the text, or use Bytes'
      )
    return symbols[places]

  def decode(self, ids):
    return ''.join(
      self.alphabet[i] if 0 <= i < self.size else UNKNOWN for i in np.asarray(ids).tolist()
    )


def _codes(text):
  """Code points uint32 [n]."""
  return np.frombuffer(text.encode('utf-32-le', 'surrogatepass'), '<u4').astype(np.uint32)


def characters_of(texts) -> Characters:
  """The `Characters` that occur in `texts`, an iterable of str; sorted, so order is no matter."""
  characters = set()
  for text in texts:
    characters.update(text)
  return Characters(''.join(sorted(characters)))


@dataclasses.dataclass(frozen=True)
class Subwords(Tokenizer):
  """A tokenizer of the library `tokenizers` (BPE, unigram, WordPiece).

  Its special tokens are not added, its truncation and padding are off. Whether decoding returns
  the encoded text is up to the tokenizer: byte-level BPE does.
  """

  json: str  # the text of a tokenizer.json

  @functools.cached_property
  def _tokenizer(self):
    tokenizer = tokenizers.Tokenizer.from_str(self.json)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer

  @functools.cached_property
  def _known(self):
    """The symbols there are: ids may have gaps."""
    return frozenset(self._tokenizer.get_vocab(with_added_tokens=True).values())

  @functools.cached_property
  def size(self):
    return max(self._known) + 1

  @functools.cached_property
  def digest(self):
    return files.digest('subwords', self.json)

  def encode(self, text):
    return np.array(self._tokenizer.encode(text, add_special_tokens=False).ids, np.int32)

  def decode(self, ids):
    parts = []
    for known, run in itertools.groupby(np.asarray(ids).tolist(), self._known.__contains__):
      run = list(run)
      text = self._tokenizer.decode(run, skip_special_tokens=False) if known else UNKNOWN * len(run)
      parts.append(text)
    return ''.join(parts)


def subwords_from(path) -> Subwords:
  """The `Subwords` of any file that the library saves (tokenizer.json).

  Raises FileNotFoundError for a missing file and ValueError for one that is no tokenizer.
  """
  file = pathlib.Path(path).expanduser()
  if not file.is_file():
    raise FileNotFoundError(
      f"there is no file '{path}'; give the tokenizer.json of the library tokenizers"
    )
  try:
    return Subwords(tokenizers.Tokenizer.from_file(str(file)).to_str())
  except Exception as error:  # The library raises nothing narrower.
    raise ValueError(
      f'{file} is no tokenizer; give a file saved by the library tokenizers'
    ) from error


def subwords_of(texts, size) -> Subwords:
  """A byte-level BPE (Sennrich et al. 2016, arXiv:1508.07909) of `size` symbols, learnt from texts.

  The same texts give the same tokenizer. Raises ValueError for fewer than the 256 bytes.
  """
  if size < 256:
    raise ValueError(f'subwords begin with the 256 bytes; write size=256 or more, not {size}')
  tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
  tokenizer.decoder = tokenizers.decoders.ByteLevel()
  trainer = tokenizers.trainers.BpeTrainer(
    vocab_size=size,
    show_progress=False,
    initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
  )
  tokenizer.train_from_iterator(texts, trainer)
  return Subwords(tokenizer.to_str())
