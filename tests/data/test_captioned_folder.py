"""Pictures with captions: what is read, and every line that cannot be, in a sentence."""

import json

import numpy as np
import PIL.Image
import pytest

from adiff.data import captioned_folder
from adiff.judge import captioned
from adiff.machine import input_file


def written(folder, lines, pictures=('a.png', 'b.png', 'c.png')):
  folder.mkdir(parents=True, exist_ok=True)
  for index, name in enumerate(pictures):
    PIL.Image.new('RGB', (8, 8), (40 * index, 0, 255)).save(folder / name)
  lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines]
  (folder / 'metadata.jsonl').write_bytes(b'\n'.join(lines))
  return str(folder)


def line(name, text='a picture', **more):
  return {'file_name': name, 'text': text, **more}


def test_captions_stand_beside_their_pictures_in_either_layout(tmp_path):
  lines = [line('a.png', 'die Tür'), line('b.png', category='x'), line('c.png', ' last ')]
  one = captioned_folder.CaptionedFolder(written(tmp_path / 'one', lines), size=8, length=12)
  assert one.size('train') + one.size('test') == 3 and one.size('test') == 1
  captions = one.captions('train') + one.captions('test')
  assert sorted(captions) == ['a picture', 'die Tür', 'last']  # without a break behind the last one
  for split in ('train', 'test'):
    written(tmp_path / 'two' / split, lines[:2])
  two = captioned_folder.CaptionedFolder(str(tmp_path / 'two'), size=8, length=12)
  example = two.examples('test', np.array([1, 0]))['example']
  assert captioned.words(example['text']) == ['a picture', 'die Tür']
  assert example['image'][0, 0, 0].tolist() == [40, 0, 255] and example['text'].max() < 257
  two.check()
  text = two.part('text').examples('test', np.array([1]))['example']
  np.testing.assert_array_equal(text, example['text'][:1])
  assert two.facts.parts['text'].shape == example['text'].shape[1:]


def test_categories_are_labels_that_no_network_is_told_and_every_line_has_one(tmp_path):
  for split, words in (('train', 'zba'), ('test', 'ab')):
    written(tmp_path / split, [line(f'{name}.png', sort=word) for name, word in zip('abc', words)])
  source = captioned_folder.CaptionedFolder(str(tmp_path), size=8, length=12, category='sort')
  assert source.examples('train', np.arange(3))['label'].tolist() == [2, 1, 0]
  assert source.examples('test', np.array([1]))['label'].tolist() == [1]
  assert not source.facts.conds
  plain = captioned_folder.CaptionedFolder(str(tmp_path), size=8, length=12)
  assert plain.examples('test', np.arange(2))['label'].tolist() == [-1, -1]
  assert plain.fingerprint == source.fingerprint
  with pytest.raises(input_file.Unreadable, match='line 1 of .* has no kind; correct it or delete'):
    captioned_folder.CaptionedFolder(str(tmp_path), size=8, length=12, category='kind')
  with pytest.raises(ValueError, match=r"data.category='sort\?' ends in \?; write another"):
    captioned_folder.CaptionedFolder(str(tmp_path), size=8, length=12, category='sort?')
  empty = written(tmp_path / 'empty', [line('a.png', sort='x'), line('b.png', sort=' ')])
  with pytest.raises(input_file.Unreadable, match='line 2 of .* has an empty sort; correct it'):
    captioned_folder.CaptionedFolder(empty, category='sort')


@pytest.mark.parametrize('bad, words', [
  (b'{"file_name": "b.png"', r'line 2 of .*metadata.jsonl is not JSON .*; correct it or delete'),
  (b'{"file_name": "b.png", "text": "\xff"}', 'line 2 of .* is not JSON'),
  ({'file_name': 'b.png'}, 'line 2 of .* has no text; correct it or delete that line'),
  ({'text': 'b'}, 'has no file_name'),
  (line('b.png', 3), 'holds 3 as text where a text must be'),
  (line('b.png', ' '), "has no caption of 'b.png'; write one, or delete that line"),
  (line('a.png'), "names 'a.png' for the second time; delete one of the two lines"),
  (line('./a.png'), "names './a.png' for the second time; delete one of the two lines"),
  (line('d.png'), "names 'd.png', which is not there"),
  (line('../a.png'), "names '../a.png', which does not lie beside it"),
  (line('b.png', 'ü' * 40), 'has a caption of 80 bytes and there is room for 64'),
])
def test_a_line_that_cannot_be_used_is_told_with_its_number(tmp_path, bad, words):
  with pytest.raises(input_file.Unreadable, match=words):
    captioned_folder.CaptionedFolder(written(tmp_path, [line('a.png'), bad]))


def test_missing_files_and_torn_pictures_are_told(tmp_path):
  with pytest.raises(FileNotFoundError, match='there is no file .*metadata.jsonl; write a line'):
    captioned_folder.CaptionedFolder(str(tmp_path))
  with pytest.raises(input_file.Unreadable, match='leaves no picture for train'):
    captioned_folder.CaptionedFolder(written(tmp_path / 'few', [line('a.png')]))
  place = written(tmp_path / 'torn', [line('a.png'), line('b.png'), line('c.png')])
  for name in 'abc':
    (tmp_path / 'torn' / f'{name}.png').write_bytes(b'no picture')
  source = captioned_folder.CaptionedFolder(place)
  for read in (source.check, lambda: source.examples('train', [0])):
    with pytest.raises(input_file.Unreadable, match=r'\.png is no readable image'):
      read()
