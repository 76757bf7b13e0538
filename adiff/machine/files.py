"""Files and folders that appear whole or not at all, and what they hold in a few hex digits.

Everything that the package writes at once goes through `whole` and `folder`; nothing else opens a
file for writing. In a bucket (storage.py) a file is whole by being an object; a folder is, once the
object MARK lies in it, which is written last. What is no plain file (a FIFO, a device) is neither
read nor written.
"""

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import pathlib
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from adiff.machine import bucket, input_file, storage

_REMEDIES = {
  errno.ENOSPC: 'free space', errno.EDQUOT: 'free space or ask for more of it',
  errno.EACCES: 'see to its permissions', errno.EPERM: 'see to its permissions',
  errno.EROFS: 'mount it for writing', errno.ENOENT: 'bring the folder back',
  errno.ENOTDIR: 'see to what is a file there', errno.EIO: 'see to the storage',
  errno.ESTALE: 'see to the storage', errno.ETIMEDOUT: 'see to the storage',
  errno.EMFILE: 'raise the limit of open files', errno.ENFILE: 'raise the limit of open files',
  errno.EFBIG: 'raise the limit of the size of files', errno.ENAMETOOLONG: 'shorten its name',
}
_DRAFT = r'\.[0-9a-f]{8}\.tmp'  # behind the name of a file that is being written
_STALE_SECONDS = 86400  # of a draft that a killed process left
MARK = '.whole'  # in a bucket: the folder was written to its end
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of renameat2


@contextlib.contextmanager
def whole(path, mode='w') -> Iterator[Any]:
  """Opens `path` for writing; it holds all that was written, or what it held before.

  A draft of a unique name beside the file is flushed to the disk and takes its name when the block
  ends without an exception, and is deleted otherwise. mode: w for UTF-8 text, wb for bytes. Raises
  OSError where the folder cannot be written, ValueError where `path` is a FIFO or a device.
  """
  if storage.remote(path):
    with storage.writing(path, mode) as file:
      yield file
    return
  if os.path.lexists(path) and not os.path.islink(path) and not os.path.isfile(path):
    raise ValueError(f'{path} is no plain file; delete it, or name another one')
  place = draft(path)
  try:
    with open(place, mode.replace('w', 'x'), encoding=None if 'b' in mode else 'utf-8') as file:
      yield file
      file.flush()
      os.fsync(file.fileno())
    os.replace(place, path)
  except BaseException:
    pathlib.Path(place).unlink(missing_ok=True)
    raise


@contextlib.contextmanager
def folder(path, names=(), *, first=False) -> Iterator[str]:
  """Gives an empty folder to fill, which takes the place of `path` as a whole when the block ends
  without an exception: a reader finds the old files or the new ones, never some of both.

  names: of the files that `path` may hold already; another one is nobody's to delete, and refused
  with ValueError before the block begins. first: what another process put there meanwhile stays.
  """
  check_replaceable(path, names)
  if storage.remote(path):
    with tempfile.TemporaryDirectory() as place:
      yield place
      _publish(place, path, first)
    return
  os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
  place = draft(path)
  os.mkdir(place)
  try:
    yield place
    for parent, _, inside in os.walk(place):
      for name in inside:
        _flush(os.path.join(parent, name))
    try:
      os.rename(place, path)
    except OSError:
      if not os.path.isdir(path):
        raise
      if not first:
        check_replaceable(path, names)
        _exchange(place, path)
  finally:
    shutil.rmtree(place, ignore_errors=True)  # the draft, or what was at its place


def check_replaceable(path, names) -> None:
  """Raises ValueError unless `path` is free, or a folder that holds nothing but `names` and what a
  process that was killed, or is at work, drafts of them."""
  if not lies(path):
    return
  if is_link(path) or not storage.is_folder(path):
    raise ValueError(f'{path} is no folder; name one that does not exist yet')
  own = {*names, MARK, storage.TRIAL} if storage.remote(path) else set(names)
  found = storage.names(path)
  foreign = sorted(name for name in found if re.sub(rf'{_DRAFT}$', '', name) not in own)
  if foreign:
    raise ValueError(
      f'{path} holds {foreign[0]!r}, which would be lost; name a folder that does not exist yet'
    )


def draft(path) -> str:
  """A name beside `path` that no other process uses; deletes what killed ones left a day ago."""
  parent, name = os.path.split(os.path.abspath(os.fspath(path)))
  left = re.compile(re.escape(name) + _DRAFT)
  for found in os.listdir(parent):
    place = os.path.join(parent, found)
    with contextlib.suppress(OSError):
      if left.fullmatch(found) and time.time() - _changed(place) > _STALE_SECONDS:
        delete(place)
  return os.path.join(parent, f'{name}.{secrets.token_hex(4)}.tmp')


def delete(path) -> None:
  """Deletes a file, a link or a folder with all that is in it; follows no link. Raises OSError."""
  if storage.remote(path):
    storage.delete(path)
  elif os.path.isdir(path) and not os.path.islink(path):
    shutil.rmtree(path)
  else:
    os.remove(path)


