"""Tokenizers: text that decodes to what was encoded, and streams that survive a kill."""

import os

import numpy as np
import pytest
import tokenizers

from adiff.codec import tokenizers as text_lib

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
  return text_lib.subwords_from(str(path))


@pytest.fixture(params=['bytes', 'characters', 'subwords'])
def tokenizer(request, tmp_path):
  if request.param == 'subwords':
    return train_bpe(tmp_path / 'tokenizer.json')
  return text_lib.Bytes() if request.param == 'bytes' else text_lib.characters_of(ODD)


def test_odd_text_survives_the_way_there_and_back(tokenizer):
  for text in ODD:
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int32 and ids.ndim == 1
    assert tokenizer.decode(ids) == text
    assert np.all((ids >= 0) & (ids < tokenizer.size))


def test_end_of_text_is_one_symbol_more_than_text_can_have(tokenizer):
  assert tokenizer.eos == tokenizer.size == tokenizer.vocab - 1


def test_what_is_no_symbol_is_shown_and_never_raises(tokenizer):
  a = tokenizer.encode('a')[0]
  ids = [a, tokenizer.eos, -1, 10**6, a]
  assert tokenizer.decode(ids) == tokenizer.decode(np.array(ids)) == 'a\ufffd\ufffd\ufffda'
  assert tokenizer.decode([]) == ''
  rng = np.random.default_rng(0)
  assert isinstance(tokenizer.decode(rng.integers(0, tokenizer.vocab, 500)), str)


def test_bytes_are_utf_8_and_broken_ones_are_replaced():
  tokenizer = text_lib.Bytes()
  np.testing.assert_array_equal(tokenizer.encode('é!'), [0xC3, 0xA9, 0x21])
  assert tokenizer.decode([0xC3, 0x21]) == '\ufffd!'


def test_the_symbol_of_a_character_is_its_place_in_the_alphabet():
  np.testing.assert_array_equal(text_lib.Characters('zab').encode('abzz'), [1, 2, 0, 0])
  assert text_lib.characters_of(['ba', 'ca']) == text_lib.Characters('abc')
  assert text_lib.characters_of(iter(['cab'])).digest == text_lib.Characters('abc').digest


def test_a_character_that_is_not_in_the_alphabet_is_named():
  with pytest.raises(ValueError, match=r"'é' \(U\+00E9\) is not among the 3"):
    text_lib.Characters('abc').encode('abéc')
  for strange in ('aab', ''):
    with pytest.raises(ValueError, match='each once'):
      text_lib.Characters(strange)


def test_digests_tell_tokenizers_apart(tmp_path):
  digests = [t.digest for t in (
      text_lib.Bytes(), text_lib.Characters('ab'), text_lib.Characters('ba'))]
  one = train_bpe(tmp_path / 'one.json')
  two = train_bpe(tmp_path / 'two.json', ['other words, others'])
  digests += [one.digest, two.digest]
  assert len(set(digests)) == len(digests)
  assert all(len(digest) == 16 for digest in digests)


def test_mistakes_with_subwords_are_answered_in_words(tmp_path):
  path = tmp_path / 'tokenizer.json'
  train_bpe(path)
  with pytest.raises(FileNotFoundError, match='there is no file'):
    text_lib.subwords_from(str(tmp_path / 'nothing.json'))
  (tmp_path / 'bad.json').write_text('{}')
  with pytest.raises(ValueError, match='bad.json is no tokenizer'):
    text_lib.subwords_from(str(tmp_path / 'bad.json'))
  with pytest.raises(ValueError, match='256 bytes'):
    text_lib.subwords_of(ODD, 200)


def test_subwords_learnt_from_texts_are_the_same_each_time_and_shorten_them():
  texts = ['the cat and the dog and the cat'] * 5
  one, two = (text_lib.subwords_of(texts, 280) for _ in range(2))
  assert one.digest == two.digest and one.size <= 280
  ids = one.encode(texts[0])
  assert len(ids) < len(texts[0]) / 2 and one.decode(ids) == texts[0]
  assert one.decode(one.encode('naïve 👩‍🚀')) == 'naïve 👩‍🚀'


# Streams.


def expected_stream(documents, tokenizer):
  tokens, bounds = [], [0]
  for text in documents:
    tokens += [*tokenizer.encode(text), tokenizer.eos]
    bounds.append(len(tokens))
  return tokens, bounds


@pytest.mark.parametrize('limit', [10**9, 20, 0])
def test_a_stream_is_all_documents_each_with_its_end_in_memory_and_in_a_file(
    tokenizer, tmp_path, monkeypatch, limit):
  monkeypatch.setattr(text_lib, 'RAM_CHARACTERS', limit)
  stream = text_lib.tokenise(ODD, tokenizer, tmp_path / 'cache' / 'train')
  tokens, bounds = expected_stream(ODD, tokenizer)
  np.testing.assert_array_equal(stream.tokens, tokens)
  np.testing.assert_array_equal(stream.bounds, bounds)
  assert stream.tokens.dtype == np.uint16
  assert isinstance(stream.tokens, np.memmap) == (limit < 10**9)


class Many(text_lib.Bytes):
  """More symbols than two bytes hold."""

  @property
  def size(self):
    return 2**16


def test_symbols_too_many_for_two_bytes_take_four(tmp_path, monkeypatch):
  monkeypatch.setattr(text_lib, 'RAM_CHARACTERS', 0)
  for _ in range(2):
    stream = text_lib.tokenise(['ab'], Many(), tmp_path / 'train')
    np.testing.assert_array_equal(stream.tokens, [97, 98, 2**16])


def killed(documents):
  yield documents[0]
  raise KeyboardInterrupt


def test_a_killed_run_leaves_no_half_file_and_the_next_one_makes_it(tmp_path, monkeypatch):
  monkeypatch.setattr(text_lib, 'RAM_CHARACTERS', 0)
  folder, tokenizer = tmp_path / 'train', text_lib.Bytes()
  with pytest.raises(KeyboardInterrupt):
    text_lib.tokenise(killed(ODD), tokenizer, folder)
  assert list(tmp_path.iterdir()) == []
  for name in ('recent', 'old'):  # What a kill without warning leaves.
    part = tmp_path / f'train.{name}.part'
    part.mkdir()
    (part / 'tokens').write_bytes(b'half')
  for path in (part / 'tokens', part):
    os.utime(path, (0, 0))
  stream = text_lib.tokenise(ODD, tokenizer, folder)
  np.testing.assert_array_equal(stream.tokens, expected_stream(ODD, tokenizer)[0])
  assert sorted(path.name for path in tmp_path.iterdir()) == ['train', 'train.recent.part']


def test_a_finished_stream_is_read_and_no_document_is(tmp_path, monkeypatch):
  monkeypatch.setattr(text_lib, 'RAM_CHARACTERS', 0)
  one = text_lib.tokenise(ODD, text_lib.Bytes(), tmp_path / 'train')
  two = text_lib.tokenise(killed(ODD), text_lib.Bytes(), tmp_path / 'train')
  np.testing.assert_array_equal(one.tokens, two.tokens)
  np.testing.assert_array_equal(one.bounds, two.bounds)


def test_a_damaged_stream_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(text_lib, 'RAM_CHARACTERS', 0)
  text_lib.tokenise(ODD, text_lib.Bytes(), tmp_path / 'train')
  with open(tmp_path / 'train' / 'tokens', 'ab') as file:
    file.write(b'xx')
  with pytest.raises(ValueError, match='train is damaged; delete it'):
    text_lib.tokenise(ODD, text_lib.Bytes(), tmp_path / 'train')
