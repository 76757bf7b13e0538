"""What text codecs share: a text becomes symbols, and symbols a text."""

import abc

import numpy as np

from adiff.codec import base
from adiff.sequence import spec as spec_lib

UNKNOWN = '\ufffd'


class Tokenizer(base.Codec):
  """Text <-> int32 symbols.

  Symbols are 0 .. eos - 1, and end-of-text, `eos`, is always one more, which no text contains. A
  row of symbols is decoded up to its first end-of-text.
  """

  @property
  @abc.abstractmethod
  def eos(self) -> int:
    """The id of end-of-text, which is the number of other symbols."""

  @property
  @abc.abstractmethod
  def digest(self) -> str:
    """16 hex digits that change when the meaning of the symbols changes."""

  @abc.abstractmethod
  def symbols(self, text) -> np.ndarray:
    """The symbols of a str, int32 [n], without end-of-text."""

  @abc.abstractmethod
  def text(self, symbols) -> str:
    """The text of symbols int [n]; never raises: what is no symbol is shown as U+FFFD."""

  @property
  def vocab(self) -> int:
    """V, the symbols and end-of-text."""
    return self.eos + 1

  @classmethod
  def reads(cls, facts):
    return facts.medium == 'text'

  def spec(self, facts):
    (num_tokens,) = facts.shape
    return spec_lib.Spec(
      kinds=(spec_lib.Symbols(self.vocab),), num_tokens=num_tokens, grid=(num_tokens,),
      coords=np.arange(num_tokens, dtype=np.int32)[:, None], conds=facts.conds, dims=num_tokens,
      medium=facts.medium,
    )

  def encode(self, params, examples, key=None):
    """Texts -> a list of int32 [n]: texts differ in length, and data.rows cuts them into rows."""
    return [self.symbols(text) for text in examples]

  def decode(self, params, tokens):
    texts = []
    for symbols in np.asarray(tokens):
      ends = np.flatnonzero(symbols == self.eos)
      texts.append(self.text(symbols[:ends[0]] if len(ends) else symbols))
    return texts
