"""Corpora: every document once, in the split that it belongs to."""

import functools
import pathlib

import numpy as np
import pytest

from adiff.data import corpora


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


def test_the_documentation_of_python_is_split_by_topic():
  corpus = corpora.PythonDocs()
  train, test = (corpus.documents(split) for split in corpus.splits)
  assert 0.08 < len(test) / (len(train) + len(test)) < 0.12
  assert sum(map(len, train)) > 250_000
  trained = {line.strip() for text in train for line in text.splitlines()}
  for text in test:
    lines = [line.strip() for line in text.splitlines() if len(line.strip()) > 30]
    assert np.mean([line in trained for line in lines]) < 0.1
  assert corpus.name.startswith('Python 3.') and corpus.name.endswith(corpus.fingerprint)


def test_a_file_is_split_by_position_and_nothing_is_lost(tmp_path):
  text = 'Zwölf Boxkämpfer\r\njagen 👩‍🚀 Viktor.\n' * 3
  path = tmp_path / 'poem.txt'
  path.write_bytes(text.encode())
  corpus = corpora.Files(path)
  (train,), (test,) = (corpus.documents(split) for split in corpus.splits)
  assert train + test == text and len(train) == len(text) * 9 // 10
  assert corpus.name == f'poem.txt, sha256 {corpus.fingerprint}'
  path.write_bytes(text.upper().encode())
  assert corpora.Files(path).fingerprint != corpus.fingerprint


def test_a_folder_holds_each_readable_file_once_and_splits_by_name(tmp_path):
  texts = {f'{"sub/" if i % 2 else ""}{i}.{"md" if i % 3 else "py"}': f'text {i}\n'
           for i in range(25)}
  others = {'empty.txt': '', '.git/x.txt': 'hidden', 'x.bin': 'other', '.y.md': 'hidden'}
  for name, text in (texts | others).items():
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
  (tmp_path / 'latin.txt').write_bytes('é'.encode('latin-1'))
  corpus = corpora.Files(tmp_path)
  train, test = (corpus.documents(split) for split in corpus.splits)
  assert (len(train), len(test)) == (22, 3)
  assert sorted([*train, *test]) == sorted(texts.values())
  assert [train[i] for i in range(22)] == list(train) == train[:]
  (tmp_path / 'sub/3.py').write_text('other text')
  changed = corpora.Files(tmp_path)
  assert changed.fingerprint != corpus.fingerprint
  assert [text for text in changed.documents('test') if text != 'other text'] == [
      text for text in test if text != 'text 3\n']


def test_mistakes_with_files_are_answered_in_words(tmp_path):
  for path in (tmp_path / 'nowhere', ''):
    with pytest.raises(FileNotFoundError, match=f"no file or folder '{path}'"):
      corpora.Files(path)
  (tmp_path / 'empty.txt').touch()
  with pytest.raises(ValueError, match='empty.txt holds no text'):
    corpora.Files(tmp_path / 'empty.txt')
  with pytest.raises(ValueError, match='at least two'):
    corpora.Files(tmp_path)
  (tmp_path / 'latin.txt').write_bytes(b'caf\xe9')
  with pytest.raises(ValueError, match='latin.txt is not UTF-8 at byte 3'):
    corpora.Files(tmp_path / 'latin.txt')


def test_pieces_of_one_text_in_tfds_join_to_that_text(tmp_path):
  text = ''.join(f'Verse {i}, naïve.\n' for i in range(50))
  folder = write_tfds(tmp_path, train=[text[:500]], validation=[text[500:700]], test=[text[700:]])
  joined = corpora.TfdsText('verses', folder, 'validation+test')
  (train,), (test,) = (joined.documents(split) for split in joined.splits)
  assert train + test == text
  swapped = corpora.TfdsText('verses', folder, 'test+validation')
  assert list(swapped.documents('test')) == [text[700:] + text[500:700]]
  plain = corpora.TfdsText('verses', folder)
  assert list(plain.documents('test')) == [text[700:]]
  assert len({corpus.fingerprint for corpus in (joined, swapped, plain)}) == 3
  assert 'validation+test' in joined.name


def test_documents_of_tfds_are_read_by_index_without_tensorflow(tmp_path):
  texts = [f'document {i} – ü' for i in range(30)]
  folder = write_tfds(tmp_path, train=texts[:20], validation=texts[20:26], heldout=texts[26:])
  corpus = corpora.TfdsText('verses', folder)
  train, test = (corpus.documents(split) for split in corpus.splits)
  assert (sorted(train), sorted(test)) == (sorted(texts[:20]), sorted(texts[20:26]))
  assert [train[i] for i in (7, -1)] == [list(train)[7], list(train)[19]]
  both = corpora.TfdsText('verses', folder, 'heldout+validation').documents('test')
  assert sorted(both[:4]) == sorted(texts[26:]) and both[4:] == list(test)


def test_mistakes_with_tfds_text_are_answered_in_words(tmp_path):
  with pytest.raises(FileNotFoundError, match='as TFDS lays it out'):
    corpora.TfdsText('verses', tmp_path)
  write_tfds(tmp_path, train=['a'], other=['b'])
  for heldout in ('', 'other+test', 'train', 'train+other'):
    with pytest.raises(ValueError, match='verses has the splits'):
      corpora.TfdsText('verses', tmp_path, heldout)
  assert corpora.TfdsText('verses', tmp_path, 'other').documents('test') == ['b']
  folder = write_tfds(tmp_path / 'words', feature='words', train=['a'], test=['b'])
  with pytest.raises(ValueError, match="no feature 'text'"):
    corpora.TfdsText('verses', folder)
