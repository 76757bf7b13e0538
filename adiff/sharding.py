"""One mesh everywhere, axes ('data', 'fsdp'), and rules that look at shapes only.

The batch is split over both axes. Parameters and optimiser state are replicated over 'data' and
split over 'fsdp' (Rajbhandari et al. 2020, arXiv:1910.02054); the compiler inserts the collectives.
"""

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

AXES = ('data', 'fsdp')


def make_mesh(data: int = -1, fsdp: int = 1, *, devices=None) -> jax.sharding.Mesh:
  """Returns the mesh [data, fsdp] over all devices; -1 for one of the two means "what is left".

  Axes are of type Auto: the compiler propagates shardings. (The default of `jax.make_mesh`,
  Explicit, rejects embeddings and sharded matrix products.)

  Raises ValueError when data * fsdp is not the number of devices.
  """
  devices = jax.devices() if devices is None else devices
  count = len(devices)
  sizes = [data, fsdp]
  if any(size != -1 and size < 1 for size in sizes) or sizes == [-1, -1]:
    raise ValueError(
      f'mesh.data is {data} and mesh.fsdp is {fsdp}; use positive sizes, and -1 at most once.'
    )
  if -1 in sizes:
    known = -data * fsdp  # One of the two is -1, so this is the other.
    sizes[sizes.index(-1)] = count // known
  if sizes[0] * sizes[1] != count:
    raise ValueError(
      f'mesh.data={data} and mesh.fsdp={fsdp} do not fit {count} devices; choose sizes whose '
      f'product is {count}, for example mesh.data=-1 and mesh.fsdp=1.'
    )
  return jax.make_mesh(tuple(sizes), AXES, axis_types=(AxisType.Auto,) * 2, devices=devices)


def replicated(mesh) -> NamedSharding:
  """Returns the sharding of a whole copy on every device."""
  return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh) -> NamedSharding:
  """Returns the sharding of arrays [B, ...] whose rows are split over all devices."""
  return NamedSharding(mesh, PartitionSpec(AXES))


def state_shardings(mesh, abstract_state, *, min_size: int = 2**16):
  """Returns a tree of shardings for a tree of arrays or `jax.ShapeDtypeStruct`.

  A leaf of at least min_size elements is split over 'fsdp' along its largest divisible axis (the
  last one among equals); smaller leaves are replicated, as moving them costs more than it saves.
  """
  parts = mesh.shape['fsdp']

  def rule(leaf):
    axes = [axis for axis, size in enumerate(leaf.shape) if size % parts == 0 and size > 0]
    if parts == 1 or not axes or np.prod(leaf.shape, dtype=np.int64) < min_size:
      return replicated(mesh)
    largest = max(axes, key=lambda axis: (leaf.shape[axis], axis))
    spec = [None] * largest + ['fsdp']
    return NamedSharding(mesh, PartitionSpec(*spec))

  return jax.tree.map(rule, abstract_state)


def put_batch(mesh, batch):
  """Turns a tree of numpy arrays, this process's rows of the batch, into global arrays [B, ...].

  Raises ValueError when the global batch cannot be split evenly over the devices.
  """
  rows = {leaf.shape[0] if np.ndim(leaf) else 0 for leaf in jax.tree.leaves(batch)}
  local = mesh.size // jax.process_count()
  for count in rows:
    if count == 0 or count % local:
      raise ValueError(
        f'a batch of {count * jax.process_count()} rows cannot be split over {mesh.size} devices; '
        f'set batch_size to a multiple of {mesh.size}.'
      )
  sharding = batch_sharding(mesh)
  return jax.tree.map(
    lambda leaf: jax.make_array_from_process_local_data(sharding, np.asarray(leaf)), batch
  )


def born(fn, shardings, *args):
  """Returns fn(*args) compiled so that every result is created in its final sharding.

  The state of a large model never exists unsharded on one device.
  """
  return jax.jit(fn, out_shardings=shardings)(*args)
