"""The lessons of a config: what is made of a batch before its loss."""

import numpy as np

from adiff.data import base as data_base
from adiff.learn import lessons
from adiff.sequence import blocks as blocks_lib


def lessons_of(
  config, coded: data_base.Coded, blocks: blocks_lib.Blocks
) -> tuple[lessons.Lesson, ...]:
  """They, one after another, of batches in the order of blocks."""
  train, taught = config.train, []
  if train.flip or train.crop:
    taught.append(lessons.Moved(_layout(train.crop, coded, blocks), train.flip, train.crop))
  if train.requantise:
    taught.append(_requantised(train.requantise, coded, blocks))
  if train.random_length:
    taught.append(lessons.RandomLength(train.random_length))
  if train.given:
    rows_and_columns = coded.codec.spec(coded.source.facts).coords  # at whatever size
    kind_of_token = None
    if blocks.kinds is not None:
      kind_of_token = np.repeat(np.unique(blocks.kinds, return_inverse=True)[1], blocks.sizes)
    taught.append(lessons.Given(
      train.given, blocks.block_of_token, blocks.from_raster(rows_and_columns, axis=0),
      kind_of_token,
    ))
  return tuple(taught)


def _requantised(most, coded, blocks):
  """The lesson, in block order; raises ValueError where there is no history to corrupt, or nothing
  that makes up for it."""
  codec = coded.codec
  if not codec.requantises or blocks.history is None:
    raise ValueError(
      f'config.train.requantise={most} replaces codes of coarser scales as finer ones read them, '
      'and lets these make up for it: it needs a trained codec whose quantiser has several scales '
      'and history=0.0; or write requantise=0.0'
    )

  def requantise(tokens, key, share):
    raster = blocks.to_raster
    found = codec.requantise(coded.params, raster(tokens), key, raster(share))
    return tuple(map(blocks.from_raster, found))

  return lessons.Requantised(most, requantise)


def _layout(crop, coded, blocks):
  """Codec.layout in block order; raises ValueError where pictures cannot be moved."""
  layout = coded.codec.layout()
  if layout is None:
    raise ValueError(
      'config.train.flip and crop move the pixels of pictures, which these tokens are not; write '
      'codec.name=patches, or flip=False and crop=0'
    )
  if crop >= min(layout.shape[:2]):
    raise ValueError(
      f'config.train.crop={crop} moves pictures of {layout.shape[:2]} pixels out of sight; '
      'write a smaller one'
    )
  dim = layout.size // blocks.num_tokens
  token, value = np.divmod(layout, dim)
  return np.argsort(blocks.order)[token] * dim + value
