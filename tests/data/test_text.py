"""Corpora, and rows that hold every symbol of them where they say."""

import functools
import pathlib

import numpy as np
import pytest

from adiff.codec import tokenizers as codec
from adiff.data import batches
from adiff.data import text as text_lib

BYTES = codec.Bytes()


class Given(text_lib.Corpus):
  """Documents from a list; the same ones are held out."""
  name, fingerprint = 'given text', '0' * 16

  def __init__(self, *documents):
    self._documents = documents

  def documents(self, split):
    return self._documents


@functools.cache
def verses_builder():
  import tensorflow_datasets as tfds

  class Verses(tfds.core.GeneratorBasedBuilder):
    """Text; the class attribute `splits` holds {split: documents}, `feature` the feature."""
    VERSION = tfds.core.Version('1.0.0')
    splits, feature = {}, 'text'
    pkg_dir_path = pathlib.Path(__file__).parent

    def _info(self):
      return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({
          self.feature: tfds.features.Text()}))

    def _split_generators(self, dl_manager):
      return {name: self._generate_examples(texts) for name, texts in self.splits.items()}

    def _generate_examples(self, texts):
      for i, text in enumerate(texts):
        yield i, {self.feature: text}

  return Verses


def write_tfds(folder, feature='text', **splits):
  builder = verses_builder()
  builder.splits, builder.feature = splits, feature
  builder(data_dir=str(folder), file_format='array_record').download_and_prepare()
  return str(folder)


# Corpora.


def test_the_documentation_of_python_is_split_by_topic():
  corpus = text_lib.PythonDocs()
  train, test = (corpus.documents(split) for split in corpus.splits)
  assert 0.08 < len(test) / (len(train) + len(test)) < 0.12
  assert sum(map(len, train)) > 250_000
  trained = {line.strip() for text in train for line in text.splitlines()}
  for text in test:
    lines = [line.strip() for line in text.splitlines() if len(line.strip()) > 30]
    assert np.mean([line in trained for line in lines]) < 0.1
  assert corpus.name.startswith('Python 3.') and corpus.name.endswith(corpus.fingerprint)
  source = text_lib.Text(corpus, BYTES, 256)
  assert source.spec.decode(source.rows('train', [0])['tokens']) == [train[0][:256]]


def test_a_file_is_split_by_position_and_nothing_is_lost(tmp_path):
  text = 'Zwölf Boxkämpfer\r\njagen 👩‍🚀 Viktor.\n' * 3
  path = tmp_path / 'poem.txt'
  path.write_bytes(text.encode())
  corpus = text_lib.Files(path)
  (train,), (test,) = (corpus.documents(split) for split in corpus.splits)
  assert train + test == text and len(train) == len(text) * 9 // 10
  assert corpus.name == f'poem.txt, sha256 {corpus.fingerprint}'
  path.write_bytes(text.upper().encode())
  assert text_lib.Files(path).fingerprint != corpus.fingerprint


def test_a_folder_holds_each_readable_file_once_and_splits_by_name(tmp_path):
  texts = {f'{"sub/" if i % 2 else ""}{i}.{"md" if i % 3 else "py"}': f'text {i}\n'
           for i in range(25)}
  others = {'empty.txt': '', '.git/x.txt': 'hidden', 'x.bin': 'other', '.y.md': 'hidden'}
  for name, text in (texts | others).items():
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
  (tmp_path / 'latin.txt').write_bytes('é'.encode('latin-1'))
  corpus = text_lib.Files(tmp_path)
  train, test = (corpus.documents(split) for split in corpus.splits)
  assert (len(train), len(test)) == (22, 3)
  assert sorted([*train, *test]) == sorted(texts.values())
  assert [train[i] for i in range(22)] == list(train) == train[:]
  (tmp_path / 'sub/3.py').write_text('other text')
  changed = text_lib.Files(tmp_path)
  assert changed.fingerprint != corpus.fingerprint
  assert [text for text in changed.documents('test') if text != 'other text'] == [
      text for text in test if text != 'text 3\n']


def test_mistakes_with_files_are_answered_in_words(tmp_path):
  for path in (tmp_path / 'nowhere', ''):
    with pytest.raises(FileNotFoundError, match=f"no file or folder '{path}'"):
      text_lib.Files(path)
  (tmp_path / 'empty.txt').touch()
  with pytest.raises(ValueError, match='empty.txt holds no text'):
    text_lib.Files(tmp_path / 'empty.txt')
  with pytest.raises(ValueError, match='at least two'):
    text_lib.Files(tmp_path)
  (tmp_path / 'latin.txt').write_bytes(b'caf\xe9')
  with pytest.raises(ValueError, match='latin.txt is not UTF-8 at byte 3'):
    text_lib.Files(tmp_path / 'latin.txt')


