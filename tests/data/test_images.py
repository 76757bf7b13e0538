"""Image folders and TFDS folders, on tiny sets built here."""

import functools
import hashlib
import json
import pathlib
import shutil

import numpy as np
import PIL.Image
import pytest

from adiff.codec import patches
from adiff.data import image_folder, store, tfds


def coded(source):
  return source.coded(patches.Patches(source.shape))


def images_of(source, split):
  found = source.examples(split, np.arange(source.size(split)))
  return found['example'], found['label']


def write_pictures(root, num, folder, side=(6, 4)):
  path = pathlib.Path(root) / folder
  path.mkdir(parents=True, exist_ok=True)
  for i in range(num):
    picture = np.full((side[1], side[0], 3), 10 * i + len(folder), np.uint8)
    PIL.Image.fromarray(picture).save(path / f'{i}.png')


@functools.cache
def squares_builder():
  import tensorflow_datasets as tfds

  class Squares(tfds.core.GeneratorBasedBuilder):
    """Grey squares; the class attribute `splits` names the splits to write and their sizes, those
    without labels negative."""
    VERSION = tfds.core.Version('1.2.0')
    splits = {}
    pkg_dir_path = pathlib.Path(__file__).parent

    def _info(self):
      return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({
          'image': tfds.features.Tensor(shape=(4, 4, 1), dtype=np.uint8),
          'label': tfds.features.ClassLabel(num_classes=3)}))

    def _split_generators(self, dl_manager):
      return {name: self._generate_examples(num) for name, num in self.splits.items()}

    def _generate_examples(self, num):
      for i in range(abs(num)):
        yield i, {'image': np.full((4, 4, 1), i, np.uint8), 'label': i % 3 if num > 0 else -1}

  return Squares


def write_tfds(folder, **splits):
  builder = squares_builder()
  builder.splits = splits
  builder(data_dir=folder, file_format='array_record').download_and_prepare()


@pytest.fixture(scope='module')
def tfds_folder(tmp_path_factory):
  folder = str(tmp_path_factory.mktemp('tfds'))
  write_tfds(folder, train=20, validation=6)
  return folder


@pytest.fixture
def classes(tmp_path):
  write_pictures(tmp_path, 12, 'a')
  write_pictures(tmp_path, 9, 'bb')
  return tmp_path


def test_a_folder_of_classes_is_read_cropped_and_labelled(classes):
  source = image_folder.ImageFolder(classes, 4, test_every=7)
  assert source.classes == ('a', 'bb')
  assert source.num_classes == 2
  assert coded(source).spec.names == ('a', 'bb')
  assert (source.size('train'), source.size('test')) == (18, 3)
  pictures, labels = images_of(source, 'train')
  assert pictures.shape == (18, 4, 4, 3) and pictures.dtype == np.uint8
  np.testing.assert_array_equal(pictures[:, 0, 0, 0] % 10, labels + 1)
  examples = coded(source).examples('train', np.array([3, 1]))
  np.testing.assert_array_equal(coded(source).decode(examples['tokens']), pictures[[3, 1]])
  np.testing.assert_array_equal(examples['label'], labels[[3, 1]])


def test_the_split_depends_on_names_alone_and_covers_every_file_once(classes):
  one = image_folder.ImageFolder(classes, 4, test_every=5)
  two = image_folder.ImageFolder(classes, 2, test_every=5, channels=1)
  np.testing.assert_array_equal(images_of(one, 'test')[1], images_of(two, 'test')[1])
  names = [f'{c}/{i}.png' for c, num in (('a', 12), ('bb', 9)) for i in range(num)]
  names.sort(key=lambda name: hashlib.sha256(name.encode()).digest())
  assert one.size('test') == len(names[::5])
  both = np.concatenate([images_of(one, split)[0][:, 0, 0, 0] for split in one.splits])
  assert sorted(both) == sorted([10 * i + 1 for i in range(12)] + [10 * i + 2 for i in range(9)])


