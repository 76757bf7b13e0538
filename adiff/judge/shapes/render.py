"""Pictures of scenes: signed distances of the shapes, four of them a pixel for smooth edges."""

import numpy as np

from adiff.judge.shapes import scene

_FINE = 2  # places a pixel and axis at which a distance is taken
_TURN = np.pi / 5


def _box(x, y, width, height):
  """Distance to a box of half sides."""
  return np.maximum(np.abs(x) - width, np.abs(y) - height)


def _star(x, y, tip=1.35, notch=0.6):
  """Five tips: turned into one half of one of them, whose side is a line."""
  angle = np.abs((np.arctan2(x, -y) + _TURN) % (2 * _TURN) - _TURN)
  radius = np.hypot(x, y)
  side = np.array([notch * np.cos(_TURN) - tip, notch * np.sin(_TURN)])
  normal = np.array([side[1], -side[0]]) / np.hypot(*side)
  return (radius * np.cos(angle) - tip) * normal[0] + radius * np.sin(angle) * normal[1]


# Signed distances in units of the radius: negative inside. All areas are about that of the circle.
_DISTANCES = {
  'circle': lambda x, y: np.hypot(x, y) - 1,
  'square': lambda x, y: _box(x, y, 0.89, 0.89),
  'triangle': lambda x, y: np.maximum(y - 0.675, np.abs(x) * 0.75**0.5 - y / 2 - 0.675),
  'diamond': lambda x, y: (np.abs(x) + np.abs(y) - 1.25) / 2**0.5,
  'cross': lambda x, y: np.minimum(_box(x, y, 1.15, 0.42), _box(x, y, 0.42, 1.15)),
  'ring': lambda x, y: np.abs(np.hypot(x, y) - 0.83) - 0.3,
  'bar': lambda x, y: _box(x, y, 1.25, 0.5),
  'star': _star,
}


def _coverage(shape, radius, place, span):
  """How much of each pixel a shape covers, float32 [n, span, span]; radius and place [n, 2] are in
  pixels, the latter from the corner of the window."""
  axis = ((np.arange(span * _FINE) + 0.5) / _FINE).astype(np.float32)
  x = (axis - place[:, :1].astype(np.float32)) / np.float32(radius)
  y = (axis - place[:, 1:].astype(np.float32)) / np.float32(radius)
  distance = _DISTANCES[shape](x[:, None, :], y[:, :, None]).astype(np.float32)
  inside = np.clip(0.5 - distance * np.float32(radius * _FINE), 0, 1)
  return inside.reshape(len(place), span, _FINE, span, _FINE).mean((2, 4))


def coverage(scenes, side) -> np.ndarray:
  """How much of each pixel each object would cover if none stood before it: float32
  [n, objects, side, side] in [0, 1]."""
  edge = _span(1, side)
  canvas = np.zeros((*scenes.shape.shape, side + 2 * edge, side + 2 * edge), np.float32)
  for shape, size in np.ndindex(len(scene.SHAPES), len(scene.SIZES)):
    which, slot = np.nonzero((scenes.shape == shape) & (scenes.size == size))
    if not len(which):
      continue
    span, place = _span(size, side), scenes.place[which, slot] * side
    corner = np.floor(place - span / 2).astype(int)
    windows = _coverage(scene.SHAPES[shape], scene.RADII[size] * side, place - corner, span)
    x, y = (np.arange(span) + edge + corner[:, axis, None] for axis in (0, 1))
    canvas[which[:, None, None], slot[:, None, None], y[:, :, None], x[:, None, :]] = windows
  return canvas[:, :, edge:-edge, edge:-edge]


def _span(size, side):
  """Pixels of the window that holds every object of a size."""
  return int(np.ceil(2 * scene.REACH * scene.RADII[size] * side)) + 2


def visible(covered) -> np.ndarray:
  """The share of each object that no other one hides, float [n, objects], of their coverage; 1
  where there is none."""
  seen, open_sky = np.ones(covered.shape[:2]), np.ones_like(covered[:, 0])
  for slot in reversed(range(covered.shape[1])):
    whole = covered[:, slot].sum((1, 2))
    shown = (covered[:, slot] * open_sky).sum((1, 2))
    seen[:, slot] = np.where(whole > 0, shown / np.maximum(whole, 1e-9), 1)
    open_sky = open_sky * (1 - covered[:, slot])
  return seen


def pictures(scenes, side=32, covered=None) -> np.ndarray:
  """uint8 [n, side, side, 3] of scenes; covered: their coverage, where it is known."""
  covered = coverage(scenes, side) if covered is None else covered
  colours = (scene.RGB - scene.GROUND).astype(np.float32)
  made = np.zeros((len(scenes), side, side, 3), np.float32)
  for slot in range(covered.shape[1]):
    made += covered[:, slot, :, :, None] * (colours[scenes.colour[:, slot], None, None] - made)
  return np.rint((made + scene.GROUND.astype(np.float32)) * 255).astype(np.uint8)
