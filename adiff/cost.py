"""What a program costs, counted in the program itself: so every saving is in it."""

import dataclasses

import jax
import numpy as np
from jax.extend import core


def flops(function, *arguments) -> int:
  """Floating-point operations of the matrix products of function(*arguments); arrays or
  ShapeDtypeStructs.

  Two a multiplication and addition. The body of a scan counts once a step, that of a loop whose
  length depends on the data once, of branches the dearest.
  """
  return _count(jax.make_jaxpr(function)(*arguments).jaxpr)


def step_flops(parts) -> int:
  """Of one training step of a build.Parts, forward and backward, recomputation not counted."""
  recipe = dataclasses.replace(parts.recipe, model=parts.model.clone(remat=False), microbatches=1)
  size = parts.config.train.batch_size
  key = jax.eval_shape(lambda: jax.random.key(0))
  prior = lambda key: parts.process.prior(key, (size, parts.blocks.num_tokens))
  rows = {
    'tokens': jax.eval_shape(prior, key), 'label': jax.ShapeDtypeStruct((size,), np.int32),
  }
  return flops(recipe.update, jax.eval_shape(recipe.init, key), rows, key)


def _count(jaxpr) -> int:
  total = 0
  for equation in jaxpr.eqns:
    name, params = equation.primitive.name, equation.params
    if name == 'dot_general':
      (contracted, _), _ = params['dimension_numbers']
      left, (out,) = equation.invars[0].aval, equation.outvars
      total += 2 * out.aval.size * int(np.prod([left.shape[axis] for axis in contracted]))
    elif name == 'cond':
      total += max(_count(branch.jaxpr) for branch in params['branches'])
    else:
      inner = [one for value in params.values() for one in _programs(value)]
      total += params.get('length', 1) * sum(map(_count, inner)) if inner else 0
  return total


def _programs(value):
  """The jaxprs in a parameter of an equation."""
  if isinstance(value, core.ClosedJaxpr):
    return [value.jaxpr]
  if isinstance(value, core.Jaxpr):
    return [value]
  if isinstance(value, tuple | list):
    return [one for item in value for one in _programs(item)]
  return []
