"""One small tokenizer of every family that the library `tokenizers` knows, and ours."""

import functools
import json
import re

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from adiff.codec import bytes as bytes_lib
from adiff.codec import characters, subwords, text

TEXT = 'the cat sat on the mat. a naïve café costs 3 € or 👩‍🚀, they said'
NAMES = (
  'bytes', 'characters', 'byte_level', 'byte_level_spaced', 'metaspace', 'llama', 'wordpiece',
  'word_ends',
)


@functools.cache
def named(name) -> text.Tokenizer:
  """The tokenizer of that name; it knows every character of TEXT."""
  return {
    'bytes': bytes_lib.Bytes,
    'characters': lambda: characters.characters_of([TEXT]),
    'byte_level': lambda: _byte_level(False),
    'byte_level_spaced': lambda: _byte_level(True),
    'metaspace': _metaspace,
    'llama': _llama,
    'wordpiece': _wordpiece,
    'word_ends': _word_ends,
  }[name]()


def _learnt(model, alphabet=(), size=48, *, normalizer=None, split=None, decoder=None, **settings):
  """A BPE of single characters and a few merges."""
  tokenizer = tokenizers.Tokenizer(model)
  if normalizer is not None:
    tokenizer.normalizer = normalizer
  if split is not None:
    tokenizer.pre_tokenizer = split
  tokenizer.decoder = decoder
  tokenizer.train_from_iterator([TEXT] * 3, trainers.BpeTrainer(
    vocab_size=size, initial_alphabet=list(alphabet), show_progress=False, **settings
  ))
  return tokenizer


def _byte_level(spaced):
  """GPT-2's, and RoBERTa's, which writes a space before the first word (spaced)."""
  split = pre_tokenizers.ByteLevel(add_prefix_space=spaced)
  alphabet = pre_tokenizers.ByteLevel.alphabet()
  tokenizer = _learnt(
    models.BPE(), alphabet, 266, split=split, decoder=decoders.ByteLevel()
  )
  return subwords.Subwords(json=tokenizer.to_str())


def _metaspace():
  """T5's and XLNet's: a word begins with ▁, the first one too, and decoding drops that one."""
  tokenizer = _learnt(
    models.BPE(unk_token='<unk>'), split=pre_tokenizers.Metaspace(),
    decoder=decoders.Metaspace(), special_tokens=['<unk>'],
  )
  return subwords.Subwords(json=tokenizer.to_str())


def _llama():
  """Llama's: as Metaspace, and what is not in the vocabulary is written in bytes."""
  spaces = [normalizers.Prepend('▁'), normalizers.Replace(' ', '▁')]
  known = ''.join(re.findall('[a-z .,]', TEXT))
  learnt = tokenizers.Tokenizer(models.BPE())
  learnt.normalizer = normalizers.Sequence(spaces)
  learnt.train_from_iterator([known], trainers.BpeTrainer(vocab_size=32, show_progress=False))
  model = json.loads(learnt.to_str())['model']
  vocab = {**model['vocab'], **{f'<0x{i:02X}>': len(model['vocab']) + i for i in range(256)}}
  vocab['<unk>'] = len(vocab)
  merges = [tuple(pair) for pair in model['merges']]
  tokenizer = tokenizers.Tokenizer(
    models.BPE(vocab, merges, byte_fallback=True, unk_token='<unk>', fuse_unk=True)
  )
  tokenizer.normalizer = normalizers.Sequence(spaces)
  tokenizer.decoder = decoders.Sequence([
    decoders.Replace('▁', ' '), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(' ', 1, 0),
  ])
  return subwords.Subwords(json=tokenizer.to_str())


def _wordpiece():
  """BERT's: words have no spaces of their own, what goes on with a word begins with ##."""
  words = re.findall(r'\w+|[^\w ]', TEXT)
  pieces = {'[UNK]', *words, *TEXT.replace(' ', ''), *(f'##{letter}' for letter in TEXT)}
  vocab = {piece: index for index, piece in enumerate(sorted(pieces))}
  tokenizer = tokenizers.Tokenizer(models.WordPiece(vocab, unk_token='[UNK]'))
  tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
  tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  tokenizer.decoder = decoders.WordPiece()
  return subwords.Subwords(json=tokenizer.to_str())


def _word_ends():
  """CLIP's: the end of a word is written, </w>."""
  tokenizer = _learnt(
    models.BPE(unk_token='<unk>', end_of_word_suffix='</w>'),
    split=pre_tokenizers.WhitespaceSplit(), decoder=decoders.BPEDecoder(),
    special_tokens=['<unk>'], end_of_word_suffix='</w>',
  )
  return subwords.Subwords(json=tokenizer.to_str())
