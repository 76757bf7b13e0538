"""Area and bicubic interpolation."""

import numpy as np
import pytest

from adiff.nn.quantisers import resize


def test_area_takes_the_mean_of_what_an_output_touches():
  np.testing.assert_allclose(resize.area(6, 3), np.kron(np.eye(3), [0.5, 0.5]))
  touched = [[1, 1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1, 1]]
  np.testing.assert_allclose(resize.area(7, 3), np.array(touched) / 3)


def test_bicubic_has_the_weights_of_keys_kernel():
  doubled = resize.bicubic(5, 10)
  far, near, close, there = -0.03515625, -0.10546875, 0.26171875, 0.87890625
  np.testing.assert_allclose(doubled[5], [0, near, there, close, far])
  np.testing.assert_allclose(doubled[4], [far, close, there, near, 0])
  np.testing.assert_allclose(doubled[0], [close + there + far, near, 0, 0, 0])


@pytest.mark.parametrize('make', [resize.area, resize.bicubic])
def test_the_same_size_changes_nothing_and_constants_stay(make):
  np.testing.assert_allclose(make(5, 5), np.eye(5), atol=1e-12)
  for num, wanted in ((7, 3), (3, 7), (1, 4), (4, 1)):
    np.testing.assert_allclose(make(num, wanted).sum(1), 1, rtol=1e-12)


def test_axes_are_resized_one_by_one():
  z = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)
  found = resize.resized(z, (2, 9), resize.area)
  expected = np.einsum('ih,jw,bhwc->bijc', resize.area(4, 2), resize.area(6, 9), z)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
  assert found.dtype == np.float32
