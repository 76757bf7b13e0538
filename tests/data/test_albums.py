"""Pictures in a folder, in its zip, and in a file of an array: one set, read in one way."""

import io
import struct
import zipfile

import numpy as np
import PIL.Image
import pytest

from adiff.data import albums, image_folder, pictures
from adiff.machine import input_file

TWO = np.zeros((2, 4, 4), np.uint8)
COLOURS = np.arange(12, dtype=np.uint8) * 20
NAMES = [f'{folder}/{index}.png' for folder in ('cats', 'owls') for index in range(6)]


def png(colour, kind='png', size=(6, 4)):
  """The bytes of a picture of one colour."""
  file = io.BytesIO()
  PIL.Image.new('RGB', size, (int(colour),) * 3).save(file, kind)
  return file.getvalue()


def pack(path, members, *, how=zipfile.ZIP_DEFLATED):
  with zipfile.ZipFile(path, 'w', how) as archive:
    for name, content in members.items():
      archive.writestr(name, content)
  return path


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Twelve pictures of two classes."""
  root = tmp_path_factory.mktemp('folder')
  for name, colour in zip(NAMES, COLOURS, strict=True):
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_bytes(png(colour))
  return root


def zipped(folder, path, prefix=''):
  return pack(path, {prefix + name: (folder / name).read_bytes() for name in NAMES})


def everything(place, **more):
  """What a source gives, and what it says of itself."""
  source = image_folder.ImageFolder(str(place), 4, **more)
  source.check()
  read = [source.examples(split, np.arange(source.size(split))) for split in source.splits]
  return source, {key: np.concatenate([one[key] for one in read]) for key in ('example', 'label')}


@pytest.mark.parametrize('prefix', ['', 'pets/', 'home/pets/'])
def test_a_folder_and_its_zip_are_one_set(folder, tmp_path, prefix):
  theirs, read = everything(folder)
  ours, unpacked = everything(zipped(folder, tmp_path / 'pets.zip', prefix))
  assert ours.fingerprint == theirs.fingerprint
  assert ours.classes == theirs.classes == ('cats', 'owls')
  for key in read:
    np.testing.assert_array_equal(read[key], unpacked[key])


def test_a_zip_of_one_folder_is_flat_and_what_is_hidden_in_it_is_no_picture(folder, tmp_path):
  members = {f'trip/{index}.png': png(colour) for index, colour in enumerate(COLOURS)}
  hidden = {'__MACOSX/trip/._1.png': b'x', 'trip/.DS_Store': b'x', 'trip/': b''}
  source, read = everything(pack(tmp_path / 'trip.zip', members | hidden))
  assert source.num_classes == 0 and set(read['label']) == {-1}
  assert sorted(read['example'][:, 0, 0, 0]) == sorted(COLOURS)


@pytest.mark.parametrize('channels', [1, 3])
def test_an_array_is_read_as_its_pictures_are_with_labels_and_names(tmp_path, channels):
  array = np.random.default_rng(0).integers(0, 256, (20, 4, 4, channels)).astype(np.uint8)
  labels = np.arange(20) % 3
  np.savez(tmp_path / 'a.npz', examples=array, labels=labels, names=np.array(['x', 'y', 'z']))
  source, read = everything(tmp_path / 'a.npz', channels=channels)
  assert source.classes == ('x', 'y', 'z')
  assert {one.tobytes(): label for one, label in zip(read['example'], read['label'])} == {
    one.tobytes(): label for one, label in zip(array, labels)
  }
  np.save(tmp_path / 'a.npy', array)
  flat, again = everything(tmp_path / 'a.npy', channels=channels)
  assert flat.num_classes == 0 and flat.fingerprint != source.fingerprint
  np.testing.assert_array_equal(again['example'], read['example'])


@pytest.mark.parametrize('beside', ['labels', 'arr_1'])
def test_labels_without_names_are_numbers(tmp_path, beside):
  labels = {beside: np.arange(9) % 4}  # arr_1: of a file that --mode=sample wrote
  np.savez(tmp_path / 'a.npz', arr_0=np.zeros((9, 4, 4), np.uint8), **labels)
  source, _ = everything(tmp_path / 'a.npz', channels=1)
  assert (source.num_classes, source.classes) == (4, ())


@pytest.mark.parametrize('kind', ['webp', 'gif', 'bmp', 'tiff', 'avif', 'jpeg2000', 'ppm'])
def test_every_format_is_read(tmp_path, kind):
  suffix = {'jpeg2000': 'jp2'}.get(kind, kind)
  try:
    (tmp_path / f'a.{suffix}').write_bytes(png(200, kind, (8, 8)))
  except (KeyError, OSError):
    pytest.skip(f'this Pillow writes no {kind}')
  album = albums.open_album(tmp_path)
  (name,) = album.names
  assert abs(int(album.read(name, 4, 3)[0, 0, 0]) - 200) < 4


def test_of_a_film_the_first_picture_is_read(tmp_path):
  frames = [PIL.Image.new('RGB', (4, 4), (colour,) * 3) for colour in (50, 250)]
  frames[0].save(tmp_path / 'a.gif', save_all=True, append_images=frames[1:])
  assert abs(int(albums.open_album(tmp_path).read('a.gif', 4, 1)[0, 0, 0]) - 50) < 4


def test_heic_names_the_package_that_reads_it(tmp_path):
  (tmp_path / 'a.heic').write_bytes(struct.pack('>I', 24) + b'ftypheic' + bytes(40))
  if 'HEIF' in pictures._formats():
    pytest.skip('pillow-heif is installed')
  with pytest.raises(input_file.Unreadable, match=r'a\.heic is HEIC.*pip install pillow-heif'):
    pictures.read(tmp_path / 'a.heic', 4, 3)


def test_unreadable_pictures_are_named_and_counted_and_left_out_where_that_is_said(
  folder, tmp_path
):
  members = {name: (folder / name).read_bytes() for name in NAMES}
  members |= dict.fromkeys(NAMES[2:5], b'no picture')
  path = pack(tmp_path / 'a.zip', members)
  with pytest.raises(input_file.Unreadable, match=r'2\.png in .*; 3 of 12 pictures cannot be read'):
    everything(path)
  source, read = everything(path, skip_unreadable=True)
  assert len(read['label']) == 9 and source.classes == ('cats', 'owls')
  members |= dict.fromkeys(NAMES[1:], b'no picture')
  with pytest.raises(input_file.Unreadable, match='11 of 12 pictures cannot be read, nothing is'):
    everything(pack(tmp_path / 'b.zip', members), skip_unreadable=True)


def torn(path):
  pack(path, {name: png(90) for name in NAMES}, how=zipfile.ZIP_STORED)
  content = bytearray(path.read_bytes())
  content[60] ^= 255  # in the first picture
  path.write_bytes(content)


def locked(path):
  pack(path, {name: png(90) for name in NAMES})
  content = path.read_bytes()
  first = content.index(b'PK\1\2')
  path.write_bytes(content[:first + 8] + b'\1' + content[first + 9:])


def bomb(path):
  pack(path, {'a.png': bytes(pictures.MOST_BYTES + 1), 'b.png': png(1)})


@pytest.mark.parametrize(('name', 'make', 'words'), [
  ('a.zip', lambda path: pack(path, {}), 'holds no picture .it is empty'),
  ('a.zip', lambda path: pack(path, {'a.txt': b'', 'b.doc': b''}), 'no picture .1 .txt, 1 .doc'),
  ('a.zip', lambda path: path.write_bytes(png(1)), 'is no zip that can be read'),
  ('a.zip', lambda path: path.write_bytes(pack(path, {'a.png': b'1'}).read_bytes()[:-9]), 'no zip'),
  ('a.zip', torn, r'cats/0\.png in .* is torn'),
  ('a.zip', locked, 'locked with a password'),
  ('a.zip', bomb, r"holds 'a\.png' of \d+ bytes, where at most"),
  ('a.zip', lambda path: pack(path, {'../a.png': png(1), 'b.png': png(2)}), 'leads out of it'),
  ('a.zip', lambda path: pack(path, {'/etc/a.png': png(1), 'b.png': png(2)}), 'leads out of it'),
  ('a.zip', lambda path: pack(path, {'..\\a.png': png(1), 'b.png': png(2)}), 'leads out of it'),
  ('a.zip', lambda path: pack(path, {'a.png': png(1)}), 'holds 1 pictures; training and test'),
  ('a.zip', lambda path: pack(path, {'a/a.png': png(1), 'b.png': png(1)}), 'mixes folder depths'),
  ('a.rar', lambda path: path.write_bytes(b'Rar!'), 'neither a folder nor a .zip'),
  ('a.npy', lambda path: np.save(path, np.zeros((9, 4, 4, 3))), 'are uint8 of 0 to 255, not float'),
  ('a.npy', lambda path: np.save(path, np.zeros((4, 4), np.uint8)), r'an array \[n, height'),
  ('a.npy', lambda path: np.save(path, np.zeros((9, 3, 4, 4), np.uint8)), r'1 or 3\], not \[9, 3'),
  ('a.npy', lambda path: np.save(path, np.zeros((0, 4, 4), np.uint8)), r'not \[0, 4, 4, 1\]'),
  ('a.npz', lambda path: np.savez(path, other=TWO), 'has no array that'),
  ('a.npz', lambda path: np.savez(path, TWO, labels=[1, 2, 3]), 'labels are 2 whole numbers'),
  ('a.npz', lambda path: np.savez(path, TWO, labels=[1, -2]), 'a label is -2'),
  ('a.npz', lambda path: np.savez(path, TWO, labels=[0, 1], names=['x']), 'label 1 and 1 names'),
])
def test_what_is_no_set_of_pictures_is_told_in_a_sentence(tmp_path, name, make, words):
  make(tmp_path / name)
  with pytest.raises(ValueError, match=words) as caught:
    everything(tmp_path / name)
  assert name in str(caught.value)
