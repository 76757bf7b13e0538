"""Copies, on a disk of this machine, of what lies in a bucket: for readers of maps, records and
zips, who need files.

They are kept in adiff/objects of $XDG_CACHE_HOME or ~/.cache, a folder a content: names, sizes and
generations. Nothing deletes them; what is deleted is copied again.
"""

import os
import pathlib
import shutil
from concurrent import futures

import tqdm

from adiff.machine import files, storage

_THREADS = 16


def here(place) -> pathlib.Path:
  """The file or folder itself where it lies on a disk, else a copy of all of it.

  Raises OSError where the bucket cannot be read, or the disk has too little space.
  """
  if not storage.remote(place):
    return pathlib.Path(place).expanduser()
  top = folder = storage.absolute(place)
  objects = storage.below(folder)
  if not objects and storage.is_file(top):
    folder, name = os.path.split(top)
    objects = {name: storage.facts(top)}
  if not objects:
    raise FileNotFoundError(f'there is no folder {top}')
  kept = _caches() / files.digest(top, repr(sorted(objects.items()))) / os.path.basename(folder)
  if not kept.is_dir():
    _copy(folder, objects, kept)
  return kept if folder == top else kept / name


def _copy(folder, objects, place):
  """Copies all objects; the folder appears whole."""
  place.parent.mkdir(parents=True, exist_ok=True)
  size, free = sum(facts.size for facts in objects.values()), shutil.disk_usage(place.parent).free
  if size > free:
    raise OSError(
      f'{folder} holds {size / 2**30:.4g} GiB, more than the {free / 2**30:.4g} GiB that '
      f'{_caches()} has free for a copy; set XDG_CACHE_HOME to a larger disk, or mount the bucket'
    )
  with (
    files.folder(place, first=True) as draft, futures.ThreadPoolExecutor(_THREADS) as pool,
    tqdm.tqdm(total=size, desc=f'copy {folder}', unit='B', unit_scale=True, delay=3) as bar,
  ):
    for name in objects:
      os.makedirs(os.path.dirname(os.path.join(draft, name)), exist_ok=True)
    made = pool.map(
      storage.get, [f'{folder}/{name}' for name in objects],
      [os.path.join(draft, name) for name in objects],
    )
    for facts, _ in zip(objects.values(), made, strict=True):
      bar.update(facts.size)


def _caches():
  home = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
  return pathlib.Path(home).expanduser() / 'adiff' / 'objects'
