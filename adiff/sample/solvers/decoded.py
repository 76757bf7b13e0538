"""All tokens of a block at once, or in a few calls, of noise that each carries: the sampler of
recipe distilled_decoding (Liu et al. 2024, arXiv:2412.17153, algorithm 2)."""

import dataclasses

import jax
import jax.numpy as jnp

from adiff.nn import hinting, network
from adiff.process import code_flow
from adiff.sample.solvers import base
from adiff.sample.solvers import code_flow as code_flow_solver
from adiff.sequence import values


@dataclasses.dataclass(frozen=True)
class Decoded(base.Solver):
  """The network is shown the noise of `dim` floats of the tokens in flight, as CodeFlow has it, and
  its likeliest symbols are the tokens: of each block the first ones, so many that after a step to
  level s floor(s B + 1/2) of B are left, which the next call makes anew."""

  dim: values.Count = 4

  @property
  def hints(self):
    return {network.NOISE: self.dim}

  def needs(self, parts):
    code_flow_solver.needs_masks(self, parts)
    if parts.recipe.denoises:
      raise ValueError(
        'solver decoded makes tokens of noise that a network was taught to read; write '
        'recipe.name=distilled_decoding'
      )
    if parts.model.hinted != hinting.BESIDE or parts.model.num_hints or not parts.plan.sequential:
      raise ValueError(
        "solver decoded shows noise beside tokens; write model.hinted='beside', "
        'model.self_condition=False and plan.delay=None'
      )

  def begun(self, x, keys):
    return code_flow.noise(keys, self.dim)

  def init(self, x):
    return jnp.zeros((*x.shape[:2], self.dim), jnp.float32)

  def shown(self, memory, t, s):
    return {network.NOISE: jnp.where((s < t)[..., None], memory, 0)}

  def step(self, call, out, process, key, x, t, s, memory, narrow=base.uncut):
    flying = s < t
    size = jnp.sum(flying, axis=1, keepdims=True)
    level = jnp.max(jnp.where(flying, s, 0), axis=1, keepdims=True)
    first = jnp.cumsum(flying, axis=1) <= size - left(level, size)
    made = jnp.argmax(out, axis=-1).astype(x.dtype)
    return jnp.where(flying & first & (x == process.mask_id), made, x), memory


def left(level, size) -> jax.Array:
  """int32: how many of `size` tokens are masked at a level of the plan."""
  return jnp.floor(level * size.astype(level.dtype) + 0.5).astype(jnp.int32)
