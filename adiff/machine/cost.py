"""What a program costs, counted in the program itself: so every saving is in it.

Only matrix products and convolutions are counted, each with the bytes of its operands and of its
result; what lies between them is fused into them or small. A product takes the longer of its
operations at the machine's rate and its bytes at the machine's bandwidth (a roofline).
"""

import collections
import contextlib
import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from adiff.learn import base, loss
from adiff.machine import sharding
from adiff.nn import layout, network
from adiff.sequence import conditions


@dataclasses.dataclass(frozen=True)
class Cost:
  """products: (floating-point operations of one, bytes of one, how often)."""

  products: tuple[tuple[int, int, int], ...]

  @property
  def flops(self) -> int:
    """Floating-point operations; two a multiplication and addition."""
    return sum(flops * times for flops, _, times in self.products)

  @property
  def bytes(self) -> int:
    return sum(size * times for _, size, times in self.products)

  def seconds(self, rate, bandwidth) -> float:
    """At `rate` FLOP/s and `bandwidth` bytes/s, each product by itself."""
    return sum(max(f / rate, b / bandwidth) * times for f, b, times in self.products)


@dataclasses.dataclass(frozen=True)
class Rollout(Cost):
  """Samples that are made together."""

  evaluations: int  # network calls one after another, at most
  cache_bytes: int  # of the largest cache


def count(function, *arguments, taken=1) -> Cost:
  """What function(*arguments) costs; arrays or ShapeDtypeStructs.

  The body of a scan counts once a step, that of a loop whose length depends on the data once, of
  branches the dearest; taken: in what share of the cases, where another one has no product.
  """
  return traced(jax.make_jaxpr(function)(*arguments), taken)


def traced(program: core.ClosedJaxpr, taken=1) -> Cost:
  """`count` of what is traced already."""
  return Cost(tuple(_products(program.jaxpr, 1, taken)))


def step(parts, mesh=None) -> Cost:
  """A training step of a build.Parts, forward and backward, recomputation not counted, branches at
  the share that Recipe.taken says.

  The update moves parameters, gradients, two moments and the average once each, out and in again.
  mesh: that of a training that follows: one trace then serves both (see learn/plain.py).
  """
  recipe, before, batch = parts.counted, state(parts), examples(parts)
  taken = recipe.taken(batch)
  if mesh is not None:
    shardings = sharding.state_shardings(mesh, before, tensor_axes=parts.model.tensor_axes())
    before = sharding.placed(before, shardings)
    batch = sharding.placed(batch, sharding.batch_sharding(mesh))

  def once(state, batch):
    return recipe.update(state, batch, jax.random.fold_in(jax.random.key(0), state.step))

  moving = [before.params[role] for role in before.opt]
  update = 9 * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(moving))
  with jax.set_mesh(mesh) if mesh else contextlib.nullcontext():  # set for one thread only
    products = count(once, before, batch, taken=taken).products
  return Cost((*products, (0, update, 1)))


def state(parts) -> Any:
  """The state of training, as ShapeDtypeStructs."""
  return jax.eval_shape(parts.recipe.init, jax.eval_shape(lambda: jax.random.key(0)))


def params(parts) -> Any:
  """What is served of the network, as ShapeDtypeStructs."""
  return jax.eval_shape(parts.recipe.born, jax.eval_shape(lambda: jax.random.key(0)))


def examples(parts) -> dict[str, jax.ShapeDtypeStruct]:
  """The batch of a training step, as ShapeDtypeStructs."""
  return parts.recipe.batch(parts.config.train.batch_size)


def moved(parts, mesh) -> dict[str, float]:
  """{axes of the mesh joined by '+': bytes} that one device moves in a training step, as
  `collectives.moved` counts them, from the rules of sharding.py and nn/layout.py alone.

  A parameter that is split over fsdp is gathered before either pass and its gradient is summed into
  parts, which are then summed over what is left; every other gradient is summed whole, that of a
  table of embeddings too. What activations exchange, the network says.
  """
  model, total = parts.model, collections.Counter()
  size = jnp.dtype(model.dtype).itemsize
  leaves = state(parts).params  # of every role
  places = sharding.state_shardings(mesh, leaves, tensor_axes=model.tensor_axes())
  microbatches = parts.config.train.microbatches

  def move(axes, amount):
    name = '+'.join(axis for axis in mesh.axis_names if axis in axes and mesh.shape[axis] > 1)
    if name:
      total[name] += amount

  def parameter(path, leaf, place):
    split = [axis for axis in place.spec if axis]
    copies = [axis for axis in ('slices', 'data', 'fsdp', 'sequence') if axis not in split]
    wide = sharding.path_name(path[1:]).startswith(f'{network.HEAD}/')
    whole = leaf.size * (max(size, 4) if wide else size) * microbatches
    whole /= mesh.shape['tensor'] if 'tensor' in split else 1
    if path[-1].key == 'embedding':
      copies += split
    elif 'fsdp' in split:
      move(['fsdp'], 3 * whole)
      whole /= mesh.shape['fsdp']
    move(copies, whole)

  jax.tree_util.tree_map_with_path(parameter, leaves, places)
  exchanged = model.exchanged()  # floats a slot
  slots = parts.arranged.num_slots * size / mesh.shape['sequence']  # bytes of a float in each
  examples_here = parts.config.train.batch_size // sharding.rows(mesh)
  move(layout.ROWS, exchanged['data'] * slots * microbatches)
  move(['tensor'], exchanged['tensor'] * slots * examples_here)
  move(['sequence'], exchanged['sequence'] * slots * examples_here / mesh.shape['tensor'])
  return dict(total)


