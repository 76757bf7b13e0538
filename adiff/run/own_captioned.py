"""Pictures of one's own that have captions, see own.py: the row configs/captions.py:own."""

import importlib
import pathlib

from adiff.data import captioned_folder

_LONGEST = 2**10  # bytes of a caption


def opened(place) -> captioned_folder.CaptionedFolder:
  """The pictures of a folder, with room for the longest caption. Raises as CaptionedFolder."""
  found = captioned_folder.CaptionedFolder(place, length=_LONGEST)
  longest = max(
    len(caption.encode()) for split in found.splits for caption in found.captions(split)
  )
  return captioned_folder.CaptionedFolder(place, length=-(-longest // 8) * 8)


def filled(place, source, grid, patch, asked):
  """The row, for pictures of grid x grid tokens of patch x patch pixels; asked: see own.images.
  Raises ValueError where pictures shall be moved: their captions may say what is left or right."""
  if asked['flip'] or asked['crop']:
    raise ValueError(
      'pictures with captions are not moved, for a caption may say what is left or right; leave '
      'flip and crop away'
    )
  config = importlib.import_module('configs.captions').get_config('own').unlock()
  config.name = f'captioned pictures of {pathlib.Path(place).stem}'
  config.data.data_dir, config.data.size, config.data.length = place, grid * patch, source.length
  image = config.kinds.image
  image.codec.patch, image.blocks.cell = patch, (grid // 2, grid // 2)
  if asked['regime'] == 'whole':
    image.blocks = {'name': 'whole'}
    image.steps *= 4
  return config


def said(source) -> str:
  """What there is, in words."""
  num = sum(map(source.size, source.splits))
  return f'{num} pictures with captions of up to {source.length} bytes'