def test_pieces_of_one_text_in_tfds_join_to_that_text(tmp_path):
  text = ''.join(f'Verse {i}, naïve.\n' for i in range(50))
  folder = write_tfds(tmp_path, train=[text[:500]], validation=[text[500:700]], test=[text[700:]])
  joined = text_lib.TfdsText('verses', folder, 'validation+test')
  (train,), (test,) = (joined.documents(split) for split in joined.splits)
  assert train + test == text
  swapped = text_lib.TfdsText('verses', folder, 'test+validation')
  assert list(swapped.documents('test')) == [text[700:] + text[500:700]]
  plain = text_lib.TfdsText('verses', folder)
  assert list(plain.documents('test')) == [text[700:]]
  assert len({corpus.fingerprint for corpus in (joined, swapped, plain)}) == 3
  assert 'validation+test' in joined.name


def test_documents_of_tfds_are_read_by_index_without_tensorflow(tmp_path):
  texts = [f'document {i} – ü' for i in range(30)]
  folder = write_tfds(tmp_path, train=texts[:20], validation=texts[20:26], heldout=texts[26:])
  corpus = text_lib.TfdsText('verses', folder)
  train, test = (corpus.documents(split) for split in corpus.splits)
  assert (sorted(train), sorted(test)) == (sorted(texts[:20]), sorted(texts[20:26]))
  assert [train[i] for i in (7, -1)] == [list(train)[7], list(train)[19]]
  both = text_lib.TfdsText('verses', folder, 'heldout+validation').documents('test')
  assert sorted(both[:4]) == sorted(texts[26:]) and both[4:] == list(test)


def test_mistakes_with_tfds_text_are_answered_in_words(tmp_path):
  with pytest.raises(FileNotFoundError, match='as TFDS lays it out'):
    text_lib.TfdsText('verses', tmp_path)
  write_tfds(tmp_path, train=['a'], other=['b'])
  for heldout in ('', 'other+test', 'train', 'train+other'):
    with pytest.raises(ValueError, match='verses has the splits'):
      text_lib.TfdsText('verses', tmp_path, heldout)
  assert text_lib.TfdsText('verses', tmp_path, 'other').documents('test') == ['b']
  folder = write_tfds(tmp_path / 'words', feature='words', train=['a'], test=['b'])
  with pytest.raises(ValueError, match="no feature 'text'"):
    text_lib.TfdsText('verses', folder)


# Cut rows.


def test_training_rows_are_the_text_at_every_offset():
  text = 'The quick brown fox – naïve.'
  source = text_lib.Text(Given(text), BYTES, 7)
  data = text.encode()
  assert source.size('train') == len(data) - 7 + 1
  rows = source.rows('train', np.arange(source.size('train')))
  for offset, row in enumerate(rows['tokens']):
    assert bytes(row.tolist()) == data[offset:offset + 7]
  assert rows['tokens'].dtype == np.int32
  assert rows['label'].tolist() == [-1] * source.size('train')


