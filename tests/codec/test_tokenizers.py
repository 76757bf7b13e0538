"""Tokenizers: text that decodes to what was encoded."""

import time

import numpy as np
import pytest
import tokenizers

from adiff.codec import base, characters, subwords
from adiff.codec import bytes as bytes_lib

ODD = ('', 'a', 'naïve café\r\n\ttabs\n', 'emoji 👩‍🚀🏳️‍🌈 and 𝔘𝔫𝔦',
       '\x00\x7f\u2028 \ufffd', 'ab ' * 50)


def train_bpe(path, texts=ODD, **settings):
  tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
  tokenizer.decoder = tokenizers.decoders.ByteLevel()
  alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
  tokenizer.train_from_iterator(texts, tokenizers.trainers.BpeTrainer(
      vocab_size=270, initial_alphabet=alphabet, special_tokens=['<s>'], show_progress=False))
  tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
      single='<s> $A', special_tokens=[('<s>', tokenizer.token_to_id('<s>'))])
  tokenizer.enable_truncation(4)
  tokenizer.enable_padding(length=4)
  tokenizer.save(str(path))
  return subwords.subwords_from(str(path))


@pytest.fixture(params=['bytes', 'characters', 'subwords'])
def tokenizer(request, tmp_path):
  if request.param == 'subwords':
    return train_bpe(tmp_path / 'tokenizer.json')
  return bytes_lib.Bytes() if request.param == 'bytes' else characters.characters_of(ODD)


def test_odd_text_survives_the_way_there_and_back(tokenizer):
  for text in ODD:
    ids = tokenizer.symbols(text)
    assert ids.dtype == np.int32 and ids.ndim == 1
    assert tokenizer.text(ids) == text
    assert np.all((ids >= 0) & (ids < tokenizer.eos))


def test_pieces_of_a_text_have_its_bytes_also_where_they_cut_a_character(tokenizer):
  for text in (*ODD, 'Привет, 世界'):
    if isinstance(tokenizer, characters.Characters) and text not in ODD:
      continue
    ids = tokenizer.symbols(text)
    for cut in range(len(ids) + 1):
      both = tokenizer.num_bytes(ids[:cut]) + tokenizer.num_bytes(ids[cut:])
      assert both == len(text.encode())


def test_end_of_text_is_one_symbol_more_than_text_can_have(tokenizer):
  assert tokenizer.eos == tokenizer.vocab - 1
  facts = tokenizer.spec(base.Facts('text', (9,)))
  assert (facts.kind.vocab, facts.num_tokens, facts.dims) == (tokenizer.vocab, 9, 9)


def test_what_is_no_symbol_is_shown_and_never_raises(tokenizer):
  a = tokenizer.symbols('a')[0]
  ids = [a, tokenizer.eos, -1, 10**6, a]
  assert tokenizer.text(ids) == tokenizer.text(np.array(ids)) == 'a\ufffd\ufffd\ufffda'
  assert tokenizer.text([]) == ''
  rng = np.random.default_rng(0)
  assert isinstance(tokenizer.text(rng.integers(0, tokenizer.vocab, 500)), str)


def test_bytes_are_utf_8_and_broken_ones_are_replaced():
  tokenizer = bytes_lib.Bytes()
  np.testing.assert_array_equal(tokenizer.symbols('é!'), [0xC3, 0xA9, 0x21])
  assert tokenizer.text([0xC3, 0x21]) == '\ufffd!'


def test_the_symbol_of_a_character_is_its_place_in_the_alphabet():
  np.testing.assert_array_equal(characters.Characters('zab').symbols('abzz'), [1, 2, 0, 0])
  assert characters.characters_of(['ba', 'ca']) == characters.Characters('abc')
  assert characters.characters_of(iter(['cab'])).digest == characters.Characters('abc').digest


def test_a_character_that_is_not_in_the_alphabet_is_named():
  with pytest.raises(ValueError, match=r"'é' \(U\+00E9\) is not among the 3"):
    characters.Characters('abc').symbols('abéc')
  with pytest.raises(ValueError, match='each once'):
    characters.Characters('aab')
  with pytest.raises(ValueError, match='no characters'):
    characters.characters_of(['', ''])


def test_digests_tell_tokenizers_apart(tmp_path):
  digests = [t.digest for t in (
      bytes_lib.Bytes(), characters.Characters('ab'), characters.Characters('ba'))]
  one = train_bpe(tmp_path / 'one.json')
  two = train_bpe(tmp_path / 'two.json', ['other words, others'])
  digests += [one.digest, two.digest]
  assert len(set(digests)) == len(digests)
  assert all(len(digest) == 16 for digest in digests)


def test_mistakes_with_subwords_are_answered_in_words(tmp_path):
  path = tmp_path / 'tokenizer.json'
  train_bpe(path)
  with pytest.raises(FileNotFoundError, match='there is no file'):
    subwords.subwords_from(str(tmp_path / 'nothing.json'))
  (tmp_path / 'bad.json').write_text('{}')
  with pytest.raises(ValueError, match='bad.json is no tokenizer'):
    subwords.subwords_from(str(tmp_path / 'bad.json'))
  with pytest.raises(ValueError, match='256 bytes'):
    subwords.subwords_of(ODD, 200)


def test_subwords_learnt_from_texts_are_the_same_each_time_and_shorten_them():
  texts = ['the cat and the dog and the cat'] * 5
  one, two = (subwords.subwords_of(texts, 280) for _ in range(2))
  assert one.digest == two.digest and one.eos <= 280
  ids = one.symbols(texts[0])
  assert len(ids) < len(texts[0]) / 2 and one.text(ids) == texts[0]
  assert one.text(one.symbols('naïve 👩‍🚀')) == 'naïve 👩‍🚀'


@pytest.mark.parametrize('text', ['ab' * 20_000, 'a' * 40_000, ' ' * 40_000, 'x ' + 'cd' * 20_000])
def test_one_long_word_is_learnt_from_in_pieces_and_said_so(text, caplog):
  began = time.perf_counter()
  learnt = subwords.subwords_of([text], 300)
  assert time.perf_counter() - began < 5 and 'more than 2000 characters' in caplog.text
  assert learnt.text(learnt.symbols(text)) == text


def test_texts_of_ordinary_words_are_learnt_from_whole(caplog):
  text = 'the cat sat on the mat. ' * 400
  assert list(subwords._cut(text)) == [text] and not caplog.text
  edge = 'a' * (subwords.LONGEST - 1) + ' ' + 'b' * (subwords.LONGEST - 1)
  assert list(subwords._cut(edge)) == [edge]
  assert ''.join(subwords._cut('word ' + 'a' * 5000 + ' end')) == 'word ' + 'a' * 5000 + ' end'
