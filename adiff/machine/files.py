"""Files that appear whole or not at all, and what they hold in a few hex digits."""

import contextlib
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np


@contextlib.contextmanager
def whole(path, mode='w') -> Iterator[Any]:
  """Opens `path` for writing; it holds all that was written, or what it held before.

  The only writer of whole files: a draft beside the file (`path`.tmp) is flushed to the disk and
  takes its name when the block ends without an exception, and is deleted otherwise. mode: w for
  UTF-8 text, wb for bytes. Raises OSError where the folder cannot be written.
  """
  draft = f'{path}.tmp'
  try:
    with open(draft, mode, encoding=None if 'b' in mode else 'utf-8') as file:
      yield file
      file.flush()
      os.fsync(file.fileno())
    os.replace(draft, path)
  except BaseException:
    pathlib.Path(draft).unlink(missing_ok=True)
    raise


def write_json(path, value) -> None:
  """Writes `value` as JSON that every reader takes; raises ValueError for NaN or infinity."""
  with whole(path) as file:
    json.dump(value, file, indent=1, allow_nan=False)


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
