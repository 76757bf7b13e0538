"""Text as subwords of the library `tokenizers`, from a file or learnt from the data."""

import dataclasses
import functools
import itertools
import os
import re
from typing import Annotated

import numpy as np
import tokenizers
from absl import logging

from adiff.codec import text as text_lib
from adiff.machine import files, input_file, storage
from adiff.sequence import values

LONGEST = 2000  # characters of a word that subwords are learnt from
_LONG = re.compile(rf'\S{{{LONGEST}}}|\s{{{LONGEST}}}')
_MOST_BYTES = 256 * 2**20
_ADVICE = 'give a file saved by the library tokenizers'


@dataclasses.dataclass(frozen=True)
class Subwords(text_lib.Tokenizer):
  """A tokenizer of the library `tokenizers` (BPE, unigram, WordPiece); `fit` makes it.

  Its special tokens are not added, its truncation and padding are off. Whether decoding returns
  the encoded text is up to the tokenizer: byte-level BPE does.
  """

  places, files = ('path',), {'json': 'tokenizer.json'}

  path: values.Path = ''  # of a tokenizer.json; '': a byte-level BPE is learnt from the text
  size: Annotated[int, values.between(256, 2**20)] = 1024  # symbols that are learnt
  json: str = ''  # the text of a tokenizer.json, which needs no path and is not learnt

  def fit(self, source):
    if self.json:
      return self
    if self.path:
      return subwords_from(self.path)
    return subwords_of(source.documents('train'), self.size)

  @functools.cached_property
  def _tokenizer(self):
    tokenizer = _tokenizer_of(self.json, 'the tokenizer of the config')
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer

  @functools.cached_property
  def _known(self):
    """The symbols there are: ids may have gaps."""
    return frozenset(self._tokenizer.get_vocab(with_added_tokens=True).values())

  @functools.cached_property
  def eos(self):
    return max(self._known) + 1

  @functools.cached_property
  def digest(self):
    return files.digest('subwords', self.json)

  def symbols(self, text):
    return np.array(self._tokenizer.encode(text, add_special_tokens=False).ids, np.int32)

  def text(self, symbols):
    parts, last = [], []
    for known, run in itertools.groupby(np.asarray(symbols).tolist(), self._known.__contains__):
      run = list(run)
      if known:
        # A text is begun otherwise than it is gone on with, also behind what is no symbol.
        last = run if parts and not last else last
        told, whole = self._decode(last), self._decode(last + run)
        parts.append(whole[len(told):] if whole.startswith(told) else self._decode(run))
        last = run
      else:
        parts.append(text_lib.UNKNOWN * len(run))
    return ''.join(parts)

  def num_bytes(self, symbols):
    if not self._bytes:
      return super().num_bytes(symbols)
    unknown = len(text_lib.UNKNOWN.encode())
    return sum(self._bytes.get(symbol, unknown) for symbol in np.asarray(symbols).tolist())

  @functools.cached_property
  def _bytes(self):
    """{symbol: how many bytes it stands for} where each letter of the vocabulary is a byte."""
    if not isinstance(self._tokenizer.decoder, tokenizers.decoders.ByteLevel):
      return {}
    added = {one: len(token.content.encode()) for one, token in
             self._tokenizer.get_added_tokens_decoder().items()}
    vocab = self._tokenizer.get_vocab(with_added_tokens=False)
    return {one: len(token) for token, one in vocab.items()} | added

  def settled(self, symbols):
    text = super().settled(symbols)
    if self._no_byte is None:
      return text
    # A run of bytes that is no text is unknown as a whole: one more may take back what it said.
    followed = self.text([*np.asarray(symbols).tolist(), self._no_byte])
    return os.path.commonprefix([text, followed])

  @functools.cached_property
  def _no_byte(self):
    """The symbol of a byte that is in no character, where bytes are symbols of their own."""
    return self._tokenizer.token_to_id('<0xFF>')

  def _decode(self, symbols):
    return self._tokenizer.decode(symbols, skip_special_tokens=False)


def subwords_from(path) -> Subwords:
  """The `Subwords` of any file that the library saves (tokenizer.json).

  Raises FileNotFoundError for a missing file and ValueError for one that is no tokenizer.
  """
  file = storage.path(path)
  if not file.exists():
    raise FileNotFoundError(
      f"there is no file '{path}'; give the tokenizer.json of the library tokenizers"
    )
  content = input_file.read(file, limit=_MOST_BYTES)
  with input_file.told(file, 'is no tokenizer', _ADVICE):
    return Subwords(json=_tokenizer_of(content.decode('utf-8'), file).to_str())


def _tokenizer_of(text, where):
  """The library's tokenizer of the text of a tokenizer.json."""
  with input_file.told(where, 'is no tokenizer', _ADVICE):
    return tokenizers.Tokenizer.from_str(text)


def _cut(text):
  """The text in pieces, in which no word is longer than LONGEST: learning from one takes time that
  grows with its square. Says so where it cuts."""
  begin = 0
  for found in _LONG.finditer(text):
    if not begin:
      logging.warning(
        'a text has a word of more than %d characters; subwords are learnt from pieces of it',
        LONGEST,
      )
    yield text[begin:found.end()]
    begin = found.end()
  yield text[begin:]


def subwords_of(texts, size) -> Subwords:
  """A byte-level BPE (Sennrich et al. 2016, arXiv:1508.07909) of `size` symbols, learnt from texts.

  The same texts give the same tokenizer. Words of more than LONGEST characters are cut. Raises
  ValueError for fewer than the 256 bytes.
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
  tokenizer.train_from_iterator(itertools.chain.from_iterable(map(_cut, texts)), trainer)
  return Subwords(json=tokenizer.to_str())
