"""Pictures of one's own with captions: metadata.jsonl beside them says what each shows."""

import functools
import hashlib
import os
import posixpath
from typing import Annotated, NamedTuple

import numpy as np

from adiff.codec import base as codec_base
from adiff.data import base, pictures, store
from adiff.judge.captioned import IMAGE, TEXT
from adiff.machine import contents, files, input_file, json_file, storage
from adiff.sequence import values

FILE = 'metadata.jsonl'
SYMBOLS = 257  # the bytes of UTF-8 from 1 on; 0 behind the end of a caption
_FORM = {'file_name': str, 'text': str}
_BYTES = 2**28  # of a FILE
_ADVICE = 'correct it or delete that line'


def lies_at(data_dir) -> bool:
  """Is there a folder of pictures with captions?"""
  return any(storage.is_file(one / FILE) for one in (storage.path(data_dir), *_folders(data_dir)))


def _folders(data_dir):
  """Of the splits, where each has one."""
  return [storage.path(data_dir) / name for name in ('train', 'test')]


class CaptionedFolder(base.Source):
  """Examples {'text': int32 [b, length], a caption's bytes, see SYMBOLS; 'image': uint8
  [b, size, size, 3]}.

  data_dir holds metadata.jsonl, a line {"file_name": .., "text": ..} a picture, and the pictures,
  which are read as pictures.RULE says; every test_every-th, by the hash of its name, goes to test.
  Or it holds two such folders, train and test. category: a further key of the lines, whose words in
  alphabetical order are labels that judges alone read; '': there are none. Raises
  FileNotFoundError where there is no such folder, Unreadable, in a sentence, for a line that is no
  such thing, a picture that is missing, named twice or lies elsewhere, a caption that is empty or
  has more than `length` bytes.
  """

  places = ('data_dir',)

  def __init__(
    self, data_dir: values.Path = '', size: values.Count = 32, length: values.Count = 64,
    test_every: Annotated[values.Count, values.at_least(2)] = 10, category: str = '',
  ):
    values.check_row(length)
    if category.endswith('?'):
      raise ValueError(f'data.category={category!r} ends in ?; write another key of the lines')
    self.shape, self.length, self.test_every = (size, size, 3), length, test_every
    root, folders = storage.path(data_dir), _folders(data_dir)
    if all(storage.is_file(folder / FILE) for folder in folders):
      lines = {folder.name: told(folder, length, category) for folder in folders}
      self._roots = {folder.name: folder for folder in folders}
    else:
      everything = told(root, length, category)
      names = sorted(everything, key=lambda name: hashlib.sha256(os.fsencode(name)).digest())
      test = set(names[::test_every])
      lines = {
        'train': {name: one for name, one in everything.items() if name not in test},
        'test': {name: one for name, one in everything.items() if name in test},
      }
      self._roots = {'train': root, 'test': root}
    self._told = {
      split: {name: line.text for name, line in own.items()} for split, own in lines.items()
    }
    self._labels = _labels(lines) if category else {}
    for split, captions in self._told.items():
      if not captions:
        raise input_file.Unreadable(
          f'{data_dir} leaves no picture for {split}; write lines for two pictures or more'
        )

  @property
  def facts(self):
    return codec_base.Facts('law', (), parts={
      TEXT: codec_base.Facts('law', (self.length,), SYMBOLS),
      IMAGE: codec_base.Facts('image', self.shape, store.LEVELS),
    })

  @property
  def splits(self):
    return ('train', 'test')

  @property
  def decodes(self):
    return not all(one.fits for one in self._stores.values())

  @functools.cached_property
  def fingerprint(self):
    read = [contents.digest(self._roots[split], sorted(told)) for split, told in self._told.items()]
    return files.digest(repr((read, self._told, self.shape, self.length)))

  def size(self, split):
    return len(self._told[base.check_split(split, self.splits)])

  def captions(self, split) -> list[str]:
    """All captions of a split, in the order of its examples."""
    return list(self._told[base.check_split(split, self.splits)].values())

  def examples(self, split, indices):
    indices = np.arange(self.size(split))[indices]
    captions = self.captions(split)
    images, unlabelled = self._stores[split].get(indices)
    labels = self._labels[split][indices] if self._labels else unlabelled
    text = np.zeros((len(indices), self.length), np.int32)
    for row, index in zip(text, indices, strict=True):
      coded = np.frombuffer(captions[index].encode(), np.uint8)
      row[:len(coded)] = coded.astype(np.int32) + 1
    return {'example': {TEXT: text, IMAGE: images}, 'label': labels}

  @functools.cached_property
  def _stores(self):
    return {split: self._store(split) for split in self.splits}

  def _store(self, split):
    names, root = list(self._told[split]), self._roots[split]

    def decode(indices):
      images = [pictures.read(root / names[i], *self.shape[1:]) for i in indices]
      return np.stack(images), np.full(len(images), -1, np.int32)

    return store.Store(decode, len(names), shape=self.shape, ram_bytes=store.RAM_BYTES)

  def looks(self) -> list[pictures.Looks]:
    """Of all pictures, by their headers. Raises Unreadable where one cannot be a picture."""
    return [
      self._look(self._roots[split] / name)
      for split, captions in self._told.items() for name in captions
    ]

  def _look(self, path):
    with input_file.opened(path, limit=pictures.MOST_BYTES) as file:
      return pictures.check(file, path)

  def check(self):
    """A quick pass over the headers of all pictures, see pictures.check."""
    self.looks()