def kept(parts) -> int:
  """Bytes that the backward pass of a training step, or of one micro-batch, reads of the forward
  pass, on all devices together, wherever they wait. Where nothing is recomputed these are the
  results of products and convolutions: a compiler makes the cheap rest again by itself."""
  loss_of = _coding if parts.recipe.role == base.CODEC else _denoising
  served = params(parts)

  def backward(params, batch, key):
    return jax.vjp(lambda params: loss_of(parts, params, batch, key), params)[1]

  def part(leaf):
    num = len(leaf) // parts.config.train.microbatches
    return jax.ShapeDtypeStruct((num, *leaf.shape[1:]), leaf.dtype)

  key = jax.eval_shape(lambda: jax.random.key(0))
  residuals = jax.eval_shape(backward, served, jax.tree.map(part, examples(parts)), key)
  return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(residuals))


def _denoising(parts, params, batch, key):
  """The loss of a denoiser."""
  model = parts.model if parts.model.remat != 'none' else parts.model.recomputing('dots')
  denoise = network.condition(
    model.denoise(params), conditions.of(batch, parts.spec.conds), history_cond=parts.history_cond
  )
  x0 = batch['tokens']
  return loss.loss(
    parts.told(denoise, x0), key, x0, blocks=parts.blocks, process=parts.process, draw=parts.draw,
    coords=parts.spec.coords,
  )[0]


def _coding(parts, served, batch, key):
  """The loss of a codec, without that of a critic, whose own pass comes later."""
  def kept(primitive, *_, **__):
    return primitive.name in _OPERATIONS

  @functools.partial(jax.checkpoint, policy=kept)
  def lost(served):
    return parts.recipe.lost(served['params'], served['extra'], batch['tokens'], key)[0]

  return lost(served)


def _products(jaxpr, times, taken):
  """(operations, bytes, times) of every product of a jaxpr that runs `times` times."""
  for equation in jaxpr.eqns:
    name, params = equation.primitive.name, equation.params
    if name in _OPERATIONS:
      arrays = [variable.aval for variable in (*equation.invars, *equation.outvars)]
      size = sum(array.size * array.dtype.itemsize for array in arrays)
      yield _OPERATIONS[name](*arrays, params), size, times
    elif name == 'cond':
      branches = [
        Cost(tuple(_products(branch.jaxpr, times, taken))) for branch in params['branches']
      ]
      share = 1 if all(branch.products for branch in branches) else taken
      dearest = max(branches, key=lambda branch: branch.flops).products
      yield from ((flops, size, often * share) for flops, size, often in dearest)
    else:
      for inner in (program for value in params.values() for program in _programs(value)):
        yield from _products(inner, times * params.get('length', 1), taken)


def _dot(left, right, out, params):
  """Operations of a matrix product."""
  (contracted, _), _ = params['dimension_numbers']
  return 2 * out.size * math.prod(left.shape[axis] for axis in contracted)


def _convolution(image, kernel, out, params):
  """Operations of a convolution: entries of the kernel on padding or between dilated pixels are
  none, as in XLA's own count."""
  of_image, of_kernel, of_out = params['dimension_numbers']
  per_place = (
    image.shape[of_image[0]] // params['batch_group_count'] * out.shape[of_out[1]]
    * kernel.shape[of_kernel[1]]
  )
  met = 1
  for axis, (low, _) in enumerate(params['padding']):
    first = np.arange(out.shape[of_out[2 + axis]]) * params['window_strides'][axis] - low
    entry = np.arange(kernel.shape[of_kernel[2 + axis]]) * params['rhs_dilation'][axis]
    place, apart = first[:, None] + entry, params['lhs_dilation'][axis]
    inside = (place >= 0) & (place <= (image.shape[of_image[2 + axis]] - 1) * apart)
    met *= int(np.sum(inside & (place % apart == 0)))
  return 2 * per_place * met


_OPERATIONS = {'dot_general': _dot, 'conv_general_dilated': _convolution}


def _programs(value):
  """The jaxprs in a parameter of an equation."""
  if isinstance(value, core.ClosedJaxpr):
    return [value.jaxpr]
  if isinstance(value, core.Jaxpr):
    return [value]
  if isinstance(value, tuple | list):
    return [program for item in value for program in _programs(item)]
  return []