def test_a_set_too_large_for_memory_gives_the_same_examples(classes, monkeypatch):
  resident = image_folder.ImageFolder(classes, 4)
  streamed = image_folder.ImageFolder(classes, 4)
  indices = np.array([2, 0, 7])
  kept = resident.examples('train', indices)['example']
  monkeypatch.setattr(store, 'RAM_BYTES', 10)
  np.testing.assert_array_equal(kept, streamed.examples('train', indices)['example'])


def test_the_short_side_is_kept_and_the_centre_cropped(tmp_path):
  wide = np.zeros((4, 12, 3), np.uint8)
  wide[:, 4:8] = 200
  for i in range(2):
    PIL.Image.fromarray(wide).save(tmp_path / f'{i}.png')
  pictures, labels = images_of(image_folder.ImageFolder(tmp_path, 4), 'train')
  np.testing.assert_array_equal(pictures, np.full((1, 4, 4, 3), 200))
  assert labels.tolist() == [-1]


def test_changed_files_change_the_fingerprint(classes):
  before = image_folder.ImageFolder(classes, 4).fingerprint
  assert image_folder.ImageFolder(classes, 4).fingerprint == before
  write_pictures(classes, 10, 'bb')
  assert image_folder.ImageFolder(classes, 4).fingerprint != before


def test_mistakes_with_folders_are_answered_in_words(tmp_path):
  folder = functools.partial(image_folder.ImageFolder)
  with pytest.raises(FileNotFoundError, match='--config.data.data_dir=FOLDER'):
    folder(tmp_path / 'nowhere', 4)
  with pytest.raises(ValueError, match='at least two'):
    folder(tmp_path, 4)
  write_pictures(tmp_path, 2, 'a')
  with pytest.raises(ValueError, match='2 or more'):
    folder(tmp_path, 4, test_every=1)
  write_pictures(tmp_path, 2, '.')
  with pytest.raises(ValueError, match='mixes folder depths'):
    folder(tmp_path, 4)


def test_a_broken_picture_is_named(tmp_path):
  write_pictures(tmp_path, 3, '.')
  for path in tmp_path.glob('*.png'):
    path.write_bytes(path.read_bytes()[:20])
  source = image_folder.ImageFolder(tmp_path, 4)
  with pytest.raises(ValueError, match='png is no readable image'):
    images_of(source, 'train')


def test_a_tfds_folder_is_read_by_index_without_tensorflow(tfds_folder, monkeypatch):
  source = tfds.Tfds('squares', tfds_folder)
  streamed = tfds.Tfds('squares', tfds_folder)
  assert source.splits == ('train', 'validation')
  assert (source.size('train'), source.size('validation')) == (20, 6)
  assert (source.num_classes, source.shape) == (3, (4, 4, 1))
  pictures, labels = images_of(source, 'train')
  assert sorted(pictures[:, 0, 0, 0]) == list(range(20))
  np.testing.assert_array_equal(pictures[:, 0, 0, 0] % 3, labels)
  for reader in (source, streamed):
    monkeypatch.setattr(store, 'RAM_BYTES', 10)
    examples = coded(reader).examples('train', np.array([7, 7, 2]))
    np.testing.assert_array_equal(coded(reader).decode(examples['tokens']), pictures[[7, 7, 2]])
    np.testing.assert_array_equal(examples['label'], labels[[7, 7, 2]])
  assert source.fingerprint == streamed.fingerprint


@pytest.mark.parametrize('test, held_out', [(4, 'test'), (-4, 'validation')])
def test_a_test_split_without_labels_is_not_what_is_held_out(tmp_path, test, held_out):
  write_tfds(tmp_path, train=20, test=test, validation=6)
  for size in (0, 2):
    source = tfds.Tfds('squares', str(tmp_path), size=size)
    assert source.splits == ('train', held_out) and images_of(source, held_out)[1].min() >= 0


def test_pictures_of_one_size_are_scaled_to_another(tfds_folder):
  source, scaled = (tfds.Tfds('squares', tfds_folder, size=size) for size in (0, 2))
  assert scaled.shape == (2, 2, 1)
  for split in source.splits:
    stored, shown = images_of(source, split), images_of(scaled, split)
    np.testing.assert_array_equal(shown[0], stored[0][:, :2, :2])
    np.testing.assert_array_equal(shown[1], stored[1])


