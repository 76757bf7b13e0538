"""The reader of data sets as TFDS lays them out on disk: random access, without TensorFlow.

TFDS imports whatever class a folder's features.json names; here it must be one of TFDS's own, or
the folder is refused before TFDS sees it.
"""

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from adiff.machine import contents, files, input_file, json_file

_OWN = 'tensorflow_datasets.core.features.'
_CLASS_KEYS = ('pythonClassName', 'python_class_name', 'type')
_ADVICE = 'prepare it again with TFDS'


def find(data_dir, name) -> pathlib.Path:
  """The newest version folder of data set `name` under `data_dir`; FileNotFoundError if none."""
  hint = f'set --config.data.data_dir=FOLDER, which must hold {name}/VERSION as TFDS lays it out'
  root = pathlib.Path(data_dir).expanduser() / name
  if not root.is_dir():
    raise FileNotFoundError(f'there is no folder {root}; {hint}')
  if (root / 'dataset_info.json').is_file():
    return root
  versions = [
    path.parent
    for path in root.glob('*/dataset_info.json')
    if all(part.isascii() and part.isdecimal() and len(part) < 10
           for part in path.parent.name.split('.'))
  ]
  if not versions:
    raise FileNotFoundError(f'{root} holds no version folder with a dataset_info.json; {hint}')
  return max(versions, key=_version)


def _version(folder):
  """The numbers of a folder's name: 10.0.0 is newer than 9.0.0."""
  return tuple(int(part) for part in folder.name.split('.'))


def builder(folder) -> Any:
  """The TFDS builder of a version folder: its .info, and what `Records` reads.

  Raises ValueError for a folder that TFDS cannot read, or that would have it run foreign code.
  """
  for name in ('dataset_info.json', 'features.json'):
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
  """The records of a split: as many as `len` says, each a dictionary of the features."""

  def __init__(self, folder, builder, split):
    self._folder = folder
    with self._told():
      self._source = builder.as_data_source(split)
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
      "again with file_format='array_record'"
    )


def fingerprint(folder, name) -> str:
  """16 hex digits over the version and what the files hold."""
  content = contents.digest(folder, [path.name for path in folder.iterdir() if path.is_file()])
  return files.digest(repr((name, folder.name, content)))
