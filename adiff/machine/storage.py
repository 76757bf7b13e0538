"""Where files lie: on disks that this machine mounts, or as objects in a bucket, gs://BUCKET/NAME.

What a disk and a bucket do alike stands here, once; how a disk does it is Python's own affair, and
a bucket is reached through bucket.py. In a bucket

- an object appears whole or not at all, and whoever lists or reads later sees it;
- there are no folders: one is there while an object lies below it. So a folder cannot appear at
  once, and where it matters an object in it says that it is whole (files.folder);
- nothing is renamed, appended to or linked: a move is a copy and a deletion, object by object;
- a write may be bound to the generation that an object has: that is what locks are made of.
"""

import contextlib
import errno
import io
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple

from adiff.machine import bucket

_URL = re.compile(r'([A-Za-z][A-Za-z0-9+.-]+)://|gs:/')
TRIAL = '.writable'  # what is put into a folder of a bucket, and deleted, to see whether it may be
_AT_ONCE = 32 * 2**20  # bytes of an object that is read in one request


class Facts(NamedTuple):
  """What a listing says of an object."""

  size: int  # bytes
  version: str  # changes with every write


def remote(path) -> bool:
  """Is it in a bucket? Raises ValueError for a URL of another kind, or one without a bucket."""
  text = os.fspath(path)
  url = _URL.match(text) if isinstance(text, str) else None
  if url is None:
    return False
  if url[1] not in ('gs', None):
    raise ValueError(
      f'{text} is no place that adiff reads or writes; name a folder, a mount, or '
      f'{bucket.SCHEME}BUCKET/FOLDER'
    )
  if url[1] is None or not text[len(bucket.SCHEME):].strip('/'):
    raise ValueError(
      f'{text} names no bucket; write {bucket.SCHEME}BUCKET/FOLDER (as a text: pathlib drops a '
      'slash)'
    )
  return True


def path(text) -> Any:
  """A pathlib.Path, or its like for a bucket, of a path as a user writes it (~ is the home)."""
  if not remote(text):
    return pathlib.Path(text).expanduser()
  from etils import epath

  return epath.Path(os.fspath(text))


def absolute(path) -> str:
  """The path from the root or the bucket on, without a slash at its end."""
  text = os.fspath(path)
  return text.rstrip('/') if remote(path) else os.path.abspath(text)


def normal(path) -> str:
  """The path as it would be written by somebody careful: without dots and doubled slashes."""
  return absolute(path) if remote(path) else os.path.normpath(path)


def parent(path) -> str:
  """The folder that holds an absolute path; the root and a bucket hold themselves."""
  text = os.fspath(path)
  top = remote(text) and '/' not in bucket.name(text)
  return text if top else os.path.dirname(text)


def exists(path) -> bool:
  """Is there a file, an object or a folder? A link that leads nowhere is not there."""
  if not remote(path):
    return os.path.exists(path)
  return bool(_kind(path))


def is_folder(path) -> bool:
  """Is there a folder; in a bucket: an object below this name?"""
  if not remote(path):
    return os.path.isdir(path)
  return _kind(path) == 'directory'


def is_file(path) -> bool:
  """Is there a file or an object of this name?"""
  if not remote(path):
    return os.path.isfile(path)
  return _kind(path) == 'file'


def _kind(path):
  """'file', 'directory', or '' where there is nothing in the bucket."""
  with bucket.told(path):
    try:
      return bucket.files().info(bucket.name(path))['type']
    except FileNotFoundError:
      return ''


def is_listed_file(path) -> bool:
  """Is what `walk` called a file one, and no pipe or lost link? A bucket is not asked again."""
  return True if remote(path) else os.path.isfile(path)


def size(path) -> int:
  """Bytes of a file or an object; raises FileNotFoundError, or OSError."""
  if not remote(path):
    return os.path.getsize(path)
  with bucket.told(path):
    return int(bucket.files().info(bucket.name(path))['size'])


def names(folder) -> list[str]:
  """What lies directly in a folder, sorted; [] where there is none."""
  if not remote(folder):
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []
  top = f'{bucket.name(folder)}/'
  with bucket.told(folder):
    try:
      found = bucket.files().ls(top, detail=False)
    except FileNotFoundError:
      return []
  return sorted({name.rstrip('/')[len(top):] for name in found} - {''})


def facts(path) -> Facts:
  """Those of an object; raises FileNotFoundError, or OSError."""
  with bucket.told(path):
    info = bucket.files().info(bucket.name(path))
  return Facts(int(info['size']), str(info.get('generation')))


def below(folder) -> dict[str, Facts]:
  """{name below a folder of a bucket: Facts} of all objects, at any depth, sorted."""
  top = f'{bucket.name(folder)}/'
  with bucket.told(folder):
    found = bucket.files().find(top, detail=True)
  return {
    name[len(top):]: Facts(int(info['size']), str(info.get('generation')))
    for name, info in sorted(found.items()) if name.startswith(top) and not name.endswith('/')
  }


