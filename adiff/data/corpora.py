"""Corpora: documents of text, split into what is trained on and what is held out."""

import abc
import collections.abc
import functools
import hashlib
import itertools
import os
import pathlib
import platform
import pydoc_data.topics

import numpy as np
from absl import logging

from adiff.data import base, tfds_folder
from adiff.machine import files, input_file, storage

_SUFFIXES = '.txt .md .rst .tex .html .py .c .h .cc .cpp .go .rs .java .js .ts .sh .json'.split()
_CHUNK = 1024
_MOST_BYTES = 2**30  # of a file; a longer text is a folder of them


class Corpus(abc.ABC):
  """Documents of text, by split; test is what is held out."""

  splits = ('train', 'test')

  @property
  @abc.abstractmethod
  def name(self) -> str:
    """The corpus in words, for reports."""

  @property
  @abc.abstractmethod
  def fingerprint(self) -> str:
    """16 hex digits that change when the text changes."""

  @abc.abstractmethod
  def documents(self, split) -> collections.abc.Sequence[str]:
    """A sequence of str, read when asked for; raises ValueError for an unknown split."""


class Documents(collections.abc.Sequence):
  """A sequence of str behind read(list of indices) -> list of str."""

  def __init__(self, size, read):
    self._size, self._read = size, read

  def __len__(self):
    return self._size

  def __getitem__(self, index):
    if isinstance(index, slice):
      return self._read(list(range(self._size)[index]))
    return self._read([range(self._size)[index]])[0]

  def __iter__(self):
    for start in range(0, self._size, _CHUNK):
      yield from self[start:start + _CHUNK]


class PythonDocs(Corpus):
  """The language reference inside Python itself: one document a topic, some 370,000 characters.

  Every tenth topic, by name, is held out. Topics that are mostly sections of longer ones are left
  out, or held-out text would be trained on. Needs no download; differs between versions of Python.
  """

  @functools.cached_property
  def _texts(self):
    topics, seen, kept = pydoc_data.topics.topics, set(), []
    for key in sorted(topics, key=lambda key: (-len(topics[key]), key)):
      lines = [line.strip() for line in topics[key].splitlines() if line.strip()]
      if 2 * sum(line in seen for line in lines) <= len(lines):
        kept.append(key)
        seen.update(lines)
    return [topics[key] for key in sorted(kept)]

  @property
  def name(self):
    version = f'Python {platform.python_version()}'
    return f'{version} documentation (pydoc_data.topics), sha256 {self.fingerprint}'

  @functools.cached_property
  def fingerprint(self):
    return files.digest(repr(self._texts))

  def documents(self, split):
    train = base.check_split(split, self.splits) == 'train'
    # From the second, for these are neither the shortest topics nor the longest ones.
    return [text for i, text in enumerate(self._texts) if (i % 10 != 1) == train]


def _decoded(path):
  """The text of a file; raises UnicodeDecodeError, or ValueError where it is too large."""
  return input_file.read(path, limit=_MOST_BYTES).decode('utf-8')


def _read(path):
  """The text of a file; raises ValueError where it is not UTF-8 or too large."""
  try:
    return _decoded(path)
  except UnicodeDecodeError as error:
    raise ValueError(
      f'{path} is not UTF-8 at byte {error.start}; save it again as UTF-8'
    ) from error


