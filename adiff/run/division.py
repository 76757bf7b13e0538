"""Which devices what needs no word between hosts is computed on: samples, evaluations of
checkpoints.

Where the parameters fit one host, each works alone on its own devices, with the mesh that a job of
one host would have: what it makes is bit for bit what that makes, and no network is waited for.
Else all hosts work together on a mesh over all devices, in step, and the first one writes.
"""

import os
from typing import Any

import jax
from absl import logging

from adiff.machine import cost, hosts, manifest, rates, sharding
from adiff.run import build
from adiff.run import workdir as workdir_lib

SHARE = 0.5  # of a host's memory that parameters may take; the rest is for what is computed


def mesh(parts: build.Parts, words=(), *, together=False) -> jax.sharding.Mesh:
  """The mesh. words: 'key=value' that a user has set; a mesh among them is taken as it is, and else
  the nearest that the devices have. together: over all devices in any case."""
  sizes, asked = parts.config.mesh, any(word.startswith('mesh.') for word in words)
  hosts.outlive()
  if jax.process_count() > 1 and not together:
    own = _own(sizes, asked)
    if own is not None:
      needed = own.size * sharding.local_bytes(placed(parts, own))
      if needed <= SHARE * rates.memory():
        return own
      hosts.say(
        f'the parameters take {needed / rates.GIB:.3g} of {rates.memory() / rates.GIB:.3g} GiB of '
        'this host; all hosts work together'
      )
  return sharding.mesh_here(**sizes, asked=asked)


def step(workdir, asked: int | None) -> int | None:
  """The checkpoint that all hosts take, `asked` or the newest sound one: while a run is trained,
  each might see another. None: whichever is sound, of a job of one host."""
  if asked is not None or jax.process_count() == 1:
    return asked
  return hosts.by_first(lambda: _newest_sound(workdir))


def _newest_sound(workdir):
  for one in reversed(manifest.steps(workdir)):
    try:
      manifest.verify(workdir, one)
    except manifest.Damaged as error:
      logging.warning('%s; the step before is tried', error)
    else:
      return one
  return None  # what reads it says so


def _own(sizes, asked):
  """The mesh over this process's own devices; None where sizes were asked for that these cannot
  have."""
  with hosts.alone():
    try:
      return sharding.mesh_here(**sizes, asked=asked)
    except ValueError:
      return None


def check_joined(folder, made_by) -> None:
  """To be asked by all processes of a job, once the first has said in `folder` what is made there
  (workdir.check_made_by): raises ValueError where one does not see it, or makes something else."""
  hosts.seen(os.path.join(folder, workdir_lib.MADE_BY), 'which the first process has written')
  workdir_lib.check_made_by(folder, made_by, 'start all processes of a job alike')


def placed(parts, mesh) -> Any:
  """The parameters that are sampled from, as ShapeDtypeStructs with shardings."""
  params = cost.params(parts)
  return sharding.placed(params, build.state_shardings(parts, mesh, params))
