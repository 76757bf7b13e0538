"""What the files of a data set hold, in a few hex digits.

Every byte is read, so that neither an equal size nor a kept date hides a change. What took long is
remembered in adiff/contents of $XDG_CACHE_HOME or ~/.cache, by the files' names, sizes, places on
the disk and the times of their last change, which no program can set; or by the generations of
objects in a bucket.
"""

import contextlib
import os
import pathlib
import re
import time
from collections.abc import Sequence
from concurrent import futures

import tqdm

from adiff.machine import files, input_file, storage

_LONG = 1.0  # seconds of reading that are worth remembering
_SETTLED = 2.0  # seconds without a change: an earlier one might bear the same time as the next
_CHUNK = 1024
_ASKED = 32  # objects of a bucket at a time


def digest(root, names: Sequence[str]) -> str:
  """16 hex digits over the names below the folder `root` and the bytes of these files.

  All cores read; a bar shows what takes longer than three seconds. Raises OSError where a file
  cannot be read, ValueError where one is a FIFO or a device.
  """
  names, root = sorted(names), storage.path(root)
  listing, changed = _listing(root, names)
  kept = _folder() / listing
  with contextlib.suppress(OSError, input_file.Unreadable):
    if re.fullmatch(b'[0-9a-f]{16}', text := input_file.read(kept, limit=16)):
      return text.decode()
  begun = time.time()
  found = digest_of(_digests(root, names))
  if time.time() - begun > _LONG and begun - changed > _SETTLED:
    with contextlib.suppress(OSError):  # it is as right without
      if _listing(root, names)[0] == listing:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with files.whole(kept) as file:
          file.write(found)
  return found


def digest_of(digests) -> str:
  """16 hex digits of (name, 64 hex digits of the bytes) in the order of the names, wherever the
  bytes lie."""
  return files.digest(repr(list(digests)))


def _digests(root, names):
  """[(name, sha256)]."""
  found = []
  with (
    futures.ThreadPoolExecutor(_ASKED if storage.remote(root) else os.cpu_count()) as pool,
    tqdm.tqdm(total=len(names), desc=f'read {root.name}', unit='file', delay=3, leave=False) as bar,
  ):
    for start in range(0, len(names), _CHUNK):
      chunk = names[start:start + _CHUNK]
      for name, sha in zip(
        chunk, pool.map(files.sha256, [root / name for name in chunk]), strict=True
      ):
        found.append((name, sha))
        bar.update()
  return found


def _listing(root, names):
  """(what the system says of the files, in 16 hex digits; seconds of the last change)."""
  if storage.remote(root):
    found = storage.below(root)
    return files.digest(str(root), repr([(name, found.get(name)) for name in names])), 0.0
  states = [os.stat(root / name) for name in names]
  said = [
    (name, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    for name, state in zip(names, states, strict=True)
  ]
  return files.digest(repr(said)), max((state.st_ctime for state in states), default=0.0)


def _folder():
  home = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
  return pathlib.Path(home).expanduser() / 'adiff' / 'contents'
