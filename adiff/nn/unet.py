"""The U-Net: residual convolutions from a fine grid to a coarse one and back, where each block on
the way back also reads what the way there left (DDPM, arXiv:2006.11239; ADM, arXiv:2105.05233).

  signal = level(t, s) + label                       [B, 4 widths[0]]
  h = conv(x on its grid)                            [B, *grid, widths[0]], kept
  there, level by level:  h = attention(block(h, signal)), kept, `blocks` times; halved, kept
  the middle:             h = block(attention(block(h, signal)), signal)
  back, level by level:   h = attention(block([h, what was kept last], signal)), `blocks` + 1 times;
                          doubled
  out = conv(silu(norm(h)))                          [B, N, num_outputs]

It is ADM's: signals scale and shift norms, grids are halved and doubled by residual blocks. It
keeps no cache, so it serves one block.
"""

import dataclasses
import itertools
from typing import Annotated

import flax.linen as nn
import jax
import jax.numpy as jnp

from adiff.nn import cacheless, conv, embed, layout, network
from adiff.sequence import ask as ask_lib
from adiff.sequence import conditions, values
from adiff.sequence import head as head_lib

# What the backward pass has of a block's forward pass; it computes the rest again. See block.REMAT.
REMAT = {
  'none': jax.checkpoint_policies.everything_saveable,
  'layers': jax.checkpoint_policies.nothing_saveable,  # but the block's input
  'dots': lambda primitive, *_, **__: primitive.name in ('dot_general', 'conv_general_dilated'),
}


@dataclasses.dataclass(frozen=True)
class Unet(cacheless.Cacheless):
  """num_inputs and num_outputs come from the process, grid and conds from the data; of conditions
  it is told the label.

  widths: features of each grid, from fine to coarse; each halves the one before. blocks: residual
  ones on a grid. attend: which of the grids attend, 0 is the finest; the middle does always.
  head_width: features of a head of attention.
  told, remat, dtype: as those of denoiser.Denoiser.
  """

  num_inputs: int
  num_outputs: int
  grid: tuple[int, ...]
  conds: dict[str, conditions.Condition] = dataclasses.field(default_factory=dict)
  widths: tuple[values.Count, ...] = (64, 128)
  blocks: values.Count = 2
  attend: tuple[values.Whole, ...] = (1,)
  head_width: values.Count = 32
  dropout: values.ShareBelow1 = 0.0
  told: Annotated[str, values.one_of(*embed.TOLD)] = 't'
  remat: Annotated[str, values.one_of(*REMAT)] = 'none'
  dtype: Annotated[str, values.one_of('float32', 'bfloat16')] = 'float32'

  shifted, hinted, heads, num_hints = False, 'none', 1, 0
  head = head_lib.Outputs()

  def __post_init__(self):
    values.check_fields(self, 'model')
    if not self.widths or any(level >= len(self.widths) for level in self.attend):
      raise ValueError(
        f'model.attend={self.attend} names grids of model.widths={self.widths} by their number; '
        'write widths, and numbers below as many'
      )
    for level in (*self.attend, len(self.widths) - 1):
      if self.widths[level] % self.head_width:
        raise ValueError(
          f'model.widths={self.widths} must be multiples of model.head_width={self.head_width} '
          'where the grid attends, and the last one always'
        )

  def needs(self, parts):
    blocks, mesh = parts.blocks, parts.config.mesh
    if parts.process.discrete or parts.spec.by_kind:
      raise ValueError(
        'model unet denoises vectors of one kind; write process.name=gaussian and data or a codec '
        'of floats, or model.name=denoiser'
      )
    if blocks.num_blocks > 1 or len(parts.geometries) > 1:
      raise ValueError(
        'model unet reads one block, laid on its grid, and keeps no cache; write blocks.name=whole '
        'and no train.block_sizes, or model.name=denoiser'
      )
    if blocks.order != tuple(range(len(blocks.order))):
      raise ValueError(
        'model unet lays tokens on its grid row by row, and these stand in another order; write '
        'blocks.name=whole, or model.name=denoiser'
      )
    halved = 2 ** (len(self.widths) - 1)
    if len(self.grid) > 2 or any(side % halved for side in self.grid):
      raise ValueError(
        f'model.widths={self.widths} do not fit tokens on a grid of {self.grid}: it must have one '
        f'axis or two, of multiples of {halved} places; write fewer widths, or another codec.patch'
      )
    if parts.spec.further:
      raise ValueError(
        f'model unet is told labels alone, and the data has {", ".join(parts.spec.further)}; '
        'write model.name=denoiser'
      )
    if parts.config.train.given:
      raise ValueError(
        'model unet is told one level an example, and train.given shows some tokens at level 0; '
        'write train.given=0.0, or model.name=denoiser'
      )
    if mesh.tensor != 1 or mesh.sequence != 1:
      raise ValueError(
        'model unet splits examples and parameters alone; write mesh.tensor=1, mesh.sequence=1 and '
        'a larger mesh.fsdp'
      )

  def init(self, key, ask):
    cond = conditions.nothing(self.conds, *ask.x.shape[:2])
    cond = {name: conditions.over_slots(value, ask.slots) for name, value in cond.items()}
    return _Trunk(self).init(key, dataclasses.replace(ask, cond=cond), None)['params']

  def denoise(self, params, *, key=None, loops=False):
    del loops  # nothing is worth to be made once

    def trunk(ask):
      return _Trunk(self).apply({'params': params}, ask, key), ask.cache

    return ask_lib.Denoise(trunk, self.head)

  def recomputing(self, policy):
    return dataclasses.replace(self, remat=policy)


