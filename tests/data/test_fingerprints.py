"""A data set on disk is told by what its files hold: every source, every file."""

import os
import pathlib
import shutil

import pytest
import tiny_data

from adiff.run import choose
from configs import base, toy

ON_DISK = sorted(  # a set of tokens that was changed is refused: tests/run/test_encode.py
  name for name, takes in base.CHOICES['data'].items()
  if {'path', 'data_dir'} & {*takes} and name != 'encoded'
)


def config_of(name, few):
  config = toy.get_config('block')
  base.choose(config, 'data', name)
  if name == 'text':
    config.data.path = 'somewhere'
  if name == 'latents':
    config.data.shape, config.data.num_classes = (4, 6, 3), 7
  with config.unlocked():
    tiny_data.point(config, few)
  return config


def place_of(data):
  """Where the files lie."""
  return pathlib.Path(data.get('path') or data.data_dir) / data.get('dataset', '')


def touched(path):
  """Changes the last byte of a file, and neither its size nor its date."""
  before, content = path.stat(), bytearray(path.read_bytes())
  content[-1] = ord('x') if content[-1] != ord('x') else ord('y')
  path.write_bytes(content)
  os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize('name', ON_DISK)
def test_a_byte_in_any_file_of_a_source_changes_its_fingerprint(name, few, tmp_path):
  data = config_of(name, few).data
  original = place_of(data)
  copy = tmp_path / original.name
  (shutil.copytree if original.is_dir() else shutil.copy)(original, copy)
  if 'path' in data:
    data.path = str(copy)
  else:
    data.data_dir = str(copy.parent if 'dataset' in data else copy)
  fingerprint = lambda: choose.resolve('data', data).fingerprint
  found = [fingerprint()]
  assert fingerprint() == found[0]
  paths = [copy] if copy.is_file() else [path for path in copy.rglob('*') if path.is_file()]
  for path in paths:
    if path.suffix not in ('.json', '.jsonl'):  # is read before
      touched(path)
      found.append(fingerprint())
  assert len(found) > 1 and len(set(found)) == len(found)
