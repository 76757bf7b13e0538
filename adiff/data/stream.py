"""A corpus as one stream of symbols: in memory, or tokenised once into files."""

import array
import contextlib
import pathlib
from typing import NamedTuple

import numpy as np
import tqdm

from adiff.machine import array_file, files, input_file

RAM_CHARACTERS = 64 * 2**20
_NAMES = ('bounds.npy', 'tokens')


class Stream(NamedTuple):
  """The symbols of all documents, end-of-text after each."""

  tokens: np.ndarray  # int [T]
  bounds: np.ndarray  # int64 [documents + 1]: document d is tokens[bounds[d]:bounds[d + 1]]


def tokenise(documents, tokenizer, folder) -> Stream:
  """The `Stream` of documents: in memory, or above RAM_CHARACTERS in files of `folder`.

  The folder, a pathlib.Path, is written under another name and renamed when complete; when it is
  there, it is read and no document is. Raises ValueError for a damaged folder.
  """
  dtype = np.uint16 if tokenizer.vocab <= 2**16 else np.uint32
  if folder.is_dir():
    return _load(folder, dtype)
  lengths, pending, waiting, part = array.array('q', [0]), [np.empty(0, dtype)], 0, None
  with contextlib.ExitStack() as held:
    for text in tqdm.tqdm(documents, 'tokenise', unit='document', delay=3, dynamic_ncols=True):
      ids = tokenizer.symbols(text)
      lengths.append(len(ids) + 1)
      pending += [ids.astype(dtype), np.array([tokenizer.eos], dtype)]
      waiting += len(text) + 1
      if waiting > RAM_CHARACTERS:
        if part is None:
          part = pathlib.Path(held.enter_context(files.folder(folder, _NAMES, first=True)))
        _append(part, pending)
        pending, waiting = [np.empty(0, dtype)], 0
    bounds = np.cumsum(np.asarray(lengths, np.int64))
    if part is None:
      return Stream(np.concatenate(pending), bounds)
    _append(part, pending)
    with files.whole(part / 'bounds.npy', 'wb') as file:
      np.save(file, bounds)
  return _load(folder, dtype)


def _load(folder, dtype):
  advice = 'is damaged; delete it, and it is made again'
  try:
    bounds = array_file.npy(folder / 'bounds.npy')
    with input_file.opened(folder / 'tokens') as file:
      count = input_file.size(file) / np.dtype(dtype).itemsize
  except (input_file.Unreadable, FileNotFoundError) as error:
    raise ValueError(f'{folder} {advice}') from error
  rising = (
    bounds.dtype == np.int64 and bounds.ndim == 1 and len(bounds) > 1 and bounds[0] == 0
    and (bounds[1:] > bounds[:-1]).all()
  )
  if not rising or bounds[-1] != count:
    raise ValueError(f'{folder} {advice}')
  return Stream(np.memmap(folder / 'tokens', dtype, mode='r'), bounds)


def _append(part, pending):
  """Writes the arrays of symbols that wait behind those that a folder has."""
  with open(part / 'tokens', 'ab') as file:
    np.concatenate(pending).tofile(file)