def test_held_out_rows_cover_the_stream_once_and_documents_end():
  documents = ('one', '', 'three and more', 'x' * 9)
  source = text_lib.Text(Given(*documents), BYTES, 4)
  stream = [symbol for text in documents for symbol in [*text.encode(), BYTES.eos]]
  assert source.size('test') == len(stream) // 4
  rows = source.rows('test', np.arange(source.size('test')))['tokens']
  assert rows.ravel().tolist() == stream[:len(stream) // 4 * 4]


def test_a_text_as_long_as_a_row_is_one_row():
  source = text_lib.Text(Given('12345678'), BYTES, 8)
  assert (source.size('train'), source.size('test')) == (1, 1)
  assert source.spec.decode(source.rows('test', [0])['tokens']) == ['12345678']


def test_decoding_stops_at_the_first_end_of_text():
  source = text_lib.Text(Given('abcdef'), BYTES, 3)
  eos = BYTES.eos
  assert source.spec.decode(np.array([[97, eos, 98], [eos, 97, 97], [97, 98, 99]])) == [
      'a', '', 'abc']
  assert (source.spec.vocab, source.spec.num_tokens, source.spec.dims) == (257, 3, 3)
  assert source.spec.coords.tolist() == [[0], [1], [2]]


def test_shuffled_batches_are_crops_of_the_text():
  text = 'abcdefghijklmnopqrstuvwxyz'
  source = text_lib.Text(Given(text), codec.characters_of([text]), 5)
  feed = batches.Batches(source, 'train', 8, seed=0)
  crops = source.spec.decode(feed.batch_at(3)['tokens'])
  assert len(crops) == 8 and all(crop in text for crop in crops)


# Packed rows.


@pytest.fixture(params=[(12, 4), (8, 8), (6, 1), (10, 5)], ids=str)
def packed(request):
  rng = np.random.default_rng(0)
  documents = [''.join(rng.choice(list('abcdefgh'), length))
               for length in [*rng.integers(0, 40, 60), 0, 7, 8, 11, 12, 24, 23]]
  num_tokens, align = request.param
  return text_lib.Text(Given(*documents), BYTES, num_tokens, packed=True, align=align), align


def all_rows(source):
  return source.rows('train', np.arange(source.size('train')))


def test_every_symbol_of_every_document_is_packed_once_with_its_end(packed):
  source, _ = packed
  rows = all_rows(source)
  real = rows['real'] == 1
  assert np.all(rows['weight'][real] == 1)
  for index, text in enumerate(source.corpus.documents('train')):
    found = rows['tokens'][real & (rows['document'] == index)]
    assert found.tolist() == [*text.encode(), BYTES.eos]
  assert np.all(rows['tokens'][~real] == BYTES.eos)


def test_no_block_holds_two_documents(packed):
  source, align = packed
  rows = all_rows(source)
  for name in ('document', 'segment', 'weight'):
    grouped = rows[name].reshape(-1, align)
    assert np.all(grouped == grouped[:, :1]), name


def test_segments_count_up_in_a_row_and_positions_restart_in_each(packed):
  source, _ = packed
  rows = all_rows(source)
  for segment, position, document in zip(
      rows['segment'], rows['position'], rows['document'], strict=True):
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
  rows = all_rows(source)
  padding = rows['segment'] == -1
  np.testing.assert_array_equal(rows['weight'], ~padding)
  np.testing.assert_array_equal(rows['document'] == -1, padding)
  lengths = [len(text) + 1 for text in source.corpus.documents('train')]
  counts = np.bincount(rows['document'][~padding])
  np.testing.assert_array_equal(counts, -(-np.array(lengths) // align) * align)


def test_packing_is_greedy_in_order_and_keeps_whole_what_fits(packed):
  source, align = packed
  rows = all_rows(source)
  width = source.spec.num_tokens
  pieces = []
  for text in source.corpus.documents('train'):
    filled = -(-(len(text) + 1) // align) * align
    pieces += [width] * (filled // width) + [filled % width] * (filled % width > 0)
  expected, row = [], []
  for piece in pieces:
    if sum(row) + piece > width:
      expected.append(row)
      row = []
    row.append(piece)
  expected.append(row)
  found = [np.bincount(segment[segment >= 0]).tolist() for segment in rows['segment']]
  assert found == expected


def test_rows_are_pure_in_their_index(packed):
  source, _ = packed
  rows = all_rows(source)
  again = source.rows('train', np.array([3, 0, 3]))
  assert rows.keys() == again.keys() == {
      'tokens', 'label', 'segment', 'position', 'document', 'weight', 'real'}
  for name in rows:
    np.testing.assert_array_equal(again[name], rows[name][[3, 0, 3]])
    assert again[name].dtype == (np.float32 if name in ('weight', 'real') else np.int32)


# Both.


@pytest.mark.parametrize('packed', [False, True])
def test_rows_from_a_file_equal_rows_from_memory(tmp_path, monkeypatch, packed):
  make = functools.partial(
      text_lib.Text, text_lib.PythonDocs(), BYTES, 64, packed=packed, align=16, cache_dir=tmp_path)
  indices = np.array([0, 5, 3])
  memory = make().rows('test', indices)
  assert list(tmp_path.iterdir()) == []
  monkeypatch.setattr(codec, 'RAM_CHARACTERS', 1000)
  for _ in range(2):
    for name, values in make().rows('test', indices).items():
      np.testing.assert_array_equal(values, memory[name])
  assert [path.name for path in tmp_path.glob('*/*')] == ['test']


def test_the_cache_lies_where_the_system_says(tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  monkeypatch.setattr(codec, 'RAM_CHARACTERS', 0)
  assert text_lib.Text(Given('some text'), BYTES, 4).size('train') == 6
  assert len(list((tmp_path / 'adiff' / 'text').glob('*/train/bounds.npy'))) == 1


def test_fingerprints_change_with_whatever_changes_a_row():
  make = functools.partial(text_lib.Text, Given('some text'))
  for packed in (False, True):  # blocks may change between two calls on one workdir
    aligned = make(BYTES, 4, packed=packed, align=2)
    assert make(BYTES, 4, packed=packed).fingerprint == aligned.fingerprint
  others = [make(BYTES, 4), make(BYTES, 8), make(codec.Characters('abc'), 4),
            make(BYTES, 4, packed=True)]
  assert len({source.fingerprint for source in others}) == len(others)


def test_mistakes_with_rows_are_answered_in_words():
  with pytest.raises(ValueError, match='a multiple of align'):
    text_lib.Text(Given('text'), BYTES, 6, packed=True, align=4)
  source = text_lib.Text(Given('text'), BYTES, 5)
  with pytest.raises(ValueError, match="'train' of given text has 4 tokens but rows have 5"):
    source.size('train')
  with pytest.raises(ValueError, match='train, test'):
    source.rows('valid', [0])
  with pytest.raises(IndexError, match='0 to 1'):
    text_lib.Text(Given('text'), BYTES, 3).rows('train', [2])
