"""Examples of text that hold every symbol of a corpus where they say."""

import functools

import numpy as np
import pytest

from adiff.codec import bytes as bytes_lib
from adiff.codec import characters
from adiff.data import batches, corpora, rows, stream

BYTES = bytes_lib.Bytes()


class Given(corpora.Corpus):
  """Documents from a list; the same ones are held out."""

  name, fingerprint = 'given text', '0' * 16

  def __init__(self, *documents):
    self._documents = documents

  def documents(self, split):
    return self._documents


class Documents(rows.Documents):
  """A corpus that is made already."""
  corpus = None

  def __init__(self, corpus, num_tokens, packed):
    self.corpus, self.num_tokens, self.packed = corpus, num_tokens, packed


def rows_of(corpus, codec, num_tokens, *, packed=False, **how):
  return rows.Rows(Documents(corpus, num_tokens, packed), codec, **how)


# Cut examples.


def test_training_examples_are_the_text_at_every_offset():
  text = 'The quick brown fox – naïve.'
  source = rows_of(Given(text), BYTES, 7)
  data = text.encode()
  assert source.size('train') == len(data) - 7 + 1
  examples = source.examples('train', np.arange(source.size('train')))
  for offset, tokens in enumerate(examples['tokens']):
    assert bytes(tokens.tolist()) == data[offset:offset + 7]
  assert examples['tokens'].dtype == np.int32
  assert examples['label'].tolist() == [-1] * source.size('train')


