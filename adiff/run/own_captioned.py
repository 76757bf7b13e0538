"""Pictures of one's own that have captions, see own.py: the row configs/captions.py:own."""

import importlib
import pathlib
from typing import Any

from adiff.data import captioned_folder

_LONGEST = 2**10  # bytes of a caption


class Captioned:
  """The pictures of a folder, with room for the longest caption. Raises as CaptionedFolder."""

  channels = 3

  def __init__(self, place):
    found = captioned_folder.CaptionedFolder(place, length=_LONGEST)
    longest = max(
      len(caption.encode()) for split in found.splits for caption in found.captions(split)
    )
    self._place = place
    self.source = captioned_folder.CaptionedFolder(place, length=-(-longest // 8) * 8)
    self.looks = self.source.looks()

  def config(self, grid, patch, asked) -> Any:
    """The row, for pictures of grid x grid tokens of patch x patch pixels; asked: see own.images.
    Raises ValueError where pictures shall be moved: a caption may say what is left or right."""
    if asked['flip'] or asked['crop']:
      raise ValueError(
        'pictures with captions are not moved, for a caption may say what is left or right; leave '
        'flip and crop away'
      )
    config = importlib.import_module('configs.captions').get_config('own').unlock()
    config.name = f'captioned pictures of {pathlib.Path(self._place).stem}'
    config.data.data_dir, config.data.size = self._place, grid * patch
    config.data.length = self.source.length
    image = config.kinds.image
    image.codec.patch, image.blocks.cell = patch, (grid // 2, grid // 2)
    if asked['regime'] == 'whole':
      image.blocks = {'name': 'whole'}
      image.steps *= 4
    return config

  def said(self) -> str:
    """What there is, in words."""
    num = sum(map(self.source.size, self.source.splits))
    return f'{num} pictures with captions of up to {self.source.length} bytes'
