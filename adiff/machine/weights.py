"""The parameters of a model as safetensors: what a workdir holds instead of checkpoints where it is
given away. Small, read by anything, and trained on from nowhere: there is no optimiser's state.

  workdir/weights.safetensors  the averaged parameters of one role, by path, such as out/kernel
  workdir/weights.json         step, role, and the sha256 of that file, which has no checksum itself
"""

import os
from typing import Any

import jax
import numpy as np

from adiff.machine import checkpoint_reader, files, input_file, json_file, sharding, storage

FILE, ABOUT = 'weights.safetensors', 'weights.json'
DTYPES = {'float32': np.float32, 'float16': np.float16}
_BYTES = 2**34  # of a file
_FORM = {'step': int, 'role': str, 'sha256': str}
_ADVICE = 'bring it back from where the model came from'


def there(workdir) -> bool:
  """Does a workdir hold weights?"""
  return storage.exists(os.path.join(workdir, ABOUT))


def step(workdir) -> int:
  """The step that they were trained to; raises ValueError for a damaged file."""
  return _about(workdir)['step']


def copy(workdir, folder) -> None:
  """Copies the files into another folder."""
  for name in (FILE, ABOUT):
    with files.whole(os.path.join(folder, name), 'wb') as file:
      file.write(input_file.read(os.path.join(workdir, name), limit=_BYTES))


def write(folder, step, params, role, *, dtype='float16') -> None:
  """Writes parameters, a tree of arrays; those that are no floats keep their dtype. Raises
  ValueError for another dtype or values that it cannot hold, OSError where the disk refuses."""
  import safetensors.numpy  # who reads checkpoints needs none of it

  if dtype not in DTYPES:
    raise ValueError(f'weights cannot be kept as {dtype!r}; choose one of {", ".join(DTYPES)}')
  arrays = {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    array = np.asarray(leaf)
    if array.dtype.kind == 'f':
      with np.errstate(over='ignore'):
        array = array.astype(DTYPES[dtype])
      if not np.all(np.isfinite(array.astype(np.float32))):
        raise ValueError(f'{sharding.path_name(path)} is not finite in {dtype}; keep it as float32')
    arrays[sharding.path_name(path)] = np.ascontiguousarray(array)
  place = os.path.join(folder, FILE)
  with files.whole(place, 'wb') as file:
    file.write(safetensors.numpy.save(arrays))
  files.write_json(os.path.join(folder, ABOUT), {
    'step': step, 'role': role, 'sha256': files.sha256(place),
  })


def read(workdir, wanted, role, *, ema=True, step=None) -> tuple[int, Any]:
  """(step, parameters) of a role, as checkpoint.restore_params, whose arguments these are. Raises
  ValueError for files that are damaged, of another role or of other shapes, and where others than
  the average, or another step, are asked for."""
  import safetensors.numpy

  about, place = _about(workdir), os.path.join(workdir, FILE)
  if not ema or step not in (None, about['step']):
    raise ValueError(
      f'{workdir} holds the averaged parameters of step {about["step"]} alone; leave --step away'
    )
  if about['role'] != role:
    raise ValueError(f'{place} holds parameters of the role {about["role"]!r}, not of {role!r}')
  try:
    content = input_file.read(place, limit=_BYTES)
  except FileNotFoundError as error:
    raise ValueError(f'there is no {place}, which {ABOUT} beside it tells of; {_ADVICE}') from error
  if files.sha256(place) != about['sha256']:
    raise ValueError(f'{place} is not what {ABOUT} beside it was written with; {_ADVICE}')
  with input_file.told(place, 'is no safetensors file', _ADVICE):
    arrays = safetensors.numpy.load(content)
  stored = _nested(arrays)
  if wanted is None:
    return about['step'], stored
  checkpoint_reader.check_shapes(place, stored, wanted)
  return about['step'], jax.tree_util.tree_map_with_path(
    lambda path, leaf: jax.device_put(
      np.asarray(arrays[sharding.path_name(path)], leaf.dtype), checkpoint_reader.place_of(leaf)
    ),
    wanted,
  )


def _about(workdir):
  return json_file.read(os.path.join(workdir, ABOUT), _FORM, advice=_ADVICE)


def _nested(arrays):
  """{'a/b': array} as {'a': {'b': array}}."""
  tree = {}
  for name, array in arrays.items():
    *parents, last = name.split('/')
    place = tree
    for parent in parents:
      place = place.setdefault(parent, {})
    place[last] = array
  return tree
