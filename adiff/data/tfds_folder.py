"""Data sets as TFDS lays them out on disk, read with random access and written, without TensorFlow.

TFDS imports whatever class a folder's features.json names; here it must be one of TFDS's own, or
the folder is refused before TFDS sees it.
"""

import pathlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from adiff.machine import contents, copies, files, input_file, json_file, storage

_OWN = 'tensorflow_datasets.core.features.'
_CLASS_KEYS = ('pythonClassName', 'python_class_name', 'type')
_ADVICE = 'prepare it again with TFDS'
INFO = 'dataset_info.json'  # a folder without it is no data set, or not yet


def is_set(path) -> bool:
  """Does a folder hold a data set as TFDS lays it out, or a version of one?"""
  root = storage.path(path)
  return any(place.is_file() for place in (root / INFO, *root.glob(f'*/{INFO}')))


def find(data_dir, name) -> pathlib.Path:
  """The newest version folder of data set `name` under `data_dir`; FileNotFoundError if none. Of a
  bucket it is a copy (machine/copies.py), for records are read from files."""
  hint = f'set --config.data.data_dir=FOLDER, which must hold {name}/VERSION as TFDS lays it out'
  root = storage.path(data_dir) / name
  if not root.is_dir():
    raise FileNotFoundError(f'there is no folder {root}; {hint}')
  if (root / INFO).is_file():
    return copies.here(root)
  versions = [
    path.parent
    for path in root.glob(f'*/{INFO}')
    if all(part.isascii() and part.isdecimal() and len(part) < 10
           for part in path.parent.name.split('.'))
  ]
  if not versions:
    raise FileNotFoundError(f'{root} holds no version folder with a dataset_info.json; {hint}')
  return copies.here(max(versions, key=_version))


def _version(folder):
  """The numbers of a folder's name: 10.0.0 is newer than 9.0.0."""
  return tuple(int(part) for part in folder.name.split('.'))


def builder(folder) -> Any:
  """The TFDS builder of a version folder: its .info, and what `Records` reads.

  Raises ValueError for a folder that TFDS cannot read, or that would have it run foreign code.
  """
  for name in (INFO, 'features.json'):
    try:
      _check_own(folder / name, json_file.read(folder / name, advice=_ADVICE))
    except FileNotFoundError as error:
      raise ValueError(f'there is no {folder / name}; {_ADVICE}') from error
  import tensorflow_datasets as tfds  # A second of import that other data sets need not pay.

  with input_file.told(folder, 'is no data set that TFDS reads', _ADVICE):
    found = tfds.builder_from_directory(str(folder))
    for split in found.info.splits.values():
      for place in split.filepaths:
        if pathlib.Path(place).parent != folder or not pathlib.Path(place).is_file():
          raise input_file.Unreadable(f'{folder} has no file {place.name}; {_ADVICE}')
    return found


def _check_own(path, value):
  """Raises Unreadable for a class that is not TFDS's own, at any depth of a description."""
  for key, item in _entries(value):
    if key in _CLASS_KEYS and isinstance(item, str) and '.' in item and not item.startswith(_OWN):
      raise input_file.Unreadable(
        f'{path} names the class {item[:100]}, which is none of TFDS; remove it, for TFDS would '
        'run its code'
      )
    if key in ('filepathTemplate', 'filepath_template') and ('/' in str(item) or '..' in str(item)):
      raise input_file.Unreadable(f'{path} leads out of its folder as {item}; {_ADVICE}')
    if key == 'json' and isinstance(item, str):
      _check_own(path, json_file.parse(item, where=f'{path}: {key}', advice=_ADVICE))


def _entries(value) -> Iterator[tuple[str, Any]]:
  """(key, value) of all dictionaries in a value."""
  if isinstance(value, dict):
    yield from value.items()
  if isinstance(value, dict | list):
    for item in value.values() if isinstance(value, dict) else value:
      yield from _entries(item)


