"""One mesh everywhere, and the rules that place arrays on it; activations: nn/layout.py.

The batch is split over `slices`, `data` and `fsdp`. Parameters and optimiser state are replicated
over `slices`, `data` and `sequence`, split over `fsdp` by shape (Rajbhandari et al. 2020,
arXiv:1910.02054) and over `tensor` as the network says; the compiler inserts the collectives.
`slices` is the outermost axis: between slices, over the slow network, gradients alone are summed.
"""

import contextlib
import math
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils, multihost_utils
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

from adiff.machine import hosts
from adiff.nn import layout, network

# What of a state waits in the host's memory between updates, by the value of train.offload.
OFFLOAD = {'none': (), 'average': ('ema',), 'optimiser': ('opt',), 'both': ('ema', 'opt')}
HOST = 'pinned_host'
_SPLIT = ('TPU v5 lite', 'TPU v5e')  # whose physical axes several of a mesh may share


def make_mesh(
  data=-1, fsdp=1, tensor=1, sequence=1, slices=1, *, devices=None
) -> jax.sharding.Mesh | AbstractMesh:
  """The mesh [slices, data, fsdp, tensor, sequence] over all devices; -1, once, for "what is left".

  A slice is what a fast network joins: on TPUs what the devices say, elsewhere equal numbers of
  devices that follow each other, as those of a host do.

  devices: others than all that are here; or how many, for an AbstractMesh of devices that nobody
  has. Axes are of type Auto: the compiler propagates shardings. (The default of `jax.make_mesh`,
  Explicit, rejects embeddings and sharded matrix products.)

  Raises ValueError when the product of the sizes is not the number of devices, or `slices` not that
  of the TPU slices they lie in.
  """
  devices = jax.devices() if devices is None else devices
  count = devices if isinstance(devices, int) else len(devices)
  sizes = [slices, data, fsdp, tensor, sequence]
  words = _words(dict(zip(layout.AXES, sizes, strict=True)))
  if any(size != -1 and size < 1 for size in sizes) or sizes.count(-1) > 1:
    raise ValueError(f'{words}: use positive sizes, and -1 at most once')
  if -1 in sizes:
    sizes[sizes.index(-1)] = count // -math.prod(sizes)
  if math.prod(sizes) != count:
    raise ValueError(
      f'{words} do not fit {count} devices; choose sizes whose product is {count}, for example '
      'mesh.data=-1 and 1 for the others'
    )
  kinds = (AxisType.Auto,) * len(sizes)
  if isinstance(devices, int):
    return AbstractMesh(tuple(sizes), layout.AXES, axis_types=kinds)
  if slices > 1:
    return jax.sharding.Mesh(_in_slices(sizes, devices), layout.AXES, axis_types=kinds)
  _check_slices(slices, devices)
  return jax.make_mesh(tuple(sizes), layout.AXES, axis_types=kinds, devices=devices)


def mesh_here(
  data=-1, fsdp=1, tensor=1, sequence=1, slices=1, *, asked=False
) -> jax.sharding.Mesh:
  """As make_mesh, over the devices that this process works on; sizes that do not fit them, of a run
  that was trained on others, are replaced by the nearest that do, which is said. For all but
  training; asked: the sizes are those of this call.

  Tensor, sequence and fsdp keep what they share with the number of devices, and data takes the
  rest: so what could not be copied to every device is still split. `slices` is as it is here.
  """
  devices = hosts.devices()
  if asked:
    return make_mesh(data, fsdp, tensor, sequence, slices, devices=devices)
  found, count = _slices(devices), len(devices)
  sizes = dict(zip(layout.AXES, (found, data, fsdp, tensor, sequence), strict=True))
  given = [size for size in sizes.values() if size != -1]
  rest, free = count % math.prod(given), len(sizes) - len(given)
  if free > 1 or (not rest if free else count == math.prod(given)):
    return make_mesh(**sizes, devices=devices)
  near, left = {'slices': found}, count // found
  for axis in ('tensor', 'sequence', 'fsdp'):
    near[axis] = math.gcd(max(sizes[axis], 1), left)
    left //= near[axis]
  near['data'] = left
  hosts.say(f'{_words(sizes)} do not fit {count} devices; taken is {_words(near)}')
  return make_mesh(**near, devices=devices)


