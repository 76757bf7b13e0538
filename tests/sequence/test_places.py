"""Places of tokens in pictures of other sizes."""

import dataclasses

import numpy as np
import pytest

from adiff.codec import base, joint, none, patches
from adiff.sequence import places


@pytest.mark.parametrize('grid', [(8, 8), (3, 5), (1, 7)])
def test_at_the_trained_size_places_are_rows_and_columns(grid):
  indices = np.indices(grid).reshape(2, -1).T
  np.testing.assert_array_equal(places.on_grid(grid, grid), indices)


@pytest.mark.parametrize('grid', [(4, 4), (16, 16), (6, 12), (12, 6), (5, 7)])
def test_pictures_have_the_centre_and_the_area_of_the_trained_one(grid):
  found = places.on_grid(grid, (8, 6)).reshape(*grid, 2)
  np.testing.assert_allclose(found.mean((0, 1)), [3.5, 2.5], atol=1e-5)
  row, column = found[1, 0, 0] - found[0, 0, 0], found[0, 1, 1] - found[0, 0, 1]
  assert row == pytest.approx(column, rel=1e-5)  # tokens are square
  assert row * column * grid[0] * grid[1] == pytest.approx(8 * 6, rel=1e-5)


def test_a_picture_on_its_side_has_the_places_on_their_side():
  wide, high = places.on_grid((4, 9), (6, 6)), places.on_grid((9, 4), (6, 6))
  turned = high.reshape(9, 4, 2).swapaxes(0, 1)[..., ::-1]
  np.testing.assert_array_equal(wide.reshape(4, 9, 2), turned)


def test_of_several_kinds_the_picture_alone_moves():
  facts = base.Facts('law', (), parts={
    'text': base.Facts('law', (5,), 7), 'image': base.Facts('image', (8, 8, 1), 256),
  })
  codec = joint.Joint({'text': none.AsTheyAre(), 'image': patches.Patches((8, 8, 1), 2)})
  parts = {**facts.parts, 'image': base.Facts('image', (4, 12, 1), 256)}
  wide = dataclasses.replace(facts, parts=parts)
  trained, spec = codec.spec(facts), codec.at(wide).spec(wide)
  found = places.of(spec, trained)
  np.testing.assert_array_equal(found[:5], trained.coords[:5])
  np.testing.assert_array_equal(found[5:, 0], 0)  # of time
  np.testing.assert_array_equal(found[5:, 1:], places.on_grid((2, 6), (4, 4)))
  np.testing.assert_array_equal(places.of(trained, trained), trained.coords)