def _walk(top):
  """As `walk`, of a disk."""
  around = {os.fspath(top): {os.path.realpath(top)}}  # where a folder lies, and those around it
  for folder, folders, names in os.walk(top, followlinks=True):
    above = around.pop(folder)
    real = {name: os.path.realpath(os.path.join(folder, name)) for name in folders}
    folders[:] = (name for name in folders if real[name] not in above)
    yield folder, folders, names
    around |= {os.path.join(folder, name): above | {real[name]} for name in folders}


def walk(top) -> Iterator[tuple[str, list[str], list[str]]]:
  """(folder, names of folders, names of files) as os.walk: who drops a folder's name from the list
  has nothing of it told. Links to folders are followed, but none to a folder that they lie in."""
  if not remote(top):
    yield from _walk(top)
    return
  tree = {'': ([], [])}
  for name in below(top):
    *parents, file = name.split('/')
    for depth, parent in enumerate(parents):
      place, inner = '/'.join(parents[:depth]), '/'.join(parents[:depth + 1])
      if inner not in tree:
        tree[inner] = ([], [])
        tree[place][0].append(parent)
    tree['/'.join(parents)][1].append(file)
  waiting = ['']
  while waiting:
    place = waiting.pop()
    folders, files = tree[place]
    yield f'{absolute(top)}/{place}'.rstrip('/'), folders, files
    waiting += [f'{place}/{name}'.lstrip('/') for name in reversed(folders)]


def make_folder(path, *, parents=True) -> None:
  """Makes a folder where there is none; in a bucket there is nothing to make."""
  if not remote(path):
    (os.makedirs if parents else _make_one)(path, exist_ok=True)


def _make_one(path, exist_ok):
  pathlib.Path(path).mkdir(exist_ok=exist_ok)


def delete(path) -> None:
  """Deletes an object, or all below a folder of a bucket. Raises FileNotFoundError, or OSError."""
  bucket.check_held(path)
  with bucket.told(path):
    bucket.files().rm(bucket.name(path), recursive=True)


def move(source, target) -> None:
  """A file or folder takes another name, in the place of a file that has it; in a bucket object by
  object, the copies before the deletions. Both are on one disk, or in buckets."""
  if not remote(source):
    os.replace(source, target)
    return
  copy(source, target)
  delete(source)


def copy(source, target) -> None:
  """Copies an object or a folder of a bucket within it, or to another one."""
  bucket.check_held(target)
  inside = [f'/{name}' for name in below(source)]
  with bucket.told(target):
    for name in inside if inside else ['']:
      bucket.files().cp_file(f'{bucket.name(source)}{name}', f'{bucket.name(target)}{name}')


def get(path, place) -> None:
  """Copies an object into the file `place`."""
  with bucket.told(path):
    bucket.files().get_file(bucket.name(path), os.fspath(place))


def open_object(path) -> Any:
  """An object, open for reading: one of its generations, whoever writes it meanwhile. Raises
  FileNotFoundError, IsADirectoryError, or OSError."""
  with bucket.told(path):
    info = bucket.files().info(bucket.name(path))
    if info['type'] == 'directory':
      raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if info['size'] <= _AT_ONCE:
      return io.BytesIO(bucket.files().cat_file(bucket.name(path)))
    return bucket.files().open(bucket.name(path), 'rb')


def fetch(folder, place) -> None:
  """Copies a folder, wherever it lies, into a new one on a disk."""
  if not remote(folder):
    shutil.copytree(folder, place)
    return
  for name in below(folder):
    os.makedirs(os.path.dirname(os.path.join(place, name)), exist_ok=True)
    get(f'{absolute(folder)}/{name}', os.path.join(place, name))


@contextlib.contextmanager
def writing(path, mode='w') -> Iterator[Any]:
  """A file to fill, which becomes the object `path` when the block ends without an exception."""
  with tempfile.NamedTemporaryFile(mode, encoding=None if 'b' in mode else 'utf-8') as file:
    yield file
    file.flush()
    put(file.name, path)


def put(place, path) -> None:
  """Copies the file `place` into the object `path`; its checksum is compared."""
  bucket.check_held(path)
  with bucket.told(path, writing=True):
    bucket.files().put_file(os.fspath(place), bucket.name(path))


@contextlib.contextmanager
def filled(folder) -> Iterator[str]:
  """A folder on a disk to fill: `folder` itself, or one whose files are then copied to it."""
  if not remote(folder):
    yield os.fspath(folder)
    return
  with tempfile.TemporaryDirectory() as place:
    yield place
    for parent, _, inside in os.walk(place):
      for name in inside:
        source = os.path.join(parent, name)
        put(source, os.path.join(folder, os.path.relpath(source, place)))


def check_writable(folder) -> None:
  """Raises OSError where nothing can be written into a folder of a bucket, by trying to."""
  place = f'{absolute(folder)}/{TRIAL}'
  bucket.put(place, b'')
  delete(place)
