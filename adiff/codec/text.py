"""What text codecs share: a text becomes symbols, and symbols a text."""

import abc
import os

import numpy as np

from adiff.codec import base
from adiff.sequence import spec as spec_lib
from adiff.sequence import values

UNKNOWN = '\ufffd'
LONGEST = 4  # bytes of a character


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

  def num_bytes(self, symbols) -> int:
    """How many bytes of UTF-8 symbols int [n] stand for, whole characters or not."""
    return len(self.text(symbols).encode())

  def settled(self, symbols) -> str:
    """What symbols int [n] say whatever follows them: `text` without a character that is not yet
    whole."""
    return self.text(symbols).rstrip(UNKNOWN)

  def following(self, before, text) -> np.ndarray:
    """The symbols of `text` where it stands behind `before`, int32 [n]: those of both together
    without those of `before`. Where a symbol would span the seam, those behind `text` itself; where
    one does there, too, those of `text` alone."""
    for context in (before, text):
      head, both = self.symbols(context), self.symbols(context + text)
      if np.array_equal(both[:len(head)], head):
        return both[len(head):]
    return self.symbols(text)

  def between(self, before, symbols, after='', *, more=False) -> str:
    """What symbols int [n] say between two texts, so that all three, joined, read well.

    All are decoded together and cut, for most tokenizers begin a text otherwise than they go on
    with it. Spaces that the symbols of `before` lost, or those of `after` have besides its own, are
    set right here. more: other symbols will follow; what they may change is left out, so that the
    text of growing symbols only grows.
    """
    head = self.symbols(before)
    upto = np.concatenate([head, np.asarray(symbols, np.int32)])
    told, whole = self.text(head), self.settled(upto) if more else self.text(upto)
    said = _behind(told, whole)
    lost = _spaces(before[::-1]) - _spaces(told[::-1])
    said = said[max(0, min(lost, _spaces(said))):]
    if after:
      tail = self.following(before if before else after, after)
      rest = _behind(whole, self.text(np.concatenate([upto, tail])))
      said += rest[:max(0, _spaces(rest) - _spaces(after))]
    return said

  def pieces(self, symbols) -> list[str]:
    """The text of symbols int [n], in a piece for each; a character that several make is in the
    piece of its last one."""
    symbols, pieces = np.asarray(symbols, np.int32), []
    begin = shown = 0  # a piece is what is said behind symbols[begin:shown]
    for end in range(1, len(symbols) + 1):
      piece = _behind(self.text(symbols[begin:shown]), self.text(symbols[begin:end]))
      if piece.endswith(UNKNOWN) and end < min(shown + LONGEST, len(symbols)):
        pieces.append('')  # It may be the beginning of a character.
      else:
        pieces.append(piece)
        begin, shown = shown, end
    return pieces

  @property
  def vocab(self) -> int:
    """V, the symbols and end-of-text."""
    return self.eos + 1

  @classmethod
  def reads(cls, facts):
    return facts.medium == 'text'

  def spec(self, facts):
    (num_tokens,) = facts.shape
    values.check_row(num_tokens)
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


def _behind(told, whole):
  """The part of the text `whole` behind what it has in common with `told`."""
  return whole[len(os.path.commonprefix([told, whole])):]


def _spaces(text):
  """How many spaces a text begins with."""
  return len(text) - len(text.lstrip())