def features(folder, **changes):
  """Writes features.json anew with other entries of `image`."""
  path = folder / 'features.json'
  told = json.loads(path.read_text())
  told['featuresDict']['features']['image'].update(changes)
  path.write_text(json.dumps(told))


def about(folder, **changes):
  """Writes dataset_info.json anew with other entries of its first split."""
  path = folder / 'dataset_info.json'
  told = json.loads(path.read_text())
  told['splits'][0].update(changes)
  path.write_text(json.dumps(told))


FOREIGN = {'type': 'foreign.Feature', 'content': {}}


@pytest.mark.parametrize(('spoil', 'words'), [
  (lambda folder: features(folder, pythonClassName='foreign.Feature'), 'foreign.Feature, which is'),
  (lambda folder: features(folder, python_class_name='a.B'), 'a.B, which is none of TFDS'),
  (lambda folder: (folder / 'features.json').write_text(json.dumps(FOREIGN)), 'foreign.Feature'),
  (lambda folder: features(folder, jsonFeature={'json': json.dumps({'a': [FOREIGN]})}), 'foreign'),
  (lambda folder: features(folder, pythonClassName='tensorflow_datasets.scripts.x.Y'), 'none of'),
  (lambda folder: features(folder, pythonClassName=5), 'is no data set that TFDS reads'),
  (lambda folder: features(folder, pythonClassName=''), 'is no data set that TFDS reads'),
  (lambda folder: features(folder, tensor={'shape': 5}), 'is no data set that TFDS reads'),
  (lambda folder: (folder / 'features.json').unlink(), 'there is no .*features.json'),
  (lambda folder: (folder / 'features.json').write_text('[' * 10**5), 'nested too deeply'),
  (lambda folder: (folder / 'features.json').write_text('{}'), 'is no data set that TFDS reads'),
  (lambda folder: (folder / 'dataset_info.json').write_text('{"name": 5}'), 'is no data set'),
  (lambda folder: about(folder, shardLengths=['20', '5']), 'has no file'),
  (lambda folder: about(folder, shardLengths=['x']), 'is no data set that TFDS reads'),
  (lambda folder: about(folder, filepathTemplate='../{SPLIT}'), 'leads out of its folder'),
  (lambda folder: about(folder, shardLengths=['2000']), 'holds records that cannot be read'),
  (lambda folder: [path.unlink() for path in folder.glob('*train*')], 'has no file'),
  (lambda folder: [path.write_bytes(b'') for path in folder.glob('*train*')], 'cannot be read'),
  (lambda folder: [path.write_bytes(bytes(99)) for path in folder.glob('*train*')], 'cannot be'),
])
def test_a_tampered_tfds_folder_is_told_in_a_sentence_and_runs_nothing(
  tfds_folder, tmp_path, monkeypatch, spoil, words
):
  (tmp_path / 'foreign.py').write_text('raise SystemExit("foreign code ran")')
  monkeypatch.syspath_prepend(tmp_path)
  folder = pathlib.Path(shutil.copytree(pathlib.Path(tfds_folder, 'squares'), tmp_path / 'squares'))
  spoil(folder / '1.2.0')
  with pytest.raises(ValueError, match=words) as caught:
    images_of(tfds.Tfds('squares', tmp_path), 'train')
  assert str(folder) in str(caught.value)


def test_mistakes_with_tfds_folders_are_answered_in_words(tfds_folder, tmp_path):
  with pytest.raises(FileNotFoundError, match='must hold mnist/VERSION as TFDS lays it out'):
    tfds.Tfds('mnist', tfds_folder)
  (tmp_path / 'empty').mkdir()
  with pytest.raises(FileNotFoundError, match='no version folder'):
    tfds.Tfds('empty', tmp_path)
  write_tfds(tmp_path, train=5)
  with pytest.raises(ValueError, match="needs 'train'"):
    tfds.Tfds('squares', tmp_path)
  source = tfds.Tfds('squares', tfds_folder)
  with pytest.raises(ValueError, match='train, validation'):
    source.size('test')