class Line(NamedTuple):
  """What is said of a picture."""

  text: str
  category: str  # '' where nobody asks


def told(folder, length, category='') -> dict[str, Line]:
  """{file_name: its line} of a folder; raises as CaptionedFolder."""
  path = folder / FILE
  try:
    content = input_file.read(path, limit=_BYTES)
  except FileNotFoundError as error:
    raise FileNotFoundError(
      f'there is no file {path}; write a line {{"file_name": .., "text": ..}} for each picture, or '
      'set --config.data.data_dir=FOLDER'
    ) from error
  found, form = {}, _FORM | ({category: str} if category else {})
  for number, line in enumerate(content.split(b'\n'), 1):
    if line.strip():
      where = f'line {number} of {path}'
      one = json_file.parse(line, form, where=where, advice=_ADVICE)
      name, caption = one['file_name'], one['text'].strip()
      fault = _fault(folder, name, caption, length, found)
      sort = one[category].strip() if category else ''
      if category and not sort and not fault:
        fault = f'has an empty {category}; {_ADVICE}'
      if fault:
        raise input_file.Unreadable(f'{where} {fault}')
      found[posixpath.normpath(name)] = Line(caption, sort)
  return found


def _labels(lines):
  """{split: int32 [n]} of the categories of {split: {name: line}}."""
  names = sorted({line.category for own in lines.values() for line in own.values()})
  return {
    split: np.array([names.index(line.category) for line in own.values()], np.int32)
    for split, own in lines.items()
  }


def _fault(folder, name, caption, length, found):
  """What is wrong with a line, in words; '' if nothing is."""
  short = values.shown(name)
  if name.startswith('/') or '..' in name.split('/') or not name:
    return f'names {short}, which does not lie beside it; {_ADVICE}'
  if posixpath.normpath(name) in found:
    return f'names {short} for the second time; delete one of the two lines'
  if not storage.is_file(folder / name):
    return f'names {short}, which is not there; {_ADVICE}'
  if not caption or '\0' in caption:
    return f'has no caption of {short}; write one, or delete that line'
  if len(caption.encode()) > length:
    return (
      f'has a caption of {len(caption.encode())} bytes and there is room for {length}; write a '
      'shorter one, or a larger data.length'
    )
  return ''
