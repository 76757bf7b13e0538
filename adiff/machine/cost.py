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
from adiff.sequence import conditions, turns

AT_MOST, AT_LEAST = 'at most', 'at least'


@dataclasses.dataclass(frozen=True)
class Cost:
  """products: (floating-point operations of one, bytes of one, how often, on average).

  bounds: what of it is none of an average: AT_MOST, AT_LEAST.
  """

  products: tuple[tuple[int, int, float], ...]
  bounds: frozenset[str] = frozenset()

  @property
  def flops(self) -> int:
    """Floating-point operations; two a multiplication and addition."""
    return sum(flops * times for flops, _, times in self.products)

  @property
  def said(self) -> str | None:
    """What the count is of what is done: 'at most', 'at least', 'about' where some of it is either;
    None: it is that."""
    return 'about' if len(self.bounds) > 1 else next(iter(self.bounds), None)

  @property
  def bytes(self) -> int:
    return sum(size * times for _, size, times in self.products)

  def seconds(self, rate, bandwidth) -> float:
    """At `rate` FLOP/s and `bandwidth` bytes/s, each product by itself."""
    return sum(max(f / rate, b / bandwidth) * times for f, b, times in self.products)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rollout(Cost):
  """Samples that are made together."""

  evaluations: int  # network calls one after another, at most
  cache_bytes: int  # of the largest cache


def count(function, *arguments, often=None) -> Cost:
  """What function(*arguments) costs; arrays or ShapeDtypeStructs.

  The body of a scan counts once a step. What data decide is counted as `often` says of the name in
  its scope (sequence/turns.py), {name: turns of a loop, or share in which a branch is taken}, else
  as the scope itself does: a branch at its share, a loop at its most. Where nothing is known, of
  branches the dearest counts, and a loop once. What is a bound is told in Cost.bounds.
  """
  return traced(jax.make_jaxpr(function)(*arguments), often)


def traced(program: core.ClosedJaxpr, often=None) -> Cost:
  """`count` of what is traced already."""
  return _counted(program.jaxpr, {} if often is None else often)


def step(parts, mesh=None) -> Cost:
  """A training step of a build.Parts, forward and backward, recomputation not counted, what
  data decide as often as Recipe.often says.

  The update moves parameters, gradients, two moments and the average once each, out and in again.
  mesh: that of a training that follows: one trace then serves both (see learn/plain.py).
  """
  recipe, before, batch = parts.counted, state(parts), examples(parts)
  often = recipe.often(batch)
  if mesh is not None:
    shardings = sharding.state_shardings(mesh, before, tensor_axes=parts.model.tensor_axes())
    before = sharding.placed(before, shardings)
    batch = sharding.placed(batch, sharding.batch_sharding(mesh))

  def once(state, batch):
    return recipe.update(state, batch, jax.random.fold_in(jax.random.key(0), state.step))

  moving = [before.params[role] for role in before.opt]
  update = UPDATE * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(moving))
  with jax.set_mesh(mesh) if mesh else contextlib.nullcontext():  # set for one thread only
    counted = count(once, before, batch, often=often)
  return dataclasses.replace(counted, products=(*counted.products, (0, update, 1)))


def training(parts, mesh=None) -> float:
  """Operations of a training step, as `step`; of several sizes of pictures their mean."""
  return float(np.mean([step(one, mesh).flops for one in parts.each_size]))


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


def _counted(jaxpr, often) -> Cost:
  """The Cost of a jaxpr that runs once."""
  products, bounds = [], set()

  def add(cost, times=1):
    products.extend((flops, size, times * turns) for flops, size, turns in cost.products if times)
    bounds.update(cost.bounds)

  for equation in jaxpr.eqns:
    name, params = equation.primitive.name, equation.params
    if name in _OPERATIONS:
      arrays = [variable.aval for variable in (*equation.invars, *equation.outvars)]
      size = sum(array.size * array.dtype.itemsize for array in arrays)
      products.append((_OPERATIONS[name](*arrays, params), size, 1))
      continue
    inner = [_counted(one, often) for value in params.values() for one in _programs(value)]
    if name == 'cond':
      for one, share in _branches(equation, inner, often):
        add(one, share)
    elif name == 'while':
      for one in inner:
        add(*_loop(equation, one, often))
    else:
      for one in inner:
        add(one, _times(name, params))
  return Cost(tuple(products), frozenset(bounds))


def _times(name, params) -> int:
  """How often an equation runs what is in it: a scan each step, a shard_map on each device."""
  if name == 'scan':
    return params['length']
  if name == 'shard_map':
    return math.prod(params['mesh'].shape[axis] for axis in params['newly_manual_axes'])
  return 1


def _branches(equation, costs, often):
  """[(cost, share of the cases)] of a cond's branches."""
  name, share = _scope(equation)
  share = often.get(name, share)
  if share is not None:
    untaken, taken = costs
    return [(untaken, 1 - share), (taken, share)]
  dearest = max(costs, key=lambda cost: cost.flops)
  # Which form of one function a platform has is no matter of data.
  by_data = equation.params.get('branches_platforms') is None
  if by_data and len({cost.flops for cost in costs}) > 1:
    dearest = dataclasses.replace(dearest, bounds=dearest.bounds | {AT_MOST})
  return [(dearest, 1)]


def _scope(equation):
  """(name, number) of an equation's scope, see turns.found."""
  return turns.found(str(equation.source_info.name_stack))


def _loop(equation, cost, often):
  """(cost of one turn, turns) of a while."""
  name, most = _scope(equation)
  if not cost.products or name in often:
    return cost, often.get(name, 1)
  bound = AT_LEAST if most is None else AT_MOST
  return dataclasses.replace(cost, bounds=cost.bounds | {bound}), 1 if most is None else most


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


UPDATE = 9  # times its bytes that a parameter moves in an update, see `step`
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
