r"""Pictures as others keep them, to be prepared once: what --train and --test of prepare.py name.

  FOLDER            CLASS/*.png, *.jpg and so on, or the pictures themselves
  FOLDER:SPLIT      a split of a TFDS folder (DATASET/VERSION), TFRecord or ArrayRecord
  'FOLDER/*.tar'    tar files of webdataset: NAME.jpg beside NAME.cls, NAME.txt, NAME.json
  'FOLDER/train-*'  TFRecord files of tf.train.Examples

Nothing is unpacked to the disk. A name within a tar file that leads out of it, a link, and a file
that is torn are refused by name.
"""

import glob
import hashlib
import itertools
import os
import pathlib
import tarfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

from absl import logging

from adiff.data import pictures, record_file, tfds_folder
from adiff.machine import files, input_file, json_file

PIECE = 1024  # pictures of a folder that are prepared at once
IMAGE, LABEL = ('image', 'image/encoded'), ('label', 'image/class/label')  # the first that is there
CAPTIONS = ('captions/text', 'caption', 'image/caption')
_PICTURES = tuple(suffix.removeprefix('.') for suffix in pictures.SUFFIXES)
_BESIDE = ('cls', 'txt', 'json')
_TEXT = 2**20  # bytes of a class, a caption or a JSON
_ADVICE = 'copy it again from where it came, or remove it'


class Picture(NamedTuple):
  """One of them, encoded."""

  name: str  # of the file and its place there, for errors
  content: bytes
  label: int | str | None
  captions: tuple[bytes, ...]


class Unit(NamedTuple):
  """A file, or a piece of a folder; one file is made of it."""

  name: str  # without the folder, which differs from machine to machine
  facts: str  # what it is told by: another one has others
  read: Callable[[], Iterator[Picture]]


class Raw(NamedTuple):
  """What a word of the command line names."""

  units: tuple[Unit, ...]
  classes: tuple[str, ...]  # names, where they are known


def find(word, image='', label='') -> Raw:
  """The pictures that a word names; image, label: names of features, '': the usual ones.

  Raises FileNotFoundError where there are none, ValueError for what is no set of pictures.
  """
  folder, _, split = word.rpartition(':')
  keys = ((image,) if image else IMAGE, (label,) if label else LABEL)
  if folder and (pathlib.Path(folder).expanduser() / tfds_folder.INFO).is_file():
    return _split(pathlib.Path(folder).expanduser(), split, keys)
  place = pathlib.Path(word).expanduser()
  if (place / tfds_folder.INFO).is_file():
    raise ValueError(f'{word} is a TFDS folder; name a split of it, such as {word}:train')
  if place.is_dir():
    return _folder(place)
  paths = [path for path in map(pathlib.Path, sorted(glob.glob(str(place)))) if path.is_file()]
  if not paths:
    raise FileNotFoundError(
      f'there is no {word}; name a folder of pictures, TFDS_FOLDER:SPLIT, or files such as '
      "'FOLDER/*.tar' or 'FOLDER/train-*'"
    )
  tars = [path.suffix == '.tar' for path in paths]
  if any(tars) and not all(tars):
    raise ValueError(f'{word} names {paths[tars.index(False)]} beside tar files; name one kind')
  return Raw(tuple(
    _file(path, _tar, path) if tar else _file(path, _records, path, keys)
    for path, tar in zip(paths, tars, strict=True)
  ), ())


def _file(path, read, *arguments):
  """The unit of a file."""
  return Unit(path.name, f'{path.name} {path.stat().st_size}', lambda: read(*arguments))


# ---- A folder ------------------------------------------------------------------------------------


def _folder(root):
  names = pictures.find(root)
  if not names:
    raise ValueError(f'{root} holds no .png, .jpg and so on; name the folder of the pictures')
  if len({name.count('/') for name in names}) > 1 or names[0].count('/') > 1:
    raise ValueError(
      f'{root} mixes folder depths; keep either all pictures at the top or all in one level of '
      'class folders'
    )
  classes = sorted({name.split('/')[0] for name in names if '/' in name})
  names.sort(key=lambda name: hashlib.sha256(os.fsencode(name)).digest())  # classes are mixed
  pieces = [names[start:start + PIECE] for start in range(0, len(names), PIECE)]
  return Raw(tuple(_piece(root, number, piece) for number, piece in enumerate(pieces)),
             tuple(classes))


def _piece(root, number, names):
  """The unit of some pictures of a folder."""
  sizes = [(name, (root / name).stat().st_size) for name in names]

  def read():
    for name in names:
      content = input_file.read(root / name, limit=pictures.MOST_BYTES)
      label = name.split('/')[0] if '/' in name else None
      yield Picture(str(root / name), content, label, ())

  return Unit(f'pictures {number}', files.digest(repr(sizes)), read)


# ---- Records -------------------------------------------------------------------------------------


