"""A classifier of pictures in a file, WORKDIR/eyes.npz: by it a page reads reconstructions, and in
its features other runs measure perceptual distances."""

import json
import os
from collections.abc import Callable

import numpy as np

from adiff.judge.metrics import convolutional
from adiff.machine import array_file, files, hosts, input_file, json_file, storage

FILE, VERSION = 'eyes.npz', 1
_ABOUT = 'about'
_FORM = {'version': int, 'name': str, 'accuracy': float, 'digest': str, 'data': str}
_ADVICE = 'delete it, and evaluate its workdir anew'


def write(path, found: convolutional.Convolutional, data) -> None:
  """Writes it; data: the fingerprint of what it has learnt from."""
  told = {
    'version': VERSION, 'name': found.name, 'accuracy': found.accuracy, 'digest': found.digest,
    'data': data,
  }
  with files.whole(path, 'wb') as file:
    np.savez(file, **{_ABOUT: np.array(json.dumps(told))}, **found.arrays())


def read(path) -> tuple[convolutional.Convolutional, str]:
  """(the classifier, data), as they were written. Raises FileNotFoundError, or Unreadable for a
  file of something else."""
  arrays = array_file.npz(path, (_ABOUT,), advice=_ADVICE)
  told = json_file.parse(
    str(arrays.pop(_ABOUT)), _FORM, where=f'{_ABOUT} of {path}', advice=_ADVICE
  )
  with input_file.told(path, 'holds no classifier', _ADVICE):
    found = convolutional.Convolutional.from_arrays(told['name'], told['accuracy'], arrays)
    if (told['version'], told['digest']) != (VERSION, found.digest):
      raise ValueError(f'it is of version {told["version"]} and {told["digest"]}')
  return found, told['data']


def remembered(
  places, data, make: Callable[[], convolutional.Convolutional]
) -> convolutional.Convolutional:
  """The classifier of the first of these folders that has one of these data, or else make(), which
  is kept in the last one. Of several processes the first one writes."""
  paths = [os.path.join(place, FILE) for place in places]
  there = (read(path) for path in paths if storage.exists(path))
  found = next((found for found, of in there if of == data), None)
  if hosts.told(found is not None):
    return make() if found is None else found  # storage may be slow to show it everywhere
  found = make()
  hosts.agree(lambda: write(paths[-1], found, data))
  return found
