"""Simple codecs: what they lose and what they take, in closed forms."""

import io

import numpy as np
import PIL.Image
import pytest

from adiff.data import digits
from adiff.judge.metrics import compression, fidelity


@pytest.fixture(scope='module')
def pictures():
  """(training pictures, others) of 8 x 8 pixels of 17 levels."""
  found = digits.Digits().examples('train', slice(None))['example']
  return found[:800], found[800:1000]


def squared(images, coded):
  return fidelity.squared_error(images, coded.made).mean()


def test_png_loses_nothing_and_takes_the_bits_of_its_files(pictures):
  _, images = pictures
  coded = compression.png(images, 17)
  sizes = []
  for image in images:
    file = io.BytesIO()
    PIL.Image.fromarray(np.rint(image[..., 0] * (255 / 16)).astype(np.uint8)).save(
      file, format='PNG', optimize=True)
    sizes.append(len(file.getvalue()))
  assert coded.bits == 8 * np.mean(sizes) and coded.numbers is None
  assert squared(images, coded) == 0


def test_webp_of_more_bits_is_nearer_in_grey_and_in_colours(pictures):
  _, images = pictures
  for shown in (images, images.repeat(3, -1)):
    poor, good = (compression.webp(shown, 17, quality=quality) for quality in (0, 90))
    assert poor.bits < good.bits and poor.made.shape == shown.shape
    assert 0 < squared(shown, good) < squared(shown, poor) / 4


def test_components_of_patches_lose_the_variance_of_those_that_are_left_out(pictures):
  train = pictures[0].astype(np.int64) * 1000  # so fine that rounding is nothing
  cut = train.reshape(-1, 2, 4, 2, 4).swapaxes(2, 3).reshape(-1, 16)
  variances = np.linalg.eigvalsh(np.cov(cut.T, bias=True))[::-1]
  for numbers in (1, 5):
    coded = compression.patch_pca(train, train, 16001, grid=(2, 2), numbers=numbers)
    left = variances[numbers:].sum() / 16
    assert coded.numbers == 4 * numbers and coded.bits is None
    # clipping to the range of the values takes away a part of what is left
    assert 0.9 * left < squared(train, coded) <= left * 1.0001
  whole = compression.patch_pca(train, train, 16001, grid=(2, 2), numbers=99)
  assert whole.numbers == 64 and squared(train, whole) == 0


def test_means_of_patches_are_exact_where_there_are_no_more_kinds_of_them():
  kinds = np.random.default_rng(0).integers(0, 256, (4, 3, 2, 3)).astype(np.uint8)
  train = kinds[np.random.default_rng(1).integers(0, 4, (50, 2, 5))]  # [n, h, w, 3, 2, C]
  train = train.swapaxes(2, 3).reshape(50, 6, 10, 3)
  coded = compression.patch_kmeans(train, train[:7], 256, grid=(2, 5), codes=4)
  assert coded.bits == 10 * 2
  np.testing.assert_array_equal(coded.made, train[:7])


def test_a_second_stage_takes_as_many_bits_again_and_is_nearer(pictures):
  train, images = pictures
  settings = dict(grid=(4, 4), codes=16)
  one = compression.patch_kmeans(train, images, 17, **settings)
  two = compression.patch_kmeans(train, images, 17, stages=2, **settings)
  assert (one.bits, two.bits) == (64, 128)
  assert squared(images, two) < 0.6 * squared(images, one)
  again = compression.patch_kmeans(train, images, 17, **settings)
  np.testing.assert_array_equal(again.made, one.made)


def test_pictures_are_coded_by_themselves_whatever_the_chunk(pictures, monkeypatch):
  train, images = pictures
  act = lambda: compression.patch_pca(train, images, 17, grid=(2, 2), numbers=3).made
  whole = act()
  monkeypatch.setattr(compression.chunks, 'VALUES', 500)
  np.testing.assert_array_equal(act(), whole)


def test_what_cannot_be_coded_is_refused(pictures):
  train, images = pictures
  assert compression.fits(images, (4, 2)) and not compression.fits(images, (3, 2))
  with pytest.raises(ValueError, match='does not divide pictures of 8 x 8'):
    compression.patch_pca(train, images, 17, grid=(3, 2), numbers=1)
  with pytest.raises(ValueError, match='take fewer codes'):
    compression.patch_kmeans(train[:2], images, 17, grid=(2, 2), codes=9)
  with pytest.raises(ValueError, match='1 or 3 channels, not 2'):
    compression.png(images.repeat(2, -1), 17)
