"""What a path given by --out may be, asked before anything is computed.

A path that belongs to a run is refused: below a workdir only NAME.npz, exported.. and evals/NAME
are free, but for the few .npz that runs write; and what is there already is replaced by its own
kind alone.
"""

import contextlib
import os
import re
from typing import Any

from adiff.machine import array_file, files, input_file, manifest, storage

# Arrays of a file of samples, examples and labels, as numpy and the usual evaluators name them.
SAMPLES = ('arr_0', 'arr_1')
OLD_SAMPLES = ('examples', 'labels')  # of earlier versions
EXPORT = ('about.json', 'params.npz', 'program.bin')  # files of an exported sampler
EVALUATIONS = 'evals'  # in a workdir: evaluations that are not the run's own
_OF_RUNS = ('pictures.npz', 'reference.npz', 'eyes.npz')  # in a workdir: what runs write


def arrays(facts, examples, labels) -> dict[str, Any]:
  """The arrays of a file of samples, by their names. Of examples with several parts the picture, or
  the first part, is what evaluators of samples look for; the others are called as they are. facts:
  of the examples; None: they have one part."""
  if facts is None or not facts.parts:
    return dict(zip(SAMPLES, (examples, labels), strict=True))
  pictures = [name for name, part in facts.parts.items() if part.medium == 'image']
  first = pictures[0] if len(pictures) == 1 else next(iter(facts.parts))
  others = {name: part for name, part in examples.items() if name != first}
  return dict(zip(SAMPLES, (examples[first], labels), strict=True)) | others


_RUN, _EXPORTED, _SHARDS = 'run', 'exported', 'shards'
_MARKS = (  # files that a folder is told by, and whose it is
  (('contract.json',), _RUN), (('config.json', 'checkpoints'), _RUN),
  (('made_by.json',), _SHARDS), (EXPORT, _EXPORTED),
)


def check_file(path, *, size=0) -> None:
  """Raises ValueError where `path` cannot become a file of samples of `size` bytes at least."""
  folder = storage.parent(storage.absolute(path))
  there = True if storage.remote(path) else os.path.isdir(folder)
  if not there or (files.lies(path) and not storage.is_file(path)):
    raise ValueError(f'{path} cannot be written: name a file in a folder that exists with --out')
  _check_owner(path, r'[^./][^/]*\.npz', 'NAME.npz')
  if os.path.basename(path) in _OF_RUNS and _owner(folder)[1] == _RUN:
    raise ValueError(f'{path} is the name of a file of the run; write another one with --out')
  if storage.exists(path) and not _holds_samples(path):
    raise ValueError(
      f'{path} is there already and holds no samples; name another file with --out, or delete it'
    )
  _check_space(path, folder, size, 'ask for fewer samples, or free space')


def _check_space(path, folder, size, remedy):
  """Raises ValueError where the disk of a folder cannot take `size` bytes; a bucket is never
  full."""
  if storage.remote(path):
    return
  disk = os.statvfs(folder)
  if size > disk.f_bavail * disk.f_frsize:
    raise ValueError(
      f'{path} would have {size / 2**30:.4g} GiB at least, more than its disk has free; {remedy}'
    )


def check_set(path, names, folders, *, size=0) -> None:
  """Raises ValueError where `path` cannot become, or go on as, a set of files `names`, and of
  `folders` that hold files NUMBER.npz alone, of `size` bytes at least; OSError where it cannot be
  written."""
  _check_owner(path, own=_SHARDS)
  files.check_replaceable(path, (*names, *folders))
  for folder in folders:
    place = os.path.join(path, folder)
    numbered = [name for name in files.names(place) if re.match(r'\d+\.npz', name)]
    files.check_replaceable(place, numbered)
  check_writable(path)
  place = storage.absolute(path)
  while not storage.exists(place) and place != storage.parent(place):
    place = storage.parent(place)
  _check_space(path, place, size, 'name another folder, or free space')


def check_export(path) -> None:
  """Raises ValueError where `path` cannot become the folder of an exported sampler."""
  _check_owner(path, r'exported[^/]*', 'exported')
  files.check_replaceable(path, EXPORT)


def check_page(path, names) -> None:
  """Raises ValueError where `path` cannot become a folder of files `names` of its own."""
  _check_owner(path)
  files.check_replaceable(path, names)


def check_evaluation(path, names) -> None:
  """Raises ValueError where `path` cannot become, or go on as, a folder of files `names` and of
  evaluations by step: of a workdir, only what lies in its folder evals is free."""
  _check_owner(
    path, rf'{EVALUATIONS}/[^./].*', os.path.join(EVALUATIONS, 'NAME'), own=_SHARDS
  )
  files.check_replaceable(path, [
    *names, *(name for name in files.names(path) if manifest.step_of(name) is not None)
  ])
  check_writable(path)


def check_writable(folder) -> None:
  """Raises OSError where a folder, or what it would be made in, cannot be written."""
  if storage.remote(folder):
    storage.check_writable(folder)
    return
  place = os.path.abspath(folder)
  while not os.path.lexists(place):
    place = os.path.dirname(place)
  if not os.path.isdir(place) or not os.access(place, os.W_OK | os.X_OK):
    raise OSError(f'{folder} cannot be written; name another folder with --out')


def _owner(path):
  """(the folder that holds a path, however deep, or is it; whose it is), or (None, '')."""
  place, below = _real(path), None
  while place != below:
    for names, kind in _MARKS:
      if all(files.lies(os.path.join(place, name)) for name in names):
        return place, kind
    place, below = storage.parent(place), place
  return None, ''


def _real(path):
  """The path without links; there are none in a bucket."""
  return storage.absolute(path) if storage.remote(path) else os.path.realpath(path)


def _check_owner(path, free='', example='', own=''):
  """free: pattern of the names below a workdir that are not the run's; example: one. own: of this
  kind `path` itself may be."""
  top, kind = _owner(storage.parent(storage.absolute(path)))
  if top is None:
    top, kind = _owner(path)
    if top is None or kind == own or (kind == _EXPORTED and example == _EXPORTED):
      return  # replaced as a whole
  inside = os.path.relpath(_real(path), _real(top))
  if inside == os.curdir:
    raise ValueError(f'{path} is not empty, it is a run of its own; name a path that is free')
  if kind != _RUN or not free or not re.fullmatch(free, inside):
    hint = f', or {os.path.join(top, example)}' if example and kind == _RUN else ''
    raise ValueError(
      f'{path} belongs to {top}, whose files are its own; name a path outside of it{hint}'
    )


def _holds_samples(path):
  with contextlib.suppress(OSError, input_file.Unreadable):
    there = array_file.names(path)
    return there >= set(SAMPLES) or there >= set(OLD_SAMPLES)
  return False
