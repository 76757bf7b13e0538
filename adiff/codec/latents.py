"""Latents of an autoencoder as tokens: squares of a frame, standardised."""

import dataclasses
import math

import numpy as np

from adiff.codec import base
from adiff.sequence import spec as spec_lib
from adiff.sequence import values


@dataclasses.dataclass(frozen=True)
class Latents(base.Codec):
  """Latents float [b, H, W, C] or [b, T, H, W, C] <-> tokens float32 [b, N, D].

  A token is a patch x patch square of a frame with all its channels, less their mean, over their
  deviation. Raises ValueError for a patch that does not tile.
  """

  shape: tuple[int, ...]  # of an example, of the data
  patch: values.Count = 1  # side of a token in latents
  mean: tuple[values.AnyNumber, ...] = ()  # of the channels; (): what the data says, or 0
  std: tuple[values.Positive, ...] = ()  # and their deviation; (): what the data says, or 1

  def __post_init__(self):
    values.check_fields(self, 'codec')
    *_, height, width, _ = self.shape if len(self.shape) in (3, 4) else (0, 0, 0)
    if min(height, width) < 1 or height % self.patch or width % self.patch:
      raise ValueError(
        f'data.shape={self.shape} is not tiled by codec.patch={self.patch}; write (H, W, C) or '
        '(T, H, W, C) with sides that are multiples of the patch'
      )
    for name, numbers in (('mean', self.mean), ('std', self.std)):
      if numbers and len(numbers) != self.shape[-1]:
        raise ValueError(
          f'codec.{name} has {len(numbers)} numbers but the data {self.shape[-1]} channels; write '
          'one a channel'
        )

  @classmethod
  def reads(cls, facts):
    return facts.medium in ('image', 'video') and not facts.levels

  def fit(self, source):
    if self.mean and self.std:
      return self
    mean, std = source.statistics
    return dataclasses.replace(
      self, mean=self.mean if self.mean else tuple(mean.tolist()),
      std=self.std if self.std else tuple(std.tolist()),
    )

  @property
  def grid(self) -> tuple[int, ...]:
    """Tokens along each axis: (h, w) or (T, h, w)."""
    *frames, height, width, _ = self.shape
    return (*frames, height // self.patch, width // self.patch)

  def spec(self, facts):
    values.check_row(math.prod(self.grid))
    return spec_lib.Spec(
      kinds=(spec_lib.Vectors(self.patch**2 * self.shape[-1]),),
      num_tokens=int(np.prod(self.grid)),
      grid=self.grid,
      coords=np.indices(self.grid, dtype=np.int32).reshape(len(self.grid), -1).T.copy(),
      conds=facts.conds,
      dims=int(np.prod(self.shape)),
      medium=facts.medium,
    )

  @property
  def _scale(self):
    """(mean, std), float32 [C]."""
    channels = self.shape[-1]
    return (
      np.asarray(self.mean if self.mean else (0,) * channels, np.float32),
      np.asarray(self.std if self.std else (1,) * channels, np.float32),
    )

  def encode(self, params, examples, key=None):
    mean, std = self._scale
    latents = (np.asarray(examples, np.float32) - mean) / std
    *frames, height, width = self.grid
    split = latents.reshape(
      len(latents), *frames, height, self.patch, width, self.patch, self.shape[-1]
    )
    return split.swapaxes(-3, -4).reshape(
      len(latents), np.prod(self.grid), self.patch**2 * self.shape[-1]
    )

  def decode(self, params, tokens):
    mean, std = self._scale
    split = np.asarray(tokens, np.float32).reshape(
      len(tokens), *self.grid, self.patch, self.patch, self.shape[-1]
    )
    return split.swapaxes(-3, -4).reshape(len(tokens), *self.shape) * std + mean
