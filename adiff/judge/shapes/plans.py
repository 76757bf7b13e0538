"""Plans of scenes in a few symbols: of every object its cell, its shape and its colour.

Sides of a picture are cut into CELLS parts; an object's cell is that of its middle. Objects stand
in the order of their cells, row by row, and behind the last one there is nothing:

  a red star in the middle of row 2, a blue bar below it    cell star red  cell bar blue  '' ..
"""

import numpy as np

from adiff.judge.shapes import scene

CELLS = 8  # of a side
LENGTH = 3 * scene.MOST  # symbols of a plan
_NUMS = np.array([CELLS**2, len(scene.SHAPES), len(scene.COLOURS)])
_FIRST = 1 + np.cumsum([0, *_NUMS[:-1]])  # symbols of a cell, a shape, a colour; 0: nothing
WORDS = ('', *(f'{x},{y}' for y in range(CELLS) for x in range(CELLS)), *scene.SHAPES,
         *scene.COLOURS)


def write(scenes) -> np.ndarray:
  """The plans int32 [n, LENGTH] of scenes."""
  column, row = np.moveaxis(np.clip(np.floor(scenes.place * CELLS), 0, CELLS - 1), -1, 0)
  parts = np.stack([row * CELLS + column, scenes.shape, scenes.colour], -1).astype(np.int32)
  place = np.where(scenes.there, np.ravel_multi_index(np.moveaxis(parts, -1, 0), _NUMS, 'wrap'),
                   np.prod(_NUMS))
  symbols = np.where(scenes.there[..., None], parts + _FIRST.astype(np.int32), 0)
  order = np.argsort(place, 1, kind='stable')
  return np.take_along_axis(symbols, order[..., None], 1).reshape(len(scenes), LENGTH)


def read(plans) -> scene.Scenes:
  """The scenes of plans int [n, LENGTH]: objects in the middle of their cells, of no size (-1).

  Raises ValueError where symbols are no plan.
  """
  plans = np.asarray(plans)
  if plans.ndim != 2 or plans.shape[1] != LENGTH:
    raise ValueError(f'plans are int [n, {LENGTH}], not {plans.dtype} {list(plans.shape)}')
  symbols = plans.reshape(len(plans), scene.MOST, 3)
  parts, there = symbols - _FIRST, symbols.any(-1)
  wrong = np.flatnonzero((there[..., None] & ((parts < 0) | (parts >= _NUMS))).any((1, 2)))
  if len(wrong):
    told = ' '.join(WORDS[i] if 0 <= i < len(WORDS) else '?' for i in plans[wrong[0]])
    raise ValueError(
      f'plan {wrong[0]}, {told!r}, is none; write a cell, a shape and a colour of every object, '
      'and 0 behind the last one'
    )
  cell, shape, colour = np.moveaxis(np.where(there[..., None], parts, -1), -1, 0)
  middle = (np.stack([cell % CELLS, cell // CELLS], -1) + 0.5) / CELLS
  found = scene.nothing(len(plans))
  found.shape[:], found.colour[:] = shape, colour
  found.place[:] = np.where(there[..., None], middle, 0)
  return found
