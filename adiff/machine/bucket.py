"""The client of buckets, gs://BUCKET/NAME: the library that knows them, what it raises in words,
and writes that are bound to a generation.

etils.epath finds the library (package gcsfs, extra 'gcs'), as it does for orbax and TFDS.
"""

import contextlib
import errno
import functools
import logging
import os
from collections.abc import Iterator
from typing import Any

SCHEME = 'gs://'
_LIBRARIES = ('gcsfs', 'aiohttp', 'google', 'requests')
_NO_KEY = (
  'no credentials of Google Cloud are here: run `gcloud auth application-default login`, or set '
  'GOOGLE_APPLICATION_CREDENTIALS'
)
_lost: dict[str, str] = {}  # name of a folder -> what is said of its lock


class NoLibrary(ValueError):
  """There is no client library here."""


@functools.cache
def files() -> Any:
  """The file system of all buckets (fsspec); raises NoLibrary where its package is missing."""
  os.environ.setdefault('EPATH_USE_TF', 'false')  # else epath imports TensorFlow where it is
  import fsspec
  from etils import epath  # A tenth of a second that runs on disks need not pay.

  # Others write too: a listing is asked for every time. What is sent is compared by its checksum.
  fsspec.config.conf.setdefault('gcs', {}).update(use_listings_cache=False, consistency='md5')
  logging.getLogger('gcsfs').setLevel(logging.CRITICAL)  # what it logs it also raises
  try:
    return epath.backend.fsspec_backend.fs(SCHEME)
  except ImportError as error:
    raise NoLibrary(
      f'{SCHEME} needs the package gcsfs, which is not installed; `pip install adiff[gcs]`, or '
      'mount the bucket'
    ) from error


def name(path) -> str:
  """BUCKET/NAME."""
  return os.fspath(path)[len(SCHEME):].rstrip('/')


def put(path, content, generation=None) -> int:
  """Writes bytes as an object; returns its generation. generation: the one that it must have, 0
  where it must not exist; FileExistsError where that does not hold."""
  top, _, inside = name(path).partition('/')
  expected = {} if generation is None else {'ifGenerationMatch': generation}
  with told(path, writing=True):
    place = files().base.replace('/storage/v1/', '/upload/storage/v1/')
    made = files().call(
      'POST', f'{place}b/{{}}/o', top, uploadType='media', name=inside, data=content, json_out=True,
      headers={'Content-Type': 'application/octet-stream'}, **expected,
    )
  return int(made['generation'])


def generation(path) -> int:
  """The generation of an object, 0 where there is none."""
  with told(path):
    try:
      return int(files().info(name(path)).get('generation', 0))
    except FileNotFoundError:
      return 0


def delete(path, generation) -> None:
  """Deletes an object if it is of this generation still; FileExistsError where it is not."""
  top, _, inside = name(path).partition('/')
  with told(path):
    files().call('DELETE', 'b/{}/o/{}', top, inside, ifGenerationMatch=generation)


def lose(folder, sentence) -> None:
  """From now on nothing is written into a folder: its lock is somebody else's."""
  _lost[name(folder)] = sentence


def check_held(path) -> None:
  """Raises OSError where the lock of a folder above `path` was lost."""
  for folder, sentence in _lost.items():
    if name(path).startswith(f'{folder}/'):
      raise OSError(sentence)


@contextlib.contextmanager
def told(path, *, writing=False) -> Iterator[None]:
  """What the library raises of `path` becomes an OSError, whose strerror says why.

  writing: what is not found is the bucket.
  """
  try:
    yield
  except FileNotFoundError as error:
    if writing:
      top = f'{SCHEME}{name(path).split("/")[0]}'
      raise OSError(
        errno.ENXIO, f'there is no bucket {top}: correct the name, or make it by `gcloud storage '
        f'buckets create {top}`', os.fspath(path),
      ) from error
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path)) from error
  except (FileExistsError, IsADirectoryError, NoLibrary):
    raise
  except Exception as error:
    raise OSError(*reason(error), os.fspath(path)) from error


def refused(error) -> bool:
  """Does an exception of any library say that the service refused, or could not be reached?"""
  known = type(error).__module__.split('.')[0] in _LIBRARIES
  return known or hasattr(error, 'code') or 'HTTP response code' in str(error)


def reason(error) -> tuple[int, str]:
  """(number of the system, words) of what the library raises."""
  code, text = str(getattr(error, 'code', '')), ' '.join(str(error).split())
  if code == '401' or 'Anonymous caller' in text:
    return errno.EACCES, _NO_KEY
  if code == '403' or text.startswith('Forbidden'):
    return errno.EACCES, os.strerror(errno.EACCES)
  if getattr(error, 'errno', None) is not None:
    return error.errno, error.strerror
  return errno.EIO, f'{type(error).__name__}: {text[:160]}'.rstrip(': ')
