"""What a program costs, counted in the program itself: so every saving is in it.

Only matrix products are counted, each with the bytes of its operands and of its result; what lies
between them is fused into them or small. A product takes the longer of its operations at the
machine's rate and its bytes at the machine's bandwidth (a roofline).
"""

import dataclasses
import math

import jax
import numpy as np
from jax.extend import core


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


def count(function, *arguments) -> Cost:
  """Of function(*arguments); arrays or ShapeDtypeStructs.

  The body of a scan counts once a step, that of a loop whose length depends on the data once, of
  branches the dearest.
  """
  return traced(jax.make_jaxpr(function)(*arguments))


def traced(program: core.ClosedJaxpr) -> Cost:
  """`count` of what is traced already."""
  return Cost(tuple(_products(program.jaxpr, 1)))


def step(parts) -> Cost:
  """Of one training step of a build.Parts, forward and backward, recomputation not counted.

  The update moves parameters, gradients, two moments and the average once each, out and in again.
  """
  recipe = dataclasses.replace(parts.recipe, model=parts.model.clone(remat='none'), microbatches=1)
  key = jax.eval_shape(lambda: jax.random.key(0))
  state = jax.eval_shape(recipe.init, key)
  moved = 9 * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state.params))
  products = count(recipe.update, state, rows(parts), key).products
  return Cost((*products, (0, moved, 1)))


def rows(parts):
  """The batch of a training step, as ShapeDtypeStructs."""
  size = parts.config.train.batch_size
  prior = lambda key: parts.process.prior(key, (size, parts.blocks.num_tokens))
  tokens = jax.eval_shape(prior, jax.eval_shape(lambda: jax.random.key(0)))
  return {'tokens': tokens, 'label': jax.ShapeDtypeStruct((size,), np.int32)}


def _products(jaxpr, times):
  for equation in jaxpr.eqns:
    name, params = equation.primitive.name, equation.params
    if name == 'dot_general':
      (contracted, _), _ = params['dimension_numbers']
      left, right = (one.aval for one in equation.invars)
      out = equation.outvars[0].aval
      flops = 2 * out.size * math.prod(left.shape[axis] for axis in contracted)
      yield flops, sum(one.size * one.dtype.itemsize for one in (left, right, out)), times
    elif name == 'cond':
      branches = [list(_products(branch.jaxpr, times)) for branch in params['branches']]
      yield from max(branches, key=lambda found: Cost(tuple(found)).flops)
    else:
      for inner in (one for value in params.values() for one in _programs(value)):
        yield from _products(inner, times * params.get('length', 1))


def _programs(value):
  """The jaxprs in a parameter of an equation."""
  if isinstance(value, core.ClosedJaxpr):
    return [value.jaxpr]
  if isinstance(value, core.Jaxpr):
    return [value]
  if isinstance(value, tuple | list):
    return [one for item in value for one in _programs(item)]
  return []
