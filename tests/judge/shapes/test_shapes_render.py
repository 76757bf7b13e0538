"""Pictures of shapes: their edges, sizes and order, and how much of an object is seen."""

import numpy as np
import pytest

from adiff.judge.shapes import render, scene


def of(*objects):
  """One scene of (shape, colour, size, x, y), from the back to the front."""
  made = scene.nothing(1)
  for slot, (shape, colour, size, x, y) in enumerate(objects):
    made.shape[0, slot] = scene.SHAPES.index(shape)
    made.colour[0, slot] = scene.COLOURS.index(colour)
    made.size[0, slot] = scene.SIZES.index(size)
    made.place[0, slot] = x, y
  return made


@pytest.mark.parametrize('shape, area', [
  ('circle', np.pi), ('square', 1.78**2), ('diamond', 2 * 1.25**2), ('bar', 2.5),
  ('cross', 4 * 1.15 * 0.84 - 0.84**2), ('ring', np.pi * (1.13**2 - 0.53**2)),
  ('triangle', 3 * 3**0.5 * 0.675**2), ('star', 5 * 1.35 * 0.6 * np.sin(np.pi / 5)),
])
def test_the_covered_area_is_that_of_the_figure_at_any_place_and_side(shape, area):
  for side in (32, 64, 256):
    for x, y in ((0.5, 0.5), (0.41, 0.637)):
      covered = render.coverage(of((shape, 'red', 'large', x, y)), side)[0, 0]
      pixels = (scene.RADII[1] * side) ** 2
      np.testing.assert_allclose(covered.sum() / pixels, area, rtol=0.02)


def test_many_scenes_are_drawn_as_each_by_itself_and_larger_ones_average_to_smaller_ones():
  one = of(('star', 'red', 'small', 0.3, 0.4), ('ring', 'cyan', 'large', 0.5, 0.5))
  two = of(('bar', 'black', 'large', 0.7, 0.3))
  both = scene.Scenes(*(np.concatenate(part) for part in zip(scene.parts(one), scene.parts(two))))
  drawn = render.pictures(both)
  np.testing.assert_array_equal(drawn[0], render.pictures(one)[0])
  np.testing.assert_array_equal(drawn[1], render.pictures(two)[0])
  fine = render.pictures(both, 64).reshape(2, 32, 2, 32, 2, 3).mean((2, 4))
  assert np.abs(fine - drawn).mean() < 0.5 and np.abs(fine - drawn).max() < 32


def test_the_front_object_hides_the_others_and_what_is_seen_of_them_is_counted():
  behind, before = ('square', 'blue', 'large', 0.4, 0.5), ('square', 'white', 'large', 0.57, 0.5)
  seen = render.visible(render.coverage(of(behind, before), 128))[0]
  overlap = (1.78 * 0.19 - 0.17) / (1.78 * 0.19)
  np.testing.assert_allclose(seen[:2], [1 - overlap, 1], atol=0.01)
  middle = render.pictures(of(behind, before))[0, 16, 15]
  np.testing.assert_array_equal(middle, [255, 255, 255])
  np.testing.assert_array_equal(render.pictures(of(before, behind))[0, 16, 15], [0, 0, 255])


def test_no_blend_of_two_colours_is_near_a_third_one_or_the_ground():
  known = np.concatenate([scene.GROUND[None], scene.RGB])
  for first in range(len(known)):
    for second in range(first):
      line = known[first] + np.linspace(0, 1, 50)[:, None] * (known[second] - known[first])
      others = np.delete(known, [first, second], 0)
      assert np.linalg.norm(line[:, None] - others, axis=-1).min() > 0.17