def _words(sizes):
  """{axis: size} as a command line has them."""
  return ', '.join(f'mesh.{axis}={sizes[axis]}' for axis in layout.AXES)


def working(mesh) -> contextlib.AbstractContextManager:
  """Within, those processes work together that the mesh spans: one whose own devices are the whole
  mesh is `hosts.alone`."""
  return contextlib.nullcontext() if mesh.is_multi_process else hosts.alone()


def _in_slices(sizes, devices) -> np.ndarray:
  """The devices of a mesh of several slices, each arranged as one alone would be."""
  slices, *inner = sizes
  _check_slices(slices, devices)
  if devices[0].platform == 'tpu':
    devices = sorted(devices, key=lambda one: one.slice_index)  # stable: their order stays inside
  split = devices[0].device_kind in _SPLIT
  return np.stack([
    mesh_utils.create_device_mesh(inner, list(group), allow_split_physical_axes=split)
    for group in np.split(np.asarray(devices), slices)
  ])


def _check_slices(slices, devices):
  """Raises ValueError where TPUs lie in another number of slices."""
  found = _slices(devices)
  if found != slices and devices[0].platform == 'tpu':
    raise ValueError(
      f'mesh.slices={slices}, and the {len(devices)} TPUs lie in {found} slices; write '
      f'mesh.slices={found}'
    )


def _slices(devices) -> int:
  """In how many slices devices lie; 1 where they do not say."""
  tpus = devices[0].platform == 'tpu'
  return len({getattr(one, 'slice_index', 0) for one in devices}) if tpus else 1


def check_fits(mesh, *, heads, batch_size, parts, num_slots) -> None:
  """Raises ValueError where heads, the rows of one of `parts` of a batch or the slots of a row
  cannot be split evenly over the mesh."""
  groups = mesh.shape['tensor'] * mesh.shape['sequence']
  if heads % groups:
    raise ValueError(
      f'model.heads={heads} cannot be split over mesh.tensor={mesh.shape["tensor"]} times '
      f'mesh.sequence={mesh.shape["sequence"]}; write a multiple of {groups}'
    )
  if num_slots % mesh.shape['sequence']:
    raise ValueError(
      f'the {num_slots} slots of a row cannot be split over mesh.sequence='
      f'{mesh.shape["sequence"]}; make the block size a multiple of it'
    )
  if batch_size % (parts * rows(mesh)):
    some = f' in {parts} parts' if parts > 1 else ''
    raise ValueError(
      f'train.batch_size={batch_size}{some} cannot be split over {rows(mesh)} devices; write a '
      f'multiple of {parts * rows(mesh)}'
    )


def rows(mesh) -> int:
  """Parts into which a batch is split."""
  return math.prod(mesh.shape[axis] for axis in layout.ROWS)


def round_up(mesh, batch_size) -> int:
  """The next batch size that can be split."""
  return -(-batch_size // rows(mesh)) * rows(mesh)


def replicated(mesh) -> NamedSharding:
  """The sharding of a whole copy on every device."""
  return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh) -> NamedSharding:
  """The sharding of arrays [B, ...] whose rows are split."""
  return NamedSharding(mesh, PartitionSpec(layout.ROWS))


