"""Text as its characters."""

import dataclasses
import functools

import numpy as np

from adiff.codec import text as text_lib
from adiff.machine import files


@dataclasses.dataclass(frozen=True)
class Characters(text_lib.Tokenizer):
  """One symbol a character of `alphabet`; `symbols` raises ValueError for any other character."""

  alphabet: str = ''  # each symbol is the place of its character here; '': what the data has

  def __post_init__(self):
    if len(set(self.alphabet)) < len(self.alphabet):
      raise ValueError('an alphabet lists its characters, each once; leave out those that repeat')

  def fit(self, source):
    if self.alphabet:
      return self
    return characters_of(text for split in source.splits for text in source.documents(split))

  @functools.cached_property
  def _sorted(self):
    """Code points in increasing order and the symbol of each."""
    codes = _codes(self.alphabet)
    symbols = np.argsort(codes)
    return codes[symbols], symbols.astype(np.int32)

  @property
  def eos(self):
    return len(self.alphabet)

  @functools.cached_property
  def digest(self):
    return files.digest('characters', _codes(self.alphabet))

  def symbols(self, text):
    codes = _codes(text)
    known, symbols = self._sorted
    places = np.minimum(np.searchsorted(known, codes), self.eos - 1)
    strange = np.flatnonzero(known[places] != codes)
    if len(strange):
      character = text[strange[0]]
      raise ValueError(
        f'the character {character!r} (U+{ord(character):04X}) is not among the {self.eos} of '
        'the alphabet; make it with characters_of from all the text, or use Bytes'
      )
    return symbols[places]

  def text(self, symbols):
    return ''.join(
      self.alphabet[i] if 0 <= i < self.eos else text_lib.UNKNOWN
      for i in np.asarray(symbols).tolist()
    )


def _codes(text):
  """Code points uint32 [n]."""
  return np.frombuffer(text.encode('utf-32-le', 'surrogatepass'), '<u4').astype(np.uint32)


def characters_of(texts) -> Characters:
  """The `Characters` that occur in `texts`, an iterable of str; sorted, so order is no matter.
  Raises ValueError where there are none."""
  characters = set()
  for text in texts:
    characters.update(text)
  if not characters:
    raise ValueError('the texts have no characters to make an alphabet of; give some')
  return Characters(''.join(sorted(characters)))
