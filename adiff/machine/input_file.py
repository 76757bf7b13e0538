"""Files as others left them: opened where they are files, read up to a limit, told of in words.

Whatever is read from a disk or a bucket comes through here: through this module, or one of those
that stand on it, a kind each: json_file, array_file, zip_file, data/pictures and data/tfds_folder.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

from adiff.machine import bucket, storage


class Unreadable(ValueError):
  """A file that is not what it must be; its text is one sentence that begins with the file."""


@contextlib.contextmanager
def opened(path, *, limit=None) -> Iterator[BinaryIO]:
  """Opens a regular file for reading; limit: bytes that it may hold at most.

  Raises FileNotFoundError where there is none, Unreadable for a folder, a pipe, a device or more
  bytes, OSError where the system refuses. Never waits for a pipe's other end.
  """
  reader = storage.open_object if storage.remote(path) else _plain
  try:
    file = reader(path)
  except (FileNotFoundError, bucket.NoLibrary):
    raise
  except IsADirectoryError as error:
    raise Unreadable(f'{path} is a folder where a file must be') from error
  except OSError as error:
    raise _refused(path, error) from error
  except ValueError as error:  # a zero in the name
    raise Unreadable(f'{os.fspath(path)!r} is no name of a file') from error
  with file:
    if reader is _plain and not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
      raise Unreadable(f'{path} is a pipe, a socket or a device where a file must be')
    if limit is not None and size(file) > limit:
      raise Unreadable(f'{path} holds {size(file)} bytes where at most {limit} are read')
    yield file


def _plain(path):
  return open(path, 'rb', opener=lambda name, how: os.open(name, how | os.O_NONBLOCK))


def size(file) -> int:
  """The bytes of an open file, wherever it lies; it stays where it was read to."""
  place = file.tell()
  end = file.seek(0, os.SEEK_END)
  file.seek(place)
  return end


def read(path, *, limit) -> bytes:
  """All bytes of a file; raises as `opened`."""
  with opened(path, limit=limit) as file, told(path, 'cannot be read'):
    content = file.read(limit + 1)
  if len(content) > limit:
    raise Unreadable(f'{path} grew beyond the {limit} bytes that are read')
  return content


@contextlib.contextmanager
def told(path, fault, advice='') -> Iterator[None]:
  """Whatever a library raises of `path` becomes one sentence: '{path} {fault} (why); {advice}'.

  Unreadable stays what it is. What the system refused is an OSError; all else is Unreadable, a lack
  of memory and the panics of libraries in Rust included.
  """
  try:
    yield
  except Unreadable:
    raise
  except BaseException as error:
    if isinstance(error, OSError) and error.errno is not None:
      raise _refused(path, error) from error
    if not isinstance(error, Exception) and type(error).__module__ != 'pyo3_runtime':
      raise
    raise Unreadable(
      f'{path} {fault} ({_why(error)})' + (f'; {advice}' if advice else '')
    ) from error


def hidden(name: str) -> bool:
  """Does a system or an editor hide a file or folder of this name? Nothing in it is data."""
  return name.startswith('.') or name == '__MACOSX'


def _refused(path, error):
  """The system's refusal, with the file's name."""
  return OSError(error.errno, f'{path} cannot be read ({error.strerror})')


def _why(error):
  """What an exception says, on one line and not too long."""
  text = ' '.join(str(error).split()).strip(' .')
  if not text:
    return type(error).__name__
  return text if len(text) <= 160 else f'{text[:160]}..'
