"""What a program costs, counted in the program itself: so every saving is in it.

Only matrix products are counted, each with the bytes of its operands and of its result; what lies
between them is fused into them or small. A product takes the longer of its operations at the
machine's rate and its bytes at the machine's bandwidth (a roofline).
"""

import collections
import contextlib
import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from adiff.learn import loss
from adiff.machine import sharding
from adiff.nn import layout
from adiff.nn.heads import chunked


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
  """Of samples that are drawn together. evaluations: network calls one after another, at most.
  cache_bytes: of the largest cache."""

  evaluations: int
  cache_bytes: int


def count(function, *arguments, taken=1) -> Cost:
  """Of function(*arguments); arrays or ShapeDtypeStructs.

  The body of a scan counts once a step, that of a loop whose length depends on the data once, of
  branches the dearest; taken: in what share of the cases, where another one has no product.
  """
  return traced(jax.make_jaxpr(function)(*arguments), taken)


def traced(program: core.ClosedJaxpr, taken=1) -> Cost:
  """`count` of what is traced already."""
  return Cost(tuple(_products(program.jaxpr, 1, taken)))


def step(parts, mesh=None) -> Cost:
  """Of one training step of a build.Parts, forward and backward, recomputation not counted; the
  head at the share of its chunks that the levels drawn let expect.

  The update moves parameters, gradients, two moments and the average once each, out and in again.
  mesh: that of a training that follows: one trace then serves both (see recipe.py).
  """
  recipe, before, batch = parts.recipe, state(parts), rows(parts)
  if parts.model.remat != 'none' or recipe.microbatches != 1:
    recipe = dataclasses.replace(recipe, model=parts.model.clone(remat='none'), microbatches=1)
  if mesh is not None:
    before = sharding.placed(before, sharding.state_shardings(mesh, before))
    batch = sharding.placed(batch, sharding.batch_sharding(mesh))

  def once(state, batch):
    return recipe.update(state, batch, jax.random.fold_in(jax.random.key(0), state.step))

  update = 9 * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(before.params))
  with jax.set_mesh(mesh) if mesh else contextlib.nullcontext():  # set for one thread only
    products = count(once, before, batch, taken=_share(recipe, batch)).products
  return Cost((*products, (0, update, 1)))


def _share(recipe, batch):
  """Of the chunks of nn/head.py, those with tokens that carry loss; weights are not known here."""
  if recipe.process.num_outputs < loss.MANY:
    return 1

  def carrying(blocks, draw):
    x0 = jnp.zeros(batch['tokens'].shape, batch['tokens'].dtype)
    t = blocks.per_token(draw(jax.random.key(0), (len(x0), blocks.num_blocks)))
    xt = recipe.process.add_noise(jax.random.key(1), x0, t)
    return np.mean(recipe.process.carries(xt, t))

  found = [carrying(*kind) for kind in zip(recipe.blocks, recipe.draw, strict=True)]
  return math.ceil(np.mean(found) * chunked.CHUNKS) / chunked.CHUNKS


def state(parts):
  """The state of training, as ShapeDtypeStructs."""
  return jax.eval_shape(parts.recipe.init, jax.eval_shape(lambda: jax.random.key(0)))


def rows(parts):
  """The batch of a training step, as ShapeDtypeStructs."""
  size = parts.config.train.batch_size
  prior = lambda key: parts.process.prior(key, (size, parts.blocks.num_tokens))
  tokens = jax.eval_shape(prior, jax.eval_shape(lambda: jax.random.key(0)))
  return {'tokens': tokens, 'label': jax.ShapeDtypeStruct((size,), np.int32)}