def _split(folder, split, keys):
  """A split of a TFDS folder."""
  info = tfds_folder.builder(folder).info
  if split not in info.splits:
    raise ValueError(f'{folder} has no split {split!r}; it has {", ".join(info.splits)}')
  kind, found = info.file_format.value, info.splits[split]
  if kind not in ('tfrecord', 'array_record'):
    raise ValueError(
      f"{folder} is stored as {kind}; prepare it with TFDS as file_format='array_record'"
    )
  label = info.features['label'] if 'label' in info.features else None
  classes = tuple(getattr(label, 'names', None) or ())
  units = []
  for place, length in zip(found.filepaths, found.shard_lengths, strict=True):
    path = pathlib.Path(place)
    units.append(_file(path, _counted, path, keys, kind, length, classes))
  return Raw(tuple(units), classes)


def _counted(path, keys, kind, length, classes):
  """The pictures of a file of a TFDS folder, which says how many there are and names their
  classes."""
  count = 0
  for picture in _records(path, keys, kind):
    named = isinstance(picture.label, int) and 0 <= picture.label < len(classes)
    yield picture._replace(label=classes[picture.label]) if named else picture
    count += 1
  if count != length:
    raise input_file.Unreadable(
      f'{path} holds {count} records where {tfds_folder.INFO} says {length}; {_ADVICE}'
    )


def _records(path, keys, kind='tfrecord'):
  """The pictures of a file of tf.train.Examples."""
  read = record_file.tfrecords if kind == 'tfrecord' else record_file.array_records
  for number, record in enumerate(read(path)):
    where = f'{path}, record {number}'
    features = tfds_folder.parse(record, where)
    image, label = (next((key for key in names if features.get(key)), None) for names in keys)
    if image is None or not isinstance(features[image][0], bytes) or len(features[image]) > 1:
      raise input_file.Unreadable(
        f'{where} has no encoded picture as {" or ".join(keys[0])}, but {", ".join(features)}; '
        'name its feature: --image=NAME'
      )
    found = features[label][0] if label else None
    captions = next((features[key] for key in CAPTIONS if key in features), ())
    yield Picture(where, features[image][0],
                  found.decode(errors='replace') if isinstance(found, bytes) else found,
                  tuple(text for text in captions if isinstance(text, bytes)))


# ---- Tar files -----------------------------------------------------------------------------------


def _tar(path):
  """The pictures of a tar file: members of one name, which follow each other, are one."""
  members = _members(path)
  for stem, group in itertools.groupby(members, key=lambda member: member[0]):
    found = {kind: content for _, kind, content in group}
    kinds = [kind for kind in _PICTURES if kind in found]
    if len(kinds) != 1:
      raise input_file.Unreadable(
        f'{path}: {stem} has {"several pictures" if kinds else "no picture"} among '
        f'{", ".join(found)}; the members of one picture must follow each other and have its name'
      )
    where = f'{path}: {stem}.{kinds[0]}'
    yield Picture(where, found[kinds[0]], *_said(found, f'{path}: {stem}'))


def _said(found, where):
  """(label, captions) of the members beside a picture."""
  form = {'label?': int | str, 'caption?': str}
  beside = json_file.parse(found['json'], form, where=f'{where}.json') if 'json' in found else {}
  label, caption = beside.get('label'), beside.get('caption')
  captions = [] if caption is None else [caption.encode()]
  if 'cls' in found:
    text = found['cls'].decode(errors='replace').strip()
    label = int(text) if text.isascii() and text.isdecimal() else text
  if 'txt' in found:
    captions = [found['txt'].strip()]
  return label, tuple(captions)


def _members(path):
  """(name up to its first dot, what follows, content) of the files of a tar file."""
  with input_file.opened(path) as file:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 512, 0))
    if size % 512 or any(file.read()):
      raise input_file.Unreadable(f'{path} is no tar file with an end: it is torn; {_ADVICE}')
    file.seek(0)
    with input_file.told(path, 'is no readable tar file', _ADVICE):
      with tarfile.open(fileobj=file, mode='r|') as tar:
        for member in tar:
          if not member.isdir():
            yield from _content(tar, member, path)


def _content(tar, member, path):
  """As `_members`, of one; none where it is hidden, or of another kind. Raises Unreadable for what
  is no plain file."""
  parts = pathlib.PurePosixPath(member.name).parts
  if member.name.startswith('/') or '..' in parts or not member.isfile():
    raise input_file.Unreadable(
      f'{path} holds {member.name!r}, which leads out of it or is a link or a device; make it anew '
      'of plain files'
    )
  folder, name = os.path.split(member.name)
  stem, _, kind = name.partition('.')
  kind = kind.lower()
  if any(map(input_file.hidden, parts)):
    return
  if kind not in (*_PICTURES, *_BESIDE):
    if os.path.splitext(name)[1].lower() in pictures.SUFFIXES:
      logging.log_first_n(
        logging.WARNING, '%s: %s and what is called like it are left out: behind the first dot of '
        'a name stands its kind, and %s is none', 1, path, member.name, kind,
      )
    return
  if member.size > (pictures.MOST_BYTES if kind in _PICTURES else _TEXT):
    raise input_file.Unreadable(f'{path}: {member.name} holds {member.size} bytes; {_ADVICE}')
  yield os.path.join(folder, stem), kind, tar.extractfile(member).read()