def names(folder) -> list[str]:
  """What a folder holds, [] where there is none; raises ValueError where a link stands for it, so
  that nothing behind the link is deleted or moved."""
  if is_link(folder):
    raise ValueError(f'{folder} is a link; put the folder itself there')
  return storage.names(folder)


def whole_folders(top) -> list[str]:
  """The names of the folders in `top` that were written to their end."""
  if not storage.remote(top):
    return [name for name in storage.names(top) if os.path.isdir(os.path.join(top, name))]
  ends = (name.partition(f'/{MARK}') for name in storage.below(top))
  return [name for name, mark, rest in ends if mark and not rest and '/' not in name]


def lies(path) -> bool:
  """Is there anything of this name, be it a link that leads nowhere?"""
  return storage.exists(path) if storage.remote(path) else os.path.lexists(path)


def is_link(path) -> bool:
  """Is it a link? There are none in a bucket."""
  return not storage.remote(path) and os.path.islink(path)


def check_inside(top) -> None:
  """Raises ValueError, naming it, for a link below `top` that leads out of it, or anything that is
  neither a file nor a folder. Hidden folders are not looked into: nothing of ours lies there."""
  if storage.remote(top):
    return
  real, folders = os.path.realpath(top), [os.fspath(top)]
  while folders:
    place = folders.pop()
    with contextlib.suppress(FileNotFoundError):  # a run at work deletes and renames
      for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
        if _is_folder(entry, top, real) and not entry.name.startswith('.'):
          folders.append(entry.path)


def _is_folder(entry, top, real):
  """Is it a folder? Raises as `check_inside`."""
  try:
    mode = entry.stat(follow_symlinks=False).st_mode
  except FileNotFoundError:
    return False
  aim = os.path.realpath(entry.path)
  if stat.S_ISLNK(mode) and os.path.commonpath([aim, real]) != real:
    raise ValueError(
      f'{entry.path} is a link to {aim}, out of {top}, where nothing is to be written or deleted; '
      'put the file or folder itself there'
    )
  if not (stat.S_ISLNK(mode) or stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
    raise ValueError(f'{entry.path} is neither a file nor a folder; delete it')
  return stat.S_ISDIR(mode)


def write_json(path, value) -> None:
  """Writes `value` as JSON that every reader takes; raises ValueError for NaN or infinity."""
  with whole(path) as file:
    json.dump(value, file, indent=1, allow_nan=False)


def unwritable(what, error) -> OSError:
  """The system's refusal of a write as '{what} (why); what helps': only a full disk wants space.

  error: an OSError, or an exception of a library that quotes one.
  """
  number, reason = getattr(error, 'errno', None), getattr(error, 'strerror', None)
  if number is None:
    number = next((code for code in _REMEDIES if os.strerror(code) in str(error)), None)
  if reason is None:
    reason = (str(error) or type(error).__name__).splitlines()[0][-200:] if number is None else (
      os.strerror(number)
    )
  remedy = f'{_REMEDIES[number]}, or ' if number in _REMEDIES else ''
  return OSError(f'{what} ({reason}); {remedy}choose another --workdir')


def sha256(path) -> str:
  """64 hex digits of the bytes of a file; raises as input_file.opened."""
  with input_file.opened(path) as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def digest(*parts) -> str:
  """First 16 hex digits of the sha256 over arrays (dtype, shape and bytes) and strings."""
  sha = hashlib.sha256()
  for part in parts:
    if isinstance(part, str):
      sha.update(part.encode())
    else:
      part = np.ascontiguousarray(part)
      sha.update(f'{part.dtype} {part.shape} '.encode())
      sha.update(part.data)
  return sha.hexdigest()[:16]


def _publish(place, path, first):
  """Copies a folder of this machine to a bucket, the mark last; what else the old one had goes."""
  if first and storage.exists(f'{path}/{MARK}'):
    return
  old = storage.below(path)
  if MARK in old:
    storage.delete(f'{path}/{MARK}')
  new = {
    os.path.relpath(os.path.join(parent, name), place)
    for parent, _, inside in os.walk(place) for name in inside
  }
  for name in sorted(new):
    storage.put(os.path.join(place, name), f'{path}/{name}')
  for name in old.keys() - new - {MARK}:
    storage.delete(f'{path}/{name}')
  bucket.put(f'{path}/{MARK}', b'')


def _changed(path):
  """When a draft was last written to, in seconds since 1970."""
  inside = os.scandir(path) if os.path.isdir(path) else ()
  return max([os.lstat(path).st_mtime, *(entry.stat().st_mtime for entry in inside)])


def _flush(path):
  """Waits until a file is on the disk."""
  number = os.open(path, os.O_RDONLY)
  try:
    os.fsync(number)
  finally:
    os.close(number)


def _exchange(one, other):
  """Two folders change places, at once where the system can."""
  call = getattr(ctypes.CDLL(None, use_errno=True), 'renameat2', None)
  if call and not call(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE):
    return
  aside = draft(other)
  os.rename(other, aside)
  os.rename(one, other)
  os.rename(aside, one)
