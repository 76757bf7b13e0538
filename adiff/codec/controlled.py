"""Patches of pictures, and conditions that are made of the pictures themselves: maps that a sample
shall follow (ControlNet, arXiv:2302.05543; ControlAR, arXiv:2410.02705)."""

import dataclasses
import functools
from typing import Annotated

import numpy as np

from adiff.codec import base, patches
from adiff.judge.metrics import maps
from adiff.sequence import conditions, values

_KNOWN = values.Rule(
  f'must name some of {", ".join(maps.NAMES)}, each once',
  lambda names: names and set(names) <= set(maps.NAMES) and len(set(names)) == len(names),
)


@dataclasses.dataclass(frozen=True)
class Controlled(base.Codec):
  """Float tokens of `patches`, and for each name in `control` a condition, Features of every token:
  the part of the map (judge/metrics/maps.py) that lies in its patch.

  factor: how much smaller the sides of the map `low` are. Raises ValueError where the parts of a
  map are no whole pixels.
  """

  shape: tuple[int, int, int]  # (H, W, C), of the data
  patch: values.Count = 4
  control: Annotated[tuple[str, ...], _KNOWN] = ('edges',)
  factor: values.Count = 4
  levels: int = 256  # how many values a pixel can take, of the data

  in_place = True

  def __post_init__(self):
    values.check_fields(self, 'codec')
    patch = self._patches.patch  # refuses one that does not tile the picture
    if 'low' in self.control and patch % self.factor:
      raise ValueError(
        f'codec.factor={self.factor} leaves no whole pixels of the low resolution in patches of '
        f'{self.patch}; write a divisor of codec.patch'
      )

  @functools.cached_property
  def _patches(self):
    return patches.Patches(self.shape, self.patch, levels=self.levels)

  @classmethod
  def reads(cls, facts):
    return patches.Patches.reads(facts)

  def spec(self, facts):
    spec = self._patches.spec(facts)
    made = {
      name: conditions.Features(int(np.prod(self._shape(name))) // spec.num_tokens, per_token=True)
      for name in self.control
    }
    return dataclasses.replace(spec, conds={**facts.conds, **made})

  def at(self, facts):
    return dataclasses.replace(self, shape=facts.shape)

  def _shape(self, name):
    """Of the map of a picture."""
    height, width, channels = self.shape
    if name == 'low':
      return height // self.factor, width // self.factor, channels
    return height, width, 1

  def encode(self, params, examples, key=None):
    return self._patches.encode(params, examples)

  def decode(self, params, tokens):
    return self._patches.decode(params, tokens)

  def maps(self, examples):
    examples = patches.check_examples(examples, shape=self.shape, levels=self.levels)
    return {name: maps.of(name, examples, self.levels, self.factor) for name in self.control}

  def asked(self, name, value):
    value = np.asarray(value)
    if name not in self.control or value.ndim < 3 or value.shape[-3:] != self._shape(name):
      return value
    (rows, columns), channels = self._patches.grid, value.shape[-1]
    side = value.shape[-3] // rows
    split = value.reshape(-1, rows, side, columns, side, channels).swapaxes(2, 3)
    tokens = split.reshape(*value.shape[:-3], rows * columns, side * side * channels)
    if name == 'low':
      _check_low(tokens, self.levels)
      return patches.to_unit(tokens, levels=self.levels)
    return tokens.astype(np.float32)


def _check_low(values, levels):
  """Raises ValueError where a low resolution is not in levels of pictures, but in shares of them,
  say."""
  least, most = values.min(initial=0), values.max(initial=0)
  shares = most <= 1 < levels - 1 and np.any(values % 1)
  if not (0 <= least and most <= levels - 1) or shares:  # not a number, neither
    raise ValueError(
      f'the low resolution has values from {least:g} to {most:g}; write levels of 0 to {levels - 1}'
    )