class _Trunk(nn.Module):
  of: Unet

  @nn.compact
  def __call__(self, ask, key):
    """[B, N, num_outputs]; key: turns dropout on."""
    of, dtype, wide = self.of, jnp.dtype(self.of.dtype), jnp.promote_types(self.of.dtype, 'float32')
    levels, calls = range(len(of.widths)), itertools.count()
    signal = self._signal(ask)

    def block(h, level, name, resample=None):
      own = None if key is None else jax.random.fold_in(key, next(calls))
      made = nn.remat(conv.Block, policy=REMAT[of.remat]) if of.remat != 'none' else conv.Block
      made = made(dtype, of.widths[level], resample, of.dropout, name=name)
      return layout.grid(made(h, signal, own))

    def attended(h, level, name):
      heads = of.widths[level] // of.head_width
      return layout.grid(conv.Attention(dtype, heads, name=f'{name}_attention')(h))

    def step(h, level, name):
      h = block(h, level, name)
      return attended(h, level, name) if level in of.attend else h

    def convolved(h, features, name, **how):
      return nn.Conv(features, (3,) * len(of.grid), padding=1, name=name, **how)(h)

    h = layout.grid(ask.x.reshape(len(ask.x), *of.grid, of.num_inputs))
    h = convolved(h, of.widths[0], 'in', dtype=dtype)
    kept = [h]
    for level in levels:
      for number in range(of.blocks):
        h = step(h, level, f'there_{level}_{number}')
        kept.append(h)
      if level < levels[-1]:
        h = block(h, level, f'halve_{level}', conv.halved)
        kept.append(h)
    h = block(h, levels[-1], 'middle_0')
    h = attended(h, levels[-1], 'middle')
    h = block(h, levels[-1], 'middle_1')
    for level in reversed(levels):
      for number in range(of.blocks + 1):
        h = jnp.concatenate([h, kept.pop()], axis=-1)
        h = step(h, level, f'back_{level}_{number}')
      if level:
        h = block(h, level, f'double_{level}', conv.doubled)
    h = nn.silu(conv.Norm(wide, name='norm')(h))
    zeros = nn.initializers.zeros
    h = convolved(h, of.num_outputs, network.HEAD, dtype=wide, kernel_init=zeros)
    return h.reshape(len(h), -1, of.num_outputs)

  def _signal(self, ask):
    """[B, E] of the label and the level, which tokens share, but for those that are given, at 0."""
    of, dtype, width = self.of, jnp.dtype(self.of.dtype), 4 * self.of.widths[0]
    t, s = (
      None if level is None else jnp.max(level, axis=1, keepdims=True) for level in (ask.t, ask.s)
    )
    signal = embed.Level(width, dtype, of.told, name='level')(t, s)
    if conditions.LABEL in of.conds:
      label = embed.Label(of.conds[conditions.LABEL].num, width, dtype, name='label')
      signal = signal + label(ask.cond[conditions.LABEL][:, :1])
    return signal[:, 0]
