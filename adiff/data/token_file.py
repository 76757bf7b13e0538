"""The files of a set of tokens: `--mode=encode` writes them (run/encode.py), data/encoded.py reads.

  DIR/encoded.json     what the set is; written last, so that a folder without it is none yet
  DIR/codec/NAME       what of the codec is a file of its own
  DIR/SPLIT/00000.npz  a shard, by its number; nothing in it is packed, so that it can be mapped
  DIR/made_by.json     all that the set follows from

A shard holds `tokens` in raster order, [n * copies, N(, D)], the copies of an example one after
another, float32, or the smallest whole numbers that the symbols fit; of texts [T], each followed by
its end-of-text, and `lengths` int64 [n] of them with it; what the examples have besides, such as
`label` int32 [n]; what the statistics of the set are the sum of; and whose it is.
"""

import json
import os
from collections.abc import Callable, Sequence

import numpy as np

from adiff.data import facts_file
from adiff.machine import array_file, files, json_file

FILE, VERSION = 'encoded.json', 1
ADVICE = 'encode the data again'
SHARD = {  # what is told of one
  'examples': int, 'rows': int,  # of `tokens`
  'bytes': int, 'sha256': str,
}
FORM = {
  'version': int,
  'facts': facts_file.FORM,  # of the examples
  'codec': {'name': str}, 'files': {str: str},  # as run/codec_file.py has them
  'codec_digest': str,
  'codec_words': str,  # what errors call it
  'splits': {str: {'copies': int, 'shards': [SHARD]}},  # training first
  'statistics': {str: dict},  # of a split
  'made_by': dict,
  'fingerprint': str,  # of the tokens
  'digest': str,  # of all the rest
}
ABOUT = ('made_by', 'counts', 'moments')  # in a shard: arrays that no example is read from
_OWN = ('tokens', 'lengths', *ABOUT)


def path(folder, split, index) -> str:
  """The file of a shard."""
  return os.path.join(folder, split, f'{index:05d}.npz')


def write_shard(place, key, arrays: dict[str, np.ndarray], beside: dict[str, np.ndarray]) -> None:
  """Writes a shard, whole or not at all, the same bytes for the same arrays. key: all that it
  follows from, in a few words. beside: what the examples have besides. Raises OSError."""
  taken = set(beside) & set(_OWN)
  if taken:
    raise ValueError(f'the examples have {taken.pop()!r}, a name that tokens have; call it else')
  with files.whole(place, 'wb') as file:
    np.savez(file, **arrays, **beside, made_by=np.array(key))


def read_shard(place, key) -> dict[str, np.ndarray]:
  """The arrays of a shard, to its last byte; raises ValueError where it is torn, or of another
  key, FileNotFoundError, or OSError."""
  found = array_file.npz(place, ('tokens', 'made_by'), advice=ADVICE)
  if found.pop('made_by').tolist() != list(key):
    raise ValueError(f'{place} is of another set; {ADVICE}')
  return found


def write(folder, told: dict) -> None:
  """Writes encoded.json; told: in FORM, without version, fingerprint and digest."""
  told = json_file.plain({'version': VERSION, **told})
  meaning = {key: value for key, value in told.items() if key not in ('made_by', 'statistics')}
  told['fingerprint'] = _digest(meaning)
  files.write_json(os.path.join(folder, FILE), {**told, 'digest': _digest(told)})


def read(folder) -> dict:
  """What encoded.json holds; raises FileNotFoundError, ValueError where it was changed."""
  place = os.path.join(folder, FILE)
  version = json_file.read(place, {'version': int}, advice=ADVICE)['version']
  if version != VERSION:
    raise ValueError(
      f'{place} has version {version} and this program reads {VERSION}; {ADVICE}'
    )
  told = json_file.read(place, FORM, advice=ADVICE)
  if told['digest'] != _digest({key: told[key] for key in told if key != 'digest'}):
    raise ValueError(f'{place} is not what was written, by its digest; {ADVICE}')
  return told


def _digest(told):
  return files.digest(json.dumps(told, sort_keys=True))


class Joined:
  """An array of all shards, along the first axis, opened where it is looked at."""

  def __init__(self, opened: Callable[[int], np.ndarray], rows: Sequence[int]):
    self._opened, self._ends = opened, np.cumsum(np.asarray(rows, np.int64))
    self._size = int(self._ends[-1])

  def __len__(self):
    return self._size

  def __getitem__(self, key):
    """The rows of whole numbers of any shape; of a slice from the first row on, what it leaves."""
    if isinstance(key, slice):
      return self._begun(range(len(self))[key])
    key = np.asarray(key, np.int64)
    if key.size and not 0 <= key.min() <= key.max() < len(self):
      raise IndexError(f'there are the rows 0 to {len(self) - 1}; ask for those')
    which, pieces = np.searchsorted(self._ends, key, side='right'), {}
    for number in np.unique(which).tolist() if key.size else [0]:
      begin = self._ends[number - 1] if number else 0
      pieces[number] = np.asarray(self._opened(number)[key[which == number] - begin])
    form, *_ = pieces.values()
    found = np.empty((*key.shape, *form.shape[1:]), np.result_type(*pieces.values()))
    for number, piece in pieces.items():
      found[which == number] = piece
    return found

  def _begun(self, kept):
    """The rows of a range that begins with the first one."""
    if kept.start or kept.step != 1:
      raise IndexError('rows are given from the first one on')
    rest = Joined(self._opened, np.diff(self._ends, prepend=0))
    rest._size = len(kept)
    return rest