class Records:
  """The records of a split: as many as `len` says, each a dictionary of the features.

  encoded: features, such as pictures, that are given as the bytes that are stored.
  """

  def __init__(self, folder, builder, split, *, encoded=()):
    import tensorflow_datasets as tfds

    self._folder = folder
    with self._told():
      decoders = {name: tfds.decode.SkipDecoding() for name in encoded}
      self._source = builder.as_data_source(split, decoders=decoders)
      self._size = len(self._source)

  def __len__(self):
    return self._size

  def read(self, indices: Sequence[int]) -> list[dict[str, Any]]:
    """The records of some indices; raises ValueError where they cannot be read."""
    with self._told():
      return list(self._source.__getitems__([int(index) for index in indices]))

  def _told(self):
    return input_file.told(self._folder, 'holds records that cannot be read', _ADVICE)


def check_random_access(info, name) -> None:
  """Raises ValueError unless the files are ArrayRecord; info: that of a builder."""
  if info.file_format.value != 'array_record':
    raise ValueError(
      f'{name} is stored as {info.file_format.value}, which has no random access; prepare it '
      "again with file_format='array_record', pictures with python -m adiff.data.prepare"
    )


def fingerprint(folder, name) -> str:
  """16 hex digits over the version and what the files hold."""
  content = contents.digest(folder, [path.name for path in folder.iterdir() if path.is_file()])
  return files.digest(repr((name, folder.name, content)))


# ---- Writing -------------------------------------------------------------------------------------


def shard(name, split, index, count) -> str:
  """What TFDS calls a file of a split."""
  return f'{name}-{split}.array_record-{index:05d}-of-{count:05d}'


def parse(record: bytes, where) -> dict[str, list]:
  """{feature: its bytes, whole numbers or floats} of a tf.train.Example; raises Unreadable."""
  from tensorflow_datasets.proto import tf_example_pb2

  with input_file.told(where, 'holds no tf.train.Example', 'name files that hold some'):
    found = tf_example_pb2.Example.FromString(record).features.feature
    return {
      name: list(getattr(value, kind).value) if (kind := value.WhichOneof('kind')) else []
      for name, value in found.items()
    }


def example(features: dict[str, list]) -> bytes:
  """The tf.train.Example of features that are lists of bytes or of whole numbers."""
  from tensorflow_datasets.proto import tf_example_pb2

  written = tf_example_pb2.Example()
  for name, found in features.items():
    if found and isinstance(found[0], int):
      written.features.feature[name].int64_list.value.extend(found)
    else:
      written.features.feature[name].bytes_list.value.extend(found)
  return written.SerializeToString(deterministic=True)


class Pictures(NamedTuple):
  """What is said of a set of pictures that was written."""

  shape: tuple[int, int, int]
  encoding: str  # png or jpeg
  classes: tuple[str, ...]  # their names; () where pictures have no label
  captions: bool
  about: str


def describe(folder, name, about: Pictures, lengths: dict[str, list[int]]) -> None:
  """Writes dataset_info.json, last, and what else TFDS keeps beside the files of a set.

  lengths: {split: how many records a shard holds}. Raises OSError where it cannot be written.
  """
  import tensorflow_datasets as tfds

  features = {'image': tfds.features.Image(shape=about.shape, encoding_format=about.encoding)}
  if about.classes:
    features['label'] = tfds.features.ClassLabel(names=about.classes)
  if about.captions:
    features['captions'] = tfds.features.Sequence(tfds.features.Text())
  template = tfds.core.ShardedFileTemplate(
    data_dir=folder, template=tfds.core.naming.DEFAULT_FILENAME_TEMPLATE, dataset_name=name,
    filetype_suffix='array_record',
  )
  identity = tfds.core.dataset_info.DatasetIdentity(
    name=name, version=tfds.core.Version(folder.name), data_dir=str(folder), module_name='',
  )
  info = tfds.core.DatasetInfo(
    builder=identity, features=tfds.features.FeaturesDict(features), description=about.about,
  )
  info.set_file_format('array_record')
  info.set_splits(tfds.core.splits.SplitDict([
    tfds.core.SplitInfo(
      name=split, shard_lengths=counts, filename_template=template.replace(split=split),
      num_bytes=sum((folder / shard(name, split, index, len(counts))).stat().st_size
                    for index in range(len(counts))),
    )
    for split, counts in lengths.items()
  ]))
  with tempfile.TemporaryDirectory(prefix='adiff-') as made:
    info.write_to_directory(made)
    written = sorted(pathlib.Path(made).iterdir(), key=lambda path: path.name == INFO)
    for path in written:
      with files.whole(folder / path.name, 'wb') as file:
        file.write(input_file.read(path, limit=2**30))
