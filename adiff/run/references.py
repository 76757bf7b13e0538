"""Statistics of real images in a file: measured once, read afterwards.

  reference.npz    mu and sigma of the features, as other programs write them, too; the features of
                   some images and the radii of their balls; what makes features of others; the real
                   images where they are few; and `about`, JSON that says what all that is of

It is written with the first page that needs it: WORKDIR/reference.npz by a run's own evaluation.
"""

import dataclasses
import json
from collections.abc import Callable, Sequence

import numpy as np

from adiff.judge import reference as reference_lib
from adiff.machine import array_file, files, hosts, input_file, json_file, storage

FILE, VERSION = 'reference.npz', 1
_ADVICE = 'measure it anew with --mode=judge --reference=DATA'
_ABOUT = 'about'


def write(path, found: reference_lib.Reference) -> None:
  """Writes it, and the folder that it lies in; raises OSError where the disk refuses."""
  facts, arrays = found.as_arrays()
  storage.make_folder(storage.parent(storage.absolute(path)))
  with files.whole(path, 'wb') as file:
    np.savez(file, **{_ABOUT: np.array(json.dumps({'version': VERSION, **facts}))}, **arrays)


def read(path) -> reference_lib.Reference:
  """Inverse of `write`. Raises FileNotFoundError, Unreadable in a sentence for a file of something
  else, or OSError."""
  arrays = array_file.npz(path, (_ABOUT, *reference_lib.ARRAYS), advice=_ADVICE)
  text = str(arrays.pop(_ABOUT))
  where = f'{_ABOUT} of {path}'
  version = json_file.parse(text, {'version': int}, where=where, advice=_ADVICE)['version']
  if version != VERSION:
    raise input_file.Unreadable(f'{path} is of version {version}, here {VERSION}; {_ADVICE}')
  facts = json_file.parse(text, reference_lib.FORM, where=where, advice=_ADVICE)
  del facts['version']
  with input_file.told(path, 'holds no statistics of a reference', _ADVICE):
    return reference_lib.Reference.from_arrays(facts, arrays)


def source_of(parts) -> dict:
  """What the statistics of the data of parts follow from, besides the program."""
  config, facts = parts.config, parts.source.facts
  return {
    'data': parts.coded.fingerprint, 'split': config.eval.split, 'levels': facts.levels,
    'shape': list(facts.shape), 'read': [reference_lib.IMAGES, reference_lib.VALUES],
  }


def remembered(
  places: Sequence[str], of: dict, make: Callable[[], reference_lib.Reference]
) -> reference_lib.Reference:
  """The first reference of `places` that was made of `of`, or else make(), which is written to the
  last of them.

  of: all that the statistics follow from besides the program, as JSON. Of several processes the
  first one decides and writes. A file that cannot be read is told of and made again.
  """
  of = json_file.plain(of)
  found = next(filter(None, (_kept(path, of) for path in places)), None)
  if hosts.told(found is not None):
    return found if found is not None else make()  # storage may be slow to show it everywhere
  found = dataclasses.replace(make(), of=of)
  hosts.agree(lambda: write(places[-1], found))
  return found


def _kept(path, of):
  """What a file holds, if that is of the same data."""
  if not storage.is_file(path):
    return None
  try:
    found = read(path)
  except (input_file.Unreadable, OSError) as error:
    hosts.say(f'{error}; it is measured again')
    return None
  return found if found.of == of else None
