"""A network that makes an example of its noise in one call: residual convolutions from a few floats
to a grid, as the decoder of conv.py.

  h = dense(first floats of the noise) + label      on the coarsest grid
  blocks - unfold 2 - dense - blocks - .. - norm - dense

It reads nothing but its own tokens at level 1, and keeps no cache: one block, one step.
"""

import dataclasses
import math
from typing import Annotated

import flax.linen as nn
import jax.numpy as jnp

from adiff.nn import cacheless, conv, network
from adiff.sequence import ask as ask_lib
from adiff.sequence import conditions, values
from adiff.sequence import head as head_lib


@dataclasses.dataclass(frozen=True)
class Generator(cacheless.Cacheless):
  """num_outputs comes from the process, grid and conds from the data; of conditions it is told the
  label.

  latent: floats of the noise that it reads, at most those of an example. widths, blocks: as of
  conv.Conv.
  """

  num_outputs: int
  grid: tuple[int, ...]
  conds: dict[str, conditions.Condition] = dataclasses.field(default_factory=dict)
  latent: values.Count = 64
  widths: tuple[values.Count, ...] = (32, 64)
  blocks: values.Count = 1
  dtype: Annotated[str, values.one_of('float32', 'bfloat16')] = 'float32'

  shifted, hinted, heads, remat, num_hints = False, 'none', 1, 'none', 0
  head = head_lib.Outputs()

  def __post_init__(self):
    values.check_fields(self, 'model')

  def needs(self, parts):
    if parts.recipe.denoises:
      raise ValueError(
        'model generator makes examples of pure noise and denoises nothing; write recipe.name=gan, '
        'or model.name=denoiser'
      )
    floats = math.prod(self.grid) * self.num_outputs
    if self.latent > floats:
      raise ValueError(
        f'model.latent={self.latent} floats of noise, and an example has {floats}; write at most '
        'that'
      )
    if parts.spec.further:
      raise ValueError(
        f'model generator is told labels alone, and the data has {", ".join(parts.spec.further)}; '
        'write model.name=denoiser'
      )

  @property
  def coder(self) -> conv.Conv:
    """Whose decoder it is; raises ValueError for widths that do not fit the grid."""
    grid = conv.stretched(self.grid)
    return conv.Conv(
      grid, self.num_outputs, self.widths[-1], self.widths, self.blocks, dtype=self.dtype
    )

  def init(self, key, ask):
    cond = conditions.nothing(self.conds, *ask.x.shape[:2])
    cond = {name: conditions.over_slots(value, ask.slots) for name, value in cond.items()}
    return _Trunk(self).init(key, dataclasses.replace(ask, cond=cond))['params']

  def denoise(self, params, *, key=None, loops=False):
    del key, loops  # nothing in it is random, or worth to be made once

    def trunk(ask):
      return _Trunk(self).apply({'params': params}, ask), ask.cache

    return ask_lib.Denoise(trunk, self.head)

  def recomputing(self, policy):
    del policy
    return self


class _Trunk(nn.Module):
  of: Generator

  @nn.compact
  def __call__(self, ask):
    """[B, N, D]."""
    of, dtype = self.of, jnp.dtype(self.of.dtype)
    coder, batch = of.coder, len(ask.x)
    features = math.prod(coder.code_grid) * of.widths[-1]
    noise = ask.x.reshape(batch, -1)[:, :of.latent]
    h = nn.Dense(features, dtype=dtype, name='noise')(noise)
    if conditions.LABEL in of.conds:
      label, num = ask.cond[conditions.LABEL][:, 0], of.conds[conditions.LABEL].num
      table = nn.Embed(num + 1, features, dtype=dtype, name='label')
      h = h + table(jnp.where(label < 0, num, label))
    h = conv.Decoder(coder, name='decoder')(h.reshape(batch, *coder.code_grid, -1))
    h = h.reshape(batch, math.prod(of.grid), -1)
    return nn.Dense(of.num_outputs, name=network.HEAD)(h)