class Files(Corpus):
  """A text file, or a folder of them, in UTF-8.

  A file is split by position: its first nine tenths of characters train, the rest is held out. Of
  a folder every text file below it is a document, by its suffix (.txt, .md, .rst, .py and other
  sources) and unless it is hidden, empty or not UTF-8; sorted by the hash of the relative name,
  every tenth is held out. Raises FileNotFoundError for a missing path, ValueError for no text.
  """

  def __init__(self, path):
    self._path = storage.path(path)
    if not str(path) or not self._path.exists():
      raise FileNotFoundError(
        f"there is no file or folder '{path}'; give a text file or a folder of text files"
      )
    if self._path.is_dir():
      if len(self._digests) < 2:
        raise ValueError(
          f'{self._path} holds {len(self._digests)} text files in UTF-8; training '
          'and held-out text need at least two'
        )
    elif len(self._text) < 2:
      raise ValueError(f'{self._path} holds no text; give a file of two characters or more')

  @functools.cached_property
  def _text(self):
    return _read(self._path)

  @functools.cached_property
  def _digests(self):
    """{relative name: digest} of what a folder holds."""
    digests, others = {}, 0
    for name in self._names():
      try:
        if text := _decoded(self._path / name):
          digests[name.as_posix()] = files.digest(text)
      except UnicodeDecodeError:
        others += 1
    if others:
      logging.warning('%s: %d files are not UTF-8 and are left out', self._path, others)
    return digests

  def _names(self):
    """The relative names of what is called as text is, sorted."""
    found = []
    for folder, folders, names in storage.walk(self._path):
      folders[:] = itertools.filterfalse(input_file.hidden, folders)
      for name in itertools.filterfalse(input_file.hidden, names):
        path = os.path.join(folder, name)
        if os.path.splitext(name)[1].lower() in _SUFFIXES and storage.is_listed_file(path):
          found.append(pathlib.PurePosixPath(os.path.relpath(path, self._path)))
    return sorted(found)

  @property
  def name(self):
    count = f' ({len(self._digests)} files)' if self._path.is_dir() else ''
    return f'{self._path.name}{count}, sha256 {self.fingerprint}'

  @functools.cached_property
  def fingerprint(self):
    return files.digest(repr(self._digests) if self._path.is_dir() else self._text)

  def documents(self, split):
    base.check_split(split, self.splits)
    if not self._path.is_dir():
      cut = len(self._text) * 9 // 10
      return [self._text[:cut] if split == 'train' else self._text[cut:]]
    names = sorted(self._digests, key=_hash)
    test = set(names[::10])
    names = sorted(test if split == 'test' else set(names) - test)

    def read(indices):
      return [_read(self._path / names[i]) for i in indices]

    return Documents(len(names), read)


def _hash(name):
  return hashlib.sha256(os.fsencode(name)).digest()


class TfdsText(Corpus):
  """The feature 'text' of a TFDS folder in ArrayRecord format, read without TensorFlow.

  dataset: folder under `data_dir`, such as 'lm1b'; the newest version is taken. heldout: the split
  held out, or a sum such as 'validation+test', in that order; '' is test or else validation. Where
  every split is one document, the splits are pieces of one text, and a sum joins them into one.
  Raises FileNotFoundError for a missing folder and ValueError for a set that is not like this.
  """

  def __init__(self, dataset, data_dir, heldout=''):
    self._dataset, self._folder = dataset, tfds_folder.find(data_dir, dataset)
    self._builder = tfds_folder.builder(self._folder)
    info = self._builder.info
    tfds_folder.check_random_access(info, dataset)
    feature = info.features['text'] if 'text' in info.features else None
    if feature is None or feature.shape != () or feature.np_dtype != np.dtype(object):
      raise ValueError(f"{dataset} has no feature 'text' that is a string; choose a text data set")
    self._heldout = heldout or ('test' if 'test' in info.splits else 'validation')
    self._parts = self._heldout.split('+')
    if 'train' in self._parts or not {'train', *self._parts} <= set(info.splits):
      raise ValueError(
        f"{dataset} has the splits {', '.join(info.splits)} and cannot train on 'train' and hold "
        f"out '{self._heldout}'; set heldout to other splits it has, joined by +"
      )

  @property
  def name(self):
    return (
      f'{self._dataset} {self._folder.name} (TFDS, held out: {self._heldout}), '
      f'fingerprint {self.fingerprint}'
    )

  @functools.cached_property
  def fingerprint(self):
    return files.digest(tfds_folder.fingerprint(self._folder, self._dataset), self._heldout)

  def documents(self, split):
    train = base.check_split(split, self.splits) == 'train'
    records = tfds_folder.Records(self._folder, self._builder, 'train' if train else self._heldout)

    def read(indices):
      with input_file.told(self._folder, 'holds text that is not UTF-8', 'prepare it again'):
        return [item['text'].decode('utf-8') for item in records.read(indices)]

    splits = self._builder.info.splits
    if all(splits[part].num_examples == 1 for part in ('train', *self._parts)):
      return [''.join(read(range(len(records))))]
    return Documents(len(records), read)
