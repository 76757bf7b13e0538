"""Reads one step of a checkpoint, verified and checked against what is wanted."""

import os
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import SingleDeviceSharding

from adiff.machine import hosts, manifest, sharding

ITEM = 'state'


def read(workdir, step, wanted, *, place=None) -> Any:
  """Verifies one step and reads `wanted`, or all below `place`, (part of the state, role), as numpy
  where wanted is None."""
  sealed = manifest.verify(workdir, step)
  folder = manifest.folder(workdir, step)
  path = os.path.join(folder, ITEM)
  who = _readers()
  handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=who)
  with ocp.Checkpointer(handler, multiprocessing_options=who) as checkpointer:
    try:
      stored = checkpointer.metadata(path).item_metadata.tree
    except Exception as error:
      raise manifest.Damaged(f'checkpoint {folder} has no readable index') from error
    if place is not None:
      stored = _only(stored, folder, *place)
    if wanted is None:
      item = stored
      args = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), item)
    else:
      check_shapes(f'checkpoint {folder}', stored, wanted)
      item = jax.tree.map(_placed, wanted)
      args = ocp.checkpoint_utils.construct_restore_args(item)
    restore = ocp.args.PyTreeRestore(
      item=item, restore_args=args, partial_restore=place is not None
    )
    try:
      return checkpointer.restore(path, args=restore)
    except Exception as error:
      if sealed:
        raise  # The files are those that were written, so the fault is not theirs.
      raise manifest.Damaged(f'checkpoint {folder} cannot be read') from error


def _readers() -> ocp.options.MultiprocessingOptions:
  """The processes that read together, who wait for each other."""
  if hosts.count() == jax.process_count():
    return ocp.options.MultiprocessingOptions()
  here = jax.process_index()
  return ocp.options.MultiprocessingOptions(primary_host=here, active_processes={here})


def place_of(leaf) -> jax.sharding.Sharding:
  """Where a leaf goes: without a sharding to the default device, not to that of the run that saved
  it."""
  return getattr(leaf, 'sharding', None) or SingleDeviceSharding(jax.local_devices()[0])


def _placed(leaf):
  return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place_of(leaf))


def _only(stored, folder, part, role):
  """The stored tree, cut down to one role of one part of the state."""
  if role not in stored.get(part, ()):
    raise ValueError(
      f'checkpoint {folder} has no parameters of the role {role!r}: an earlier version of adiff '
      'wrote it; convert its workdir with `python -m launch.convert OLD NEW`'
    )
  return {part: {role: stored[part][role]}}


def check_shapes(what, stored, wanted) -> None:
  """Raises ValueError for the first array whose shape is not that which is wanted; what: where it
  is stored."""
  have, want = _shapes(stored), _shapes(wanted)
  for name in sorted(have.keys() | want.keys()):
    if have.get(name) != want.get(name):
      raise ValueError(
        f'{what} holds {name} as {have.get(name, "nothing")} where '
        f'this config builds {want.get(name, "nothing")}; use the config of that run or another '
        'workdir'
      )


def _shapes(tree):
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  return {
    sharding.path_name(path): list(leaf.shape)
    for path, leaf in leaves
  }
