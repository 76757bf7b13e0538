"""Reads a workdir that an earlier version of adiff wrote and writes it as one of this version,
which trains on, evaluates and samples as the old one.

  python -m launch.convert OLD_WORKDIR NEW_WORKDIR

What changed since files of version 1 (until commit 2bd38b1): parameters, their average and the
optimiser's state lie below the role `denoiser`; a layer's modulation is stored as (shift, scale,
gate), twice, where it was (scale, shift, gate); `blocks.stream=shifted` is `model.shifted=True`;
`model.reach=0`, all blocks, is None. Since version 2 (until commit d268f47): head and recipe are
choices of the config, and the patch of latents is their codec's. The newest sound checkpoint is
converted, and the metrics are copied. The old workdir stays as it is.
"""

import argparse
import contextlib
import os
import shutil

import numpy as np

ADDED = {'head': 'chunked', 'recipe': 'plain'}  # choices that were none before, and what they were
# {part of the old state: where it lies now}
PARTS = {'step': 'step', 'params': 'params/denoiser', 'ema': 'ema/denoiser',
         'opt_state': 'opt/denoiser'}
# What must be there to be converted: a workdir of any version has it.
_FORMS = {
  'config.json': {'data': {'name': str}, 'codec': {'name': str}, 'blocks': dict,
                  'model': {'reach?': int}},
  'contract.json': {'version?': int, 'blocks': dict},
}
_MODULATION = ('modulation', 'modulation/kernel', 'modulation/bias')


def renamed(path: str) -> str:
  """The new path of an array of the old state, such as 'params/out/kernel'."""
  part, slash, rest = path.partition('/')
  return PARTS[part] + slash + rest


def converted(path: str, array: np.ndarray) -> np.ndarray:
  """An array of the old state, or of its parameters, as it is stored now; path: its old one."""
  names = path.split('/')
  if not any(names[-len(end.split('/')):] == end.split('/') for end in _MODULATION):
    return array
  scale1, shift1, gate1, scale2, shift2, gate2 = np.split(np.asarray(array), 6, axis=-1)
  return np.concatenate([shift1, scale1, gate1, shift2, scale2, gate2], axis=-1)


def converted_config(config: dict, version: int) -> dict:
  """config.json of a version as it is written now."""
  from adiff.run import choose

  added = {kind: choose.defaults(kind, name) for kind, name in ADDED.items()}
  config = {**config, **added, 'judge': {'name': ''}}
  if 'patch' in config['data']:
    data = dict(config['data'])
    codec = {**choose.defaults('codec', 'latents'), 'patch': data.pop('patch')}
    config = {**config, 'data': data, 'codec': codec}
  if version > 1:
    return config
  blocks, model = dict(config['blocks']), dict(config['model'])
  model['shifted'] = blocks.pop('stream', 'double') == 'shifted'
  model['reach'] = model['reach'] or None
  return {**config, 'blocks': blocks, 'model': model}


def converted_contract(contract: dict, config: dict, version: int) -> dict:
  """contract.json of a version as it is written now, but for the version; config: converted."""
  from adiff.machine import json_file
  from adiff.run import places

  contract = {**contract, 'codec': json_file.plain(places.own('codec', config['codec']))}
  contract.pop('version', None)
  if version > 1:
    return contract
  blocks = dict(contract['blocks'])
  shifted = blocks.pop('stream') == 'shifted'
  return {**contract, 'blocks': blocks, 'shifted': shifted}


def convert(old, new) -> int:
  """Writes the workdir `new`; returns the step of its checkpoint. Raises ValueError in words."""
  import jax
  import jax.numpy as jnp
  import ml_collections

  from adiff.machine import checkpoint, cost, files, json_file, sharding
  from adiff.run import build, kept, later
  from adiff.run import workdir as workdir_lib

  if os.path.exists(os.path.join(new, 'config.json')):
    raise ValueError(f'{new} is a workdir already; name a folder that is not')
  old_contract = _json(old, 'contract.json')
  version = old_contract.get('version', 1)
  if version >= workdir_lib.VERSION:
    raise ValueError(f'{old} is of version {version}, which this program reads as it is')
  try:
    config = converted_config(_json(old, 'config.json'), version)
    config = later.completed({'kinds': {}, **config})
  except KeyError as error:
    raise ValueError(f'{old}/config.json has no {error}, which that version wrote') from error
  parts = build.build(ml_collections.ConfigDict(json_file.tuples(config)).lock())
  contract = json_file.plain(parts.contract)
  expected = converted_contract(old_contract, config, version)
  if contract != {**expected, 'data': contract['data']}:
    raise ValueError(f'{old} was trained with another codec or version than are here')
  workdir_lib.check_data(old, expected.get('data'), contract['data'])
  step, stored = checkpoint.restore_arrays(old)
  arrays = {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(stored):
    name = sharding.path_name(path)
    array = np.asarray(leaf)
    arrays.update({renamed(name): converted(name, array)} if version == 1 else {name: array})

  def pick(path, leaf):
    name = sharding.path_name(path)
    if name not in arrays or arrays[name].shape != leaf.shape:
      raise ValueError(f'{old} has no array {name} of shape {list(leaf.shape)}')
    return jnp.asarray(arrays[name], leaf.dtype)

  state = jax.tree_util.tree_map_with_path(pick, cost.state(parts))
  with files.folder(new) as draft:
    workdir_lib.claim(draft, parts.config, parts.contract)
    kept.write(draft, parts)
    with contextlib.closing(checkpoint.Checkpoints(draft)) as keeper:
      keeper.save(step, state)
    if os.path.exists(os.path.join(old, 'metrics.jsonl')):
      shutil.copy(os.path.join(old, 'metrics.jsonl'), draft)
  return step


def _json(workdir, name):
  from adiff.machine import json_file

  try:
    return json_file.read(os.path.join(workdir, name), _FORMS[name])
  except FileNotFoundError as error:
    raise ValueError(f'{workdir} has no {name}; name a workdir of an earlier version') from error


def main():
  """Entry point of `python -m launch.convert`."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('old', help='the workdir to read')
  parser.add_argument('new', help='the workdir to write')
  options = parser.parse_args()
  from adiff.machine import mistakes

  with mistakes.in_a_sentence():
    step = convert(options.old, options.new)
  print(f'{options.new}: step {step}')


if __name__ == '__main__':
  main()
