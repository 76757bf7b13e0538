"""Where activations lie on the mesh; nothing happens where none is set (`jax.set_mesh`).

Rows of the batch are split over `slices`, `data` and `fsdp`, heads and features over `tensor`
(Shoeybi et al. 2019, arXiv:1909.08053), the slots of a row over `sequence`. For attention, slots
are exchanged for heads: every device then has whole rows and a share of the heads, so the causal
triangle is in balance whatever the mask, and each of q, k, v and the result moves once (Jacobs et
al. 2023, arXiv:2309.14509).
"""

import math

import jax
from jax.sharding import PartitionSpec

AXES = ('slices', 'data', 'fsdp', 'tensor', 'sequence')
ROWS = ('slices', 'data', 'fsdp')


def copies(h) -> jax.Array:
  """[B, M, W], what all slots of a copy share."""
  return _constrain(h, None, None)


def slots(h) -> jax.Array:
  """[B, S, W] between attentions."""
  return _constrain(h, 'sequence', None)


def grid(h) -> jax.Array:
  """[B, *grid, C]: whole examples."""
  return _constrain(h, *(None,) * (h.ndim - 1))


def features(h) -> jax.Array:
  """[B, S, 2, F] inside the MLP."""
  return _constrain(h, 'sequence', None, 'tensor')


def heads(q) -> jax.Array:
  """[B, S, H, D] inside attention: whole rows."""
  return _constrain(q, None, ('tensor', 'sequence'), None)


def slots_of_heads(h) -> jax.Array:
  """[B, S, H, D], the result of attention, given back to the slots' devices."""
  return _constrain(h, 'sequence', 'tensor', None)


def local_heads(count) -> int:
  """Heads of attention that one device computes."""
  mesh = _mesh()
  return count // (mesh.shape['tensor'] * mesh.shape['sequence']) if mesh else count


def on_own_tokens(function, whole, leaves) -> tuple:
  """function(whole, leaves) of leaves [B, S, ..]: every device calls it with its rows and slots.
  Results lead with rows and slots too."""
  mesh = _mesh()
  if not mesh:
    return function(whole, leaves)
  split = _spec(mesh, leaves[0].shape[:2], ROWS, 'sequence')
  call = jax.shard_map(
    function, in_specs=(PartitionSpec(), split), out_specs=split, check_vma=False,
    axis_names={*ROWS, 'sequence'},
  )
  return call(whole, leaves)


def on_each_device(kernel, q, k, v) -> jax.Array:
  """kernel(q, k, v) of [B, H, S, D], a custom call that the compiler cannot split: every device
  calls it with its rows and heads."""
  mesh = _mesh()
  if not mesh:
    return kernel(q, k, v)
  rows = ROWS if len(q) % _parts(mesh, ROWS) == 0 else None
  whole, split = PartitionSpec(), PartitionSpec(rows, ('tensor', 'sequence'))
  segments = kernel.segments and tuple(
    PartitionSpec(rows) if leaf.ndim == 2 else whole for leaf in kernel.segments
  )
  call = jax.shard_map(
    lambda kernel, q, k, v: kernel(q, k, v), out_specs=split, check_vma=False,
    in_specs=(kernel._replace(kernel=whole, segments=segments), split, split, split),
  )
  return call(kernel, q, k, v)


def _mesh():
  """The mesh, where there is one of several devices."""
  mesh = jax.sharding.get_abstract_mesh()
  return None if mesh.empty or mesh.size == 1 else mesh


def _parts(mesh, axes) -> int:
  return math.prod(mesh.shape[axis] for axis in axes)


def _constrain(leaf, *axes):
  mesh = _mesh()
  if not mesh:
    return leaf
  return jax.lax.with_sharding_constraint(leaf, _spec(mesh, leaf.shape, ROWS, *axes))


def _spec(mesh, shape, *axes) -> PartitionSpec:
  # What does not divide stays whole (one example, the short windows of sampling): the compiler's
  # gradients are wrong where it pads (jax 0.10, a sum over an uneven dimension). Training asks
  # sharding.check_fits before.
  wanted = [(axis,) if isinstance(axis, str) else axis or () for axis in axes]
  sizes = zip(shape, wanted, strict=True)
  spec = [names if size % _parts(mesh, names) == 0 else None for size, names in sizes]
  return PartitionSpec(*spec)