def state_shardings(
  mesh, abstract_state, *, tensor_axes=None, offload: str = 'none', min_size: int = 2**16
) -> Any:
  """A tree of shardings for a tree of arrays or `jax.ShapeDtypeStruct`.

  tensor_axes: {what a parameter's path ends with: the axis that `tensor` splits}, see
  Network.tensor_axes. A leaf of at least min_size elements is split over `fsdp` along its largest
  dimension that divides and that `tensor` leaves whole (the last one among equals); smaller leaves
  are not, as moving them costs more than it saves. Large leaves of what OFFLOAD[offload] names stay
  in the host's memory, split in the same way; `fetch` brings them.
  """

  def rule(path, leaf):
    name, shape = path_name(path), leaf.shape
    large = math.prod(shape) >= min_size
    spec = [None] * len(shape)
    for end, axis in (tensor_axes or {}).items():
      if mesh.shape['tensor'] > 1 and name.endswith(end):
        spec[axis] = 'tensor'
    # Of stacked layers each device needs a part of every one.
    parts, first = mesh.shape['fsdp'], int(network.STACK in name.split('/'))
    free = [axis for axis in range(first, len(shape))
            if spec[axis] is None and shape[axis] and shape[axis] % parts == 0]
    if parts > 1 and free and large:
      spec[max(free, key=lambda axis: (shape[axis], axis))] = 'fsdp'
    while spec and spec[-1] is None:
      spec.pop()
    where = HOST if large and name.split('/')[0] in OFFLOAD[offload] else None
    return NamedSharding(mesh, PartitionSpec(*spec), memory_kind=where)

  return jax.tree_util.tree_map_with_path(rule, abstract_state)


def fetch(tree, shardings) -> Any:
  """The tree with what its shardings keep in the host's memory brought to the devices, in a
  compiled program or outside of one."""

  def move(leaf, where):
    away = where.memory_kind == HOST
    return jax.device_put(leaf, where.with_memory_kind('device')) if away else leaf

  return jax.tree.map(move, tree, shardings)


def placed(abstract, shardings) -> Any:
  """A tree of `jax.ShapeDtypeStruct` with its shardings: a tree of them, or one for all leaves."""
  place = lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)
  if isinstance(shardings, NamedSharding):
    return jax.tree.map(lambda leaf: place(leaf, shardings), abstract)
  return jax.tree.map(place, abstract, shardings)


def local_bytes(tree, away=False) -> int:
  """Bytes a device of a tree of ShapeDtypeStructs with shardings: of what lies on it, or of what
  waits in its host's memory."""
  leaves = [
    leaf for leaf in jax.tree.leaves(tree) if (leaf.sharding.memory_kind == HOST) == away
  ]
  return sum(math.prod(a.sharding.shard_shape(a.shape)) * a.dtype.itemsize for a in leaves)


def whole(leaf) -> np.ndarray:
  """An array as numpy, wherever its parts are; all processes of its mesh call it."""
  spread = isinstance(leaf, jax.Array) and not leaf.is_fully_addressable
  if spread and not leaf.is_fully_replicated:
    return multihost_utils.process_allgather(leaf, tiled=True)
  return np.asarray(leaf)


def path_name(path) -> str:
  """'params/layers/qkv/kernel' of a path in a tree."""
  return jax.tree_util.keystr(path, simple=True, separator='/')


def by_name(tree) -> dict:
  """{path_name: leaf} of a tree."""
  return {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def local_rows(mesh, batch_size) -> slice:
  """The rows of a global batch that this process's devices need, as `Batches.rows`."""
  here = batch_sharding(mesh).addressable_devices_indices_map((batch_size,)).values()
  starts, stops, _ = zip(*(span.indices(batch_size) for span, in here), strict=True)
  return slice(min(starts), max(stops))


def put_batch(mesh, batch, batch_size) -> Any:
  """Turns a tree of numpy arrays, this process's `local_rows` of a batch of batch_size rows, into
  global arrays [B, ...].

  Raises ValueError when the global batch cannot be split evenly over the devices.
  """
  if batch_size % rows(mesh):
    raise ValueError(
      f'a batch of {batch_size} rows cannot be split over {rows(mesh)} devices; set batch_size to '
      f'a multiple of {rows(mesh)}'
    )
  sharding, first = batch_sharding(mesh), local_rows(mesh, batch_size).start

  def put(leaf):
    def piece(index):
      start, stop, _ = index[0].indices(batch_size)
      return leaf[start - first:stop - first]

    return jax.make_array_from_callback((batch_size, *leaf.shape[1:]), sharding, piece)

  return jax.tree.map(put, batch)


def born(fn, shardings, *args) -> Any:
  """fn(*args), compiled so that every result is created in its final sharding.

  The state of a large model never exists unsharded on one device.
  """
  return jax.jit(fn, out_shardings=shardings)(*args)
