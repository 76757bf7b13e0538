"""Maps of pictures, how pictures follow them, and the nearest picture of a low resolution."""

import numpy as np
import pytest

from adiff.judge.metrics import maps


def square(level=200, ground=50):
  """One picture [1, 8, 8, 1] with a square of 4x4 pixels in its middle."""
  picture = np.full((1, 8, 8, 1), ground, np.uint8)
  picture[:, 2:6, 2:6] = level
  return picture


def test_edges_are_both_sides_of_a_step_and_a_low_step_is_none():
  step = np.zeros((1, 6, 6, 2), np.uint8)
  step[:, :, 3:, 1] = 129  # in one channel
  np.testing.assert_array_equal(
    maps.edges(step, 256)[0, :, :, 0], np.tile(np.isin(np.arange(6), (2, 3)), (6, 1)))
  assert not maps.edges(step // 3, 256).any()


def test_the_layout_is_what_stands_before_the_ground_darker_or_lighter():
  wanted = np.zeros((8, 8), bool)
  wanted[2:6, 2:6] = True
  for levels in ((200, 50), (20, 180)):
    np.testing.assert_array_equal(maps.layout(square(*levels), 256)[0, :, :, 0], wanted)


def test_overlap_counts_pixels_of_both_and_of_either():
  made, asked = np.zeros((3, 4), bool), np.zeros((3, 4), bool)
  made[0, :3], asked[0, 1:] = True, True  # two of four
  made[1, 0] = True
  f1, iou = maps.overlap(made, asked)
  np.testing.assert_allclose(f1, [2 * 2 / 6, 0, 1])
  np.testing.assert_allclose(iou, [0.5, 0, 1])


def test_consistent_pictures_have_the_low_resolution_and_none_is_nearer():
  rng = np.random.default_rng(0)
  pictures = rng.integers(60, 190, (5, 8, 8, 3)).astype(np.uint8)
  asked = maps.low(rng.integers(90, 160, (5, 8, 8, 3)).astype(np.uint8), 4)
  near = maps.consistent(pictures, asked, 256)
  assert near.dtype == np.uint8 and maps.difference(pictures, asked).min() > 2
  assert maps.difference(near, asked).max() < 0.5
  # Orthogonal: what it moved is constant on squares, but for rounding; so all others are further.
  moved = (near.astype(float) - pictures).reshape(5, 2, 4, 2, 4, 3)
  assert np.ptp(moved, axis=(2, 4)).max() <= 1
  np.testing.assert_array_equal(maps.consistent(near, maps.low(near, 4), 256), near)


@pytest.mark.parametrize('level', [0, 255])
def test_levels_that_would_leave_their_range_are_made_up_for_by_their_neighbours(level):
  pictures = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 1)).astype(np.uint8)
  asked = np.full((4, 2, 2, 1), abs(level - 20), np.float32)
  near = maps.consistent(pictures, asked, 256)
  assert maps.difference(near, asked).max() < 0.5
  # One amount a square, but for pixels at the end of the range.
  by, inside = near.astype(int) - pictures, (near > 0) & (near < 255)
  for row, column in np.ndindex(2, 2):
    here = np.s_[0, 4 * row:4 * row + 4, 4 * column:4 * column + 4]
    assert np.ptp(by[here][inside[here]]) <= 1
