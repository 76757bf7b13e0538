"""Streams of symbols: whole in memory and in files, and they survive a kill."""

import os

import numpy as np
import pytest

from adiff.codec import bytes as bytes_lib
from adiff.codec import characters, subwords
from adiff.data import stream as stream_lib

ODD = ('', 'a', 'naïve café\r\n\ttabs\n', 'emoji 👩‍🚀🏳️‍🌈 and 𝔘𝔫𝔦',
       '\x00\x7f\u2028 \ufffd', 'ab ' * 50)


def expected_stream(documents, tokenizer):
  tokens, bounds = [], [0]
  for text in documents:
    tokens += [*tokenizer.symbols(text), tokenizer.eos]
    bounds.append(len(tokens))
  return tokens, bounds


@pytest.mark.parametrize('limit', [10**9, 20, 0])
@pytest.mark.parametrize('tokenizer', [
  bytes_lib.Bytes(), characters.characters_of(ODD), subwords.subwords_of(ODD, 270),
], ids=['bytes', 'characters', 'subwords'])
def test_a_stream_is_all_documents_each_with_its_end_in_memory_and_in_a_file(
    tokenizer, tmp_path, monkeypatch, limit):
  monkeypatch.setattr(stream_lib, 'RAM_CHARACTERS', limit)
  stream = stream_lib.tokenise(ODD, tokenizer, tmp_path / 'cache' / 'train')
  tokens, bounds = expected_stream(ODD, tokenizer)
  np.testing.assert_array_equal(stream.tokens, tokens)
  np.testing.assert_array_equal(stream.bounds, bounds)
  assert stream.tokens.dtype == np.uint16
  assert isinstance(stream.tokens, np.memmap) == (limit < 10**9)


class Many(bytes_lib.Bytes):
  """More symbols than two bytes hold."""

  @property
  def eos(self):
    return 2**16


def test_symbols_too_many_for_two_bytes_take_four(tmp_path, monkeypatch):
  monkeypatch.setattr(stream_lib, 'RAM_CHARACTERS', 0)
  for _ in range(2):
    stream = stream_lib.tokenise(['ab'], Many(), tmp_path / 'train')
    np.testing.assert_array_equal(stream.tokens, [97, 98, 2**16])


def killed(documents):
  yield documents[0]
  raise KeyboardInterrupt


def test_a_killed_run_leaves_no_half_file_and_the_next_one_makes_it(tmp_path, monkeypatch):
  monkeypatch.setattr(stream_lib, 'RAM_CHARACTERS', 0)
  folder, tokenizer = tmp_path / 'train', bytes_lib.Bytes()
  with pytest.raises(KeyboardInterrupt):
    stream_lib.tokenise(killed(ODD), tokenizer, folder)
  assert list(tmp_path.iterdir()) == []
  for name in ('00000001', '00000002'):  # What a kill without warning leaves.
    part = tmp_path / f'train.{name}.tmp'
    part.mkdir()
    (part / 'tokens').write_bytes(b'half')
  for path in (part / 'tokens', part):
    os.utime(path, (0, 0))
  stream = stream_lib.tokenise(ODD, tokenizer, folder)
  np.testing.assert_array_equal(stream.tokens, expected_stream(ODD, tokenizer)[0])
  assert sorted(path.name for path in tmp_path.iterdir()) == ['train', 'train.00000001.tmp']


def test_a_finished_stream_is_read_and_no_document_is(tmp_path, monkeypatch):
  monkeypatch.setattr(stream_lib, 'RAM_CHARACTERS', 0)
  made = stream_lib.tokenise(ODD, bytes_lib.Bytes(), tmp_path / 'train')
  again = stream_lib.tokenise(killed(ODD), bytes_lib.Bytes(), tmp_path / 'train')
  np.testing.assert_array_equal(made.tokens, again.tokens)
  np.testing.assert_array_equal(made.bounds, again.bounds)


def longer(folder):
  with open(folder / 'tokens', 'ab') as file:
    file.write(b'xx')


def bounds(values):
  return lambda folder: np.save(folder / 'bounds.npy', values)


@pytest.mark.parametrize('spoil', [
  longer, lambda folder: (folder / 'tokens').unlink(),
  lambda folder: (folder / 'bounds.npy').unlink(),
  lambda folder: os.truncate(folder / 'bounds.npy', 100),
  lambda folder: (folder / 'bounds.npy').write_bytes(b''), bounds(np.array([{}], object)),
  bounds(np.int64(5)), bounds(np.zeros(0, np.int64)), bounds(np.array([0.0, 7.0])),
  lambda folder: bounds(np.load(folder / 'bounds.npy')[::-1])(folder),
  lambda folder: bounds(np.load(folder / 'bounds.npy')[[0, 2, 1, -1]])(folder),
])
def test_a_damaged_stream_is_refused(tmp_path, monkeypatch, spoil):
  monkeypatch.setattr(stream_lib, 'RAM_CHARACTERS', 0)
  stream_lib.tokenise(ODD, bytes_lib.Bytes(), tmp_path / 'train')
  spoil(tmp_path / 'train')
  with pytest.raises(ValueError, match='train is damaged; delete it'):
    stream_lib.tokenise(ODD, bytes_lib.Bytes(), tmp_path / 'train')