def moved(parts, mesh) -> dict[str, float]:
  """{axes of the mesh joined by '+': bytes} that one device moves in a training step, as
  `collectives.found` counts them, from the rules of sharding.py and nn/layout.py alone.

  A parameter that is split over fsdp is gathered before either pass and its gradient is summed into
  parts, which are then summed over what is left; every other gradient is summed whole, that of a
  table of embeddings too, and that of the positions, which all rows share. A layer sums its two
  results over tensor, backward its two inputs; over sequence it exchanges q, k, v and their
  attention. What a layer recomputes, it moves again.
  """
  model, total = parts.model, collections.Counter()
  size = jnp.dtype(model.dtype).itemsize
  params = state(parts).params
  places = sharding.state_shardings(mesh, params)

  def move(axes, amount):
    name = '+'.join(axis for axis in mesh.axis_names if axis in axes and mesh.shape[axis] > 1)
    if name:
      total[name] += amount

  def parameter(path, leaf, place):
    split = [axis for axis in place.spec if axis]
    copies = [axis for axis in ('data', 'fsdp', 'sequence') if axis not in split]
    wide = sharding.path_name(path).startswith('out/')  # the head is computed in float32
    whole = leaf.size * (max(size, 4) if wide else size) * parts.recipe.microbatches
    whole /= mesh.shape['tensor'] if 'tensor' in split else 1
    if path[-1].key == 'embedding':
      copies += split
    elif 'fsdp' in split:
      move(['fsdp'], 3 * whole)
      whole /= mesh.shape['fsdp']
    move(copies, whole)

  jax.tree_util.tree_map_with_path(parameter, params, places)
  one = parts.blocks.num_slots * model.width * size / mesh.shape['sequence']  # of a row
  move(layout.ROWS, one * parts.recipe.microbatches)
  layers = model.depth * parts.config.train.batch_size // sharding.rows(mesh) * one
  again = model.remat in ('layers', 'offload')
  move(['tensor'], (5 if again else 4) * layers)
  move(['sequence'], (12 if again else 8) * layers / mesh.shape['tensor'])
  return dict(total)


def kept(parts) -> int:
  """Bytes that the backward pass of a training step, or of one micro-batch, reads of the forward
  pass, on all devices together, wherever they wait. Where model.remat is none these are the results
  of projections: a compiler makes the cheap rest again by itself."""
  model = parts.model if parts.model.remat != 'none' else parts.model.clone(remat='dots')
  recipe = dataclasses.replace(parts.recipe, model=model)
  key = jax.eval_shape(lambda: jax.random.key(0))
  part = lambda row: jax.ShapeDtypeStruct((len(row) // recipe.microbatches, *row.shape[1:]),
                                          row.dtype)
  backward = lambda params, batch, key: jax.vjp(
    lambda params: recipe.objective(params, batch, key)[0], params
  )[1]
  found = jax.eval_shape(backward, state(parts).params, jax.tree.map(part, rows(parts)), key)
  return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(found))


def _products(jaxpr, times, taken):
  for equation in jaxpr.eqns:
    name, params = equation.primitive.name, equation.params
    if name == 'dot_general':
      (contracted, _), _ = params['dimension_numbers']
      left, right = (one.aval for one in equation.invars)
      out = equation.outvars[0].aval
      flops = 2 * out.size * math.prod(left.shape[axis] for axis in contracted)
      yield flops, sum(one.size * one.dtype.itemsize for one in (left, right, out)), times
    elif name == 'cond':
      branches = [tuple(_products(one.jaxpr, times, taken)) for one in params['branches']]
      share = 1 if all(branches) else taken
      dearest = max(branches, key=lambda found: Cost(found).flops)
      yield from ((flops, size, often * share) for flops, size, often in dearest)
    else:
      for inner in (one for value in params.values() for one in _programs(value)):
        yield from _products(inner, times * params.get('length', 1), taken)


def _programs(value):
  """The jaxprs in a parameter of an equation."""
  if isinstance(value, core.ClosedJaxpr):
    return [value.jaxpr]
  if isinstance(value, core.Jaxpr):
    return [value]
  if isinstance(value, tuple | list):
    return [one for item in value for one in _programs(item)]
  return []
