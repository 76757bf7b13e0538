"""Pictures are read as a person sees them, or refused by name."""

import struct
import zlib

import numpy as np
import PIL.Image
import pytest
from absl import logging

from adiff.data import image_folder, pictures
from adiff.machine import input_file

SQUARE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5


def read(path, channels=3):
  return pictures.read(path, 4, channels)


def quick(path):
  """The look at the header alone."""
  with input_file.opened(path) as file:
    return pictures.check(file, path)


def png(width, height, depth=8, colour=2, data=b''):
  """The bytes of a PNG that announces a size."""
  def chunk(kind, content):
    body = kind + content
    return struct.pack('>I', len(content)) + body + struct.pack('>I', zlib.crc32(body))

  head = struct.pack('>IIBBBBB', width, height, depth, colour, 0, 0, 0)
  return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + chunk(b'IDAT', data) + chunk(b'IEND', b'')


@pytest.mark.parametrize('tag', range(1, 9))
def test_an_orientation_tag_turns_the_picture_as_viewers_do(tmp_path, tag):
  turned = {1: SQUARE, 2: SQUARE[:, ::-1], 3: SQUARE[::-1, ::-1], 4: SQUARE[::-1],
            5: SQUARE.swapaxes(0, 1), 6: np.rot90(SQUARE, -1),
            7: SQUARE[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(SQUARE)}
  exif = PIL.Image.Exif()
  exif[0x112] = tag
  PIL.Image.fromarray(SQUARE).save(tmp_path / 'a.png', exif=exif)
  np.testing.assert_array_equal(read(tmp_path / 'a.png'), turned[tag])


@pytest.mark.parametrize('order', ['<', '>'])
def test_sixteen_bits_are_scaled_to_eight(tmp_path, order):
  grey = np.array([[0, 257, 128 * 257, 65535]] * 4, f'{order}u2')
  kind = 'a.png' if order == '<' else 'a.tif'
  PIL.Image.fromarray(grey).save(tmp_path / kind)
  (tmp_path / kind).rename(tmp_path / 'a.png')
  np.testing.assert_array_equal(read(tmp_path / 'a.png', 1)[0, :, 0], [0, 1, 128, 255])
  assert read(tmp_path / 'a.png')[0, 2].tolist() == [128] * 3


def test_sixteen_bits_of_grey_are_read_from_pgm_and_with_a_transparent_value(tmp_path):
  grey = np.array([[0, 257, 128 * 257, 65535]] * 4, np.uint16)
  (tmp_path / 'a.pgm').write_bytes(b'P5 4 4 65535\n' + grey.astype('>u2').tobytes())
  np.testing.assert_array_equal(read(tmp_path / 'a.pgm', 1)[0, :, 0], [0, 1, 128, 255])
  assert quick(tmp_path / 'a.pgm').channels == 1
  PIL.Image.fromarray(grey).save(tmp_path / 'a.png', transparency=257)
  np.testing.assert_array_equal(read(tmp_path / 'a.png', 1)[0, :, 0], [0, 255, 128, 255])


@pytest.mark.parametrize('kind', ['RGBA', 'LA', 'P', 'RGB'])
def test_what_is_transparent_shows_white(tmp_path, kind):
  alpha = np.array([[0, 0, 255, 255]] * 4, np.uint8)
  if kind == 'P':
    picture = PIL.Image.fromarray(np.array([[0, 0, 1, 1]] * 4, np.uint8), 'P')
    picture.putpalette([9, 9, 9, 40, 40, 40])
    picture.save(tmp_path / 'a.png', transparency=0)
  elif kind == 'RGB':
    seen = np.where(alpha[..., None] > 0, 40, 9).astype(np.uint8).repeat(3, -1)
    PIL.Image.fromarray(seen).save(tmp_path / 'a.png', transparency=(9, 9, 9))
  else:
    dark = np.full((4, 4, len(kind) - 1), 40, np.uint8)
    PIL.Image.fromarray(np.concatenate([dark, alpha[..., None]], -1), kind).save(tmp_path / 'a.png')
  for channels in (1, 3):
    assert read(tmp_path / 'a.png', channels)[0, :, 0].tolist() == [255, 255, 40, 40]


@pytest.mark.parametrize(('dtype', 'kind'), [(np.int32, 'kind I'), (np.float32, 'kind F')])
def test_a_picture_of_numbers_without_a_range_is_refused_by_name(tmp_path, dtype, kind):
  PIL.Image.fromarray(np.full((4, 4), 7, dtype)).save(tmp_path / 'a.tif')
  (tmp_path / 'a.tif').rename(tmp_path / 'a.png')
  for reader in (read, quick):
    with pytest.raises(input_file.Unreadable, match=rf'a\.png has pixels of the {kind}'):
      reader(tmp_path / 'a.png')


def test_bombs_are_refused_by_name_before_they_are_decoded(tmp_path):
  for width, height in ((2**14, 2**13), (2**31 - 1, 2**31 - 1)):
    (tmp_path / 'a.png').write_bytes(png(width, height))
    for reader in (read, quick):
      with pytest.raises(input_file.Unreadable, match=r'a\.png'):
        reader(tmp_path / 'a.png')


def test_a_file_larger_than_any_picture_is_not_searched_for_one(tmp_path):
  PIL.Image.fromarray(SQUARE).save(tmp_path / 'a.jpg')
  with (tmp_path / 'a.jpg').open('r+b') as file:
    file.truncate(100)
    file.truncate(2**42)
  with pytest.raises(input_file.Unreadable, match=r'a\.jpg holds \d+ bytes'):
    read(tmp_path / 'a.jpg')


@pytest.mark.parametrize('content', [
  b'', b'no picture', b'<svg/>', png(0, 4), png(4, 4, depth=7), png(4, 4, data=b'nonsense'),
  png(4, 4, data=zlib.compress(bytes(20))), b'\x89PNG\r\n\x1a\n',
])
def test_a_file_that_is_no_picture_is_named(tmp_path, content):
  (tmp_path / 'a.png').write_bytes(content)
  with pytest.raises(input_file.Unreadable, match=r'a\.png is no readable image .*; remove it'):
    read(tmp_path / 'a.png')


def test_a_quick_pass_over_headers_names_the_first_that_cannot_be_read(tmp_path):
  for name in 'abc':
    PIL.Image.fromarray(SQUARE).save(tmp_path / f'{name}.png')
  source = image_folder.ImageFolder(tmp_path, 4)
  source.check()
  (tmp_path / 'b.png').write_bytes(b'no picture')
  with pytest.raises(input_file.Unreadable, match=r'b\.png'):
    source.check()


def test_what_is_hidden_is_no_class_and_what_is_no_picture_is_counted_aloud(tmp_path, monkeypatch):
  said = []
  monkeypatch.setattr(logging, 'warning', lambda text, *words: said.append(text % words))
  for folder in ('cats', 'dogs', '.ipynb_checkpoints', '__MACOSX', '.git/objects'):
    (tmp_path / folder).mkdir(parents=True)
    for name in ('1.png', '2.JPG', '._1.png'):
      PIL.Image.fromarray(SQUARE).save(tmp_path / folder / name, 'png')
  source = image_folder.ImageFolder(tmp_path, 4)
  assert source.classes == ('cats', 'dogs')
  assert source.size('train') + source.size('test') == 4 and not said
  (tmp_path / 'owls').mkdir()
  (tmp_path / 'owls' / '1.psd').write_bytes(b'')
  (tmp_path / 'cats' / 'Thumbs.db').write_bytes(b'')
  assert image_folder.ImageFolder(tmp_path, 4).classes == ('cats', 'dogs')
  (line,) = said
  for word in ('2 files', '.psd', '.db', 'owls', str(tmp_path)):
    assert word in line
  assert 'cats' not in line.split('no class')[1]


def test_names_that_are_no_text_are_read_and_split_as_others(tmp_path):
  for index in range(3):
    PIL.Image.fromarray(SQUARE).save(tmp_path / f'{index}.png')
  (tmp_path / '2.png').rename(str(tmp_path / '\udcff.png'))
  source = image_folder.ImageFolder(tmp_path, 4)
  shown = [source.examples(split, np.arange(source.size(split))) for split in source.splits]
  assert sum(len(one['example']) for one in shown) == 3 and len(source.fingerprint) == 16


def test_folders_that_are_linked_are_read_and_one_that_lies_in_itself_ends(tmp_path):
  for place in ('set/cats', 'elsewhere/inner'):
    (tmp_path / place).mkdir(parents=True)
    PIL.Image.fromarray(SQUARE).save(tmp_path / place / 'a.png')
  (tmp_path / 'set/owls').symlink_to(tmp_path / 'elsewhere')
  (tmp_path / 'elsewhere/inner/back').symlink_to(tmp_path / 'set')
  (tmp_path / 'set/self').symlink_to(tmp_path / 'set')
  assert pictures.find(tmp_path / 'set') == ['cats/a.png', 'owls/inner/a.png']
