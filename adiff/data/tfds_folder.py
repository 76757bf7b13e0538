"""Data sets as TFDS lays them out on disk, read by random access and without TensorFlow."""

import pathlib
from typing import Any

from adiff.machine import files


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
    if all(part.isdigit() for part in path.parent.name.split('.'))
  ]
  if not versions:
    raise FileNotFoundError(f'{root} holds no version folder with a dataset_info.json; {hint}')
  return max(versions, key=_version)


def _version(folder):
  """The numbers of a folder's name: 10.0.0 is newer than 9.0.0."""
  return tuple(int(part) for part in folder.name.split('.'))


def builder(folder) -> Any:
  """The TFDS builder of a version folder: its .info, and .as_data_source(split)."""
  import tensorflow_datasets as tfds  # A second of import that other data sets need not pay.

  return tfds.builder_from_directory(str(folder))


def check_random_access(info, name) -> None:
  """Raises ValueError unless the files are ArrayRecord; info: that of a builder."""
  if info.file_format.value != 'array_record':
    raise ValueError(
      f'{name} is stored as {info.file_format.value}, which has no random access; prepare it '
      "again with file_format='array_record'"
    )


def fingerprint(folder, name) -> str:
  """16 hex digits over the version and the names and sizes of the files."""
  sizes = sorted((path.name, path.stat().st_size) for path in folder.iterdir() if path.is_file())
  return files.digest(name, folder.name, repr(sizes))
