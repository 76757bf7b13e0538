"""Scenes: one to four objects on a ground like sand, what they are and where, and what is held out.

Sides of a picture are 1: x grows to the right, y downwards.
"""

import dataclasses
import itertools

import numpy as np

SHAPES = ('circle', 'square', 'triangle', 'diamond', 'cross', 'ring', 'bar', 'star')
# The corners of the cube of colours: a blend of two of them, as at an edge, is never a third one,
# nor is it the ground.
COLOURS = ('black', 'blue', 'green', 'cyan', 'red', 'purple', 'yellow', 'white')
SIZES = ('small', 'large')
RELATIONS = ('left', 'right', 'above', 'below')
RGB = np.array(list(itertools.product((0.0, 1.0), repeat=3)))  # of COLOURS
GROUND = np.array([0.75, 0.5, 0.25])
RADII = np.array([0.12, 0.19])  # of SIZES
REACH = 1.35  # how far from its place an object extends at most, in radii
MOST = 4  # objects of a scene
VISIBLE = 0.6  # of every object, at least
APART = 0.1  # how far one place lies beside or above another one, for a relation to hold


@dataclasses.dataclass(frozen=True, eq=False)
class Scenes:
  """Objects of n scenes, from the back to the front; -1 where there is none. MOST, or more where
  somebody else made the picture."""

  shape: np.ndarray  # int [n, MOST], of SHAPES
  colour: np.ndarray  # int [n, MOST], of COLOURS
  size: np.ndarray  # int [n, MOST], of SIZES
  place: np.ndarray  # float [n, MOST, 2], x and y of the middle

  def __len__(self):
    return len(self.shape)

  def __getitem__(self, chosen) -> 'Scenes':
    """Some of the scenes."""
    return Scenes(*(part[chosen] for part in parts(self)))

  @property
  def there(self) -> np.ndarray:
    """bool [n, MOST]: is there an object?"""
    return self.shape >= 0

  @property
  def radius(self) -> np.ndarray:
    """float [n, MOST], of any object where there is none."""
    return RADII[self.size]


def parts(scenes) -> tuple[np.ndarray, ...]:
  """The arrays of scenes."""
  return scenes.shape, scenes.colour, scenes.size, scenes.place


def nothing(num, most=MOST) -> Scenes:
  """Scenes without any object, to be filled."""
  return Scenes(*(np.full((num, most), -1, np.int8) for _ in range(3)), np.zeros((num, most, 2)))


def related(scenes, apart=APART) -> np.ndarray:
  """bool [n, len(RELATIONS), MOST, MOST]: does the first object lie so from the second one, by at
  least so far?"""
  gap = scenes.place[:, :, None] - scenes.place[:, None]  # [n, MOST, MOST, 2], from the second
  both = scenes.there[:, :, None] & scenes.there[:, None]
  right, below = (gap[..., axis] > apart for axis in (0, 1))
  left, above = (gap[..., axis] < -apart for axis in (0, 1))
  return np.stack([left, right, above, below], 1) & both[:, None]


# What no picture and no caption of the training split shows: of every colour one shape, of every
# shape one number of objects, and beside and above every shape another one.


def held_out_pair(colour, shape) -> np.ndarray:
  """Is a shape of this colour held out?"""
  return (np.asarray(colour) >= 0) & (shape == (3 * np.asarray(colour) + 1) % len(SHAPES))


def held_out_count(shape, number) -> np.ndarray:
  """Are exactly so many objects of a shape held out?"""
  return number == 2 + np.asarray(shape) % (MOST - 1)


def held_out_relation(relation, first, second) -> np.ndarray:
  """Is the first shape's place left of, right of, above or below (0 to 3) the second one held out?
  """
  back = (relation == 1) | (relation == 3)
  first, second = np.where(back, second, first), np.where(back, first, second)
  return second == (first + np.where(relation < 2, 3, 5)) % len(SHAPES)


def held_out(scenes) -> np.ndarray:
  """bool [n, 3]: does a scene show a pair, a number or a relation that is held out?"""
  there, shape = scenes.there, scenes.shape
  pair = (there & held_out_pair(scenes.colour, shape)).any(1)
  number = (shape[:, :, None] == shape[:, None]).sum(2)
  count = (there & held_out_count(shape, number)).any(1)
  relation = np.arange(len(RELATIONS))[:, None, None]
  asked = held_out_relation(relation, shape[:, None, :, None], shape[:, None, None, :])
  return np.stack([pair, count, (related(scenes) & asked).any((1, 2, 3))], 1)