def test_held_out_examples_cover_the_stream_once_and_documents_end():
  documents = ('one', '', 'three and more', 'x' * 9)
  source = rows_of(Given(*documents), BYTES, 4)
  stream = [symbol for text in documents for symbol in [*text.encode(), BYTES.eos]]
  assert source.size('test') == len(stream) // 4
  examples = source.examples('test', np.arange(source.size('test')))['tokens']
  assert examples.ravel().tolist() == stream[:len(stream) // 4 * 4]


def test_a_text_as_long_as_an_example_is_one_example():
  source = rows_of(Given('12345678'), BYTES, 8)
  assert (source.size('train'), source.size('test')) == (1, 1)
  assert source.decode(source.examples('test', [0])['tokens']) == ['12345678']


def test_decoding_stops_at_the_first_end_of_text():
  source = rows_of(Given('abcdef'), BYTES, 3)
  eos = BYTES.eos
  assert source.decode(np.array([[97, eos, 98], [eos, 97, 97], [97, 98, 99]])) == [
      'a', '', 'abc']
  assert (source.spec.kind.vocab, source.spec.num_tokens, source.spec.dims) == (257, 3, 3)
  assert source.spec.coords.tolist() == [[0], [1], [2]]


def test_shuffled_batches_are_crops_of_the_text():
  text = 'abcdefghijklmnopqrstuvwxyz'
  source = rows_of(Given(text), characters.characters_of([text]), 5)
  feed = batches.Batches(source, 'train', 8, seed=0)
  crops = source.decode(feed.batch_at(3)['tokens'])
  assert len(crops) == 8 and all(crop in text for crop in crops)


# Packed examples.


@pytest.fixture(params=[(12, 4), (8, 8), (6, 1), (10, 5)], ids=str)
def packed(request):
  rng = np.random.default_rng(0)
  documents = [''.join(rng.choice(list('abcdefgh'), length))
               for length in [*rng.integers(0, 40, 60), 0, 7, 8, 11, 12, 24, 23]]
  num_tokens, align = request.param
  return rows_of(Given(*documents), BYTES, num_tokens, packed=True, align=align), align


def all_examples(source):
  return source.examples('train', np.arange(source.size('train')))


def test_every_symbol_of_every_document_is_packed_once_with_its_end(packed):
  source, _ = packed
  examples = all_examples(source)
  real = examples['real'] == 1
  assert np.all(examples['weight'][real] == 1)
  for index, text in enumerate(source.source.documents('train')):
    symbols = examples['tokens'][real & (examples['document'] == index)]
    assert symbols.tolist() == [*text.encode(), BYTES.eos]
  assert np.all(examples['tokens'][~real] == BYTES.eos)


def test_no_block_holds_two_documents(packed):
  source, align = packed
  examples = all_examples(source)
  for name in ('document', 'segment', 'weight'):
    grouped = examples[name].reshape(-1, align)
    assert np.all(grouped == grouped[:, :1]), name


def test_segments_count_up_in_an_example_and_positions_restart_in_each(packed):
  source, _ = packed
  examples = all_examples(source)
  for segment, position, document in zip(
      examples['segment'], examples['position'], examples['document'], strict=True):
    starts = np.flatnonzero(np.append(True, segment[1:] != segment[:-1]))
    labels = segment[starts]
    count = len(labels) - (labels[-1] == -1)
    assert labels.tolist() == [*range(count), -1][:len(labels)]
    last = np.maximum.accumulate(np.where(np.isin(np.arange(len(segment)), starts),
                                          np.arange(len(segment)), 0))
    np.testing.assert_array_equal(position, np.arange(len(segment)) - last)
    assert len(set(document[starts][:count])) == count


def test_padding_has_no_weight_and_a_last_block_has_its_fill(packed):
  source, align = packed
  examples = all_examples(source)
  padding = examples['segment'] == -1
  np.testing.assert_array_equal(examples['weight'], ~padding)
  np.testing.assert_array_equal(examples['document'] == -1, padding)
  lengths = [len(text) + 1 for text in source.source.documents('train')]
  counts = np.bincount(examples['document'][~padding])
  np.testing.assert_array_equal(counts, -(-np.array(lengths) // align) * align)


def test_packing_is_greedy_in_order_and_keeps_whole_what_fits(packed):
  source, align = packed
  examples = all_examples(source)
  width = source.spec.num_tokens
  pieces = []
  for text in source.source.documents('train'):
    filled = -(-(len(text) + 1) // align) * align
    pieces += [width] * (filled // width) + [filled % width] * (filled % width > 0)
  expected, own = [], []
  for piece in pieces:
    if sum(own) + piece > width:
      expected.append(own)
      own = []
    own.append(piece)
  expected.append(own)
  packed_as = [np.bincount(segment[segment >= 0]).tolist() for segment in examples['segment']]
  assert packed_as == expected


def test_examples_are_pure_in_their_index(packed):
  source, _ = packed
  examples = all_examples(source)
  again = source.examples('train', np.array([3, 0, 3]))
  assert examples.keys() == again.keys() == {
      'tokens', 'label', 'segment', 'position', 'document', 'weight', 'real'}
  for name in examples:
    np.testing.assert_array_equal(again[name], examples[name][[3, 0, 3]])
    assert again[name].dtype == (np.float32 if name in ('weight', 'real') else np.int32)


# Both.


@pytest.mark.parametrize('packed', [False, True])
def test_examples_from_a_file_equal_those_from_memory(tmp_path, monkeypatch, packed):
  make = functools.partial(
      rows_of, corpora.PythonDocs(), BYTES, 64, packed=packed, align=16, cache_dir=tmp_path)
  indices = np.array([0, 5, 3])
  memory = make().examples('test', indices)
  assert list(tmp_path.iterdir()) == []
  monkeypatch.setattr(stream, 'RAM_CHARACTERS', 1000)
  for _ in range(2):
    for name, values in make().examples('test', indices).items():
      np.testing.assert_array_equal(values, memory[name])
  assert [path.name for path in tmp_path.glob('*/*')] == ['test']


def test_the_cache_lies_where_the_system_says(tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  monkeypatch.setattr(stream, 'RAM_CHARACTERS', 0)
  assert rows_of(Given('some text'), BYTES, 4).size('train') == 6
  assert len(list((tmp_path / 'adiff' / 'text').glob('*/train/bounds.npy'))) == 1


def test_fingerprints_change_with_whatever_changes_an_example():
  make = functools.partial(rows_of, Given('some text'))
  for packed in (False, True):  # blocks may change between two calls on one workdir
    aligned = make(BYTES, 4, packed=packed, align=2)
    assert make(BYTES, 4, packed=packed).fingerprint == aligned.fingerprint
  others = [make(BYTES, 4), make(BYTES, 8), make(characters.Characters('abc'), 4),
            make(BYTES, 4, packed=True)]
  assert len({source.fingerprint for source in others}) == len(others)


def test_mistakes_with_examples_are_answered_in_words():
  with pytest.raises(ValueError, match='a multiple of align'):
    rows_of(Given('text'), BYTES, 6, packed=True, align=4)
  source = rows_of(Given('text'), BYTES, 5)
  with pytest.raises(ValueError, match="'train' of given text has 4 tokens but examples have 5"):
    source.size('train')
  with pytest.raises(ValueError, match='train, test'):
    source.examples('valid', [0])
  with pytest.raises(IndexError, match='0 to 1'):
    rows_of(Given('text'), BYTES, 3).examples('train', [2])
