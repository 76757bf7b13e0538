"""PSNR and SSIM are their definitions, written out for one window after another."""

import numpy as np
import pytest

from adiff.judge.metrics import fidelity


@pytest.fixture(scope='module', params=[1, 3], ids=['grey', 'colours'])
def pairs(request):
  """Four pictures of 17 x 13 pixels, and four that differ from them more and more."""
  rng = np.random.default_rng(0)
  real = rng.integers(0, 256, (4, 17, 13, request.param)).astype(np.uint8)
  noise = np.arange(1, 5)[:, None, None, None] * rng.normal(0, 10, real.shape)
  return real, np.clip(real + noise, 0, 255).astype(np.uint8)


def slow_ssim(x, y, top):
  """Wang et al. 2004, equations 13 to 16, of one channel."""
  across = np.exp(-np.arange(-5, 6) ** 2 / (2 * 1.5**2))
  weights = np.outer(across, across) / across.sum() ** 2
  found = []
  for row in range(len(x) - 10):
    for column in range(len(x[0]) - 10):
      a, b = (one[row:row + 11, column:column + 11].astype(float) for one in (x, y))
      mean_a, mean_b = np.sum(weights * a), np.sum(weights * b)
      spread = np.sum(weights * ((a - mean_a) ** 2 + (b - mean_b) ** 2))
      together = np.sum(weights * (a - mean_a) * (b - mean_b))
      one, two = (0.01 * top) ** 2, (0.03 * top) ** 2
      found.append((2 * mean_a * mean_b + one) * (2 * together + two)
                   / ((mean_a**2 + mean_b**2 + one) * (spread + two)))
  return np.mean(found)


def test_ssim_is_its_definition_a_window_and_a_channel(pairs):
  real, made = pairs
  expected = [np.mean([slow_ssim(a[..., i], b[..., i], 255) for i in range(a.shape[-1])])
              for a, b in zip(real, made)]
  np.testing.assert_allclose(fidelity.ssim(real, made, 256), expected, rtol=1e-10)
  assert np.ptp(expected) > 0.05


def test_psnr_is_its_definition_a_picture(pairs):
  real, made = pairs
  squared = [np.mean((a.astype(float) - b) ** 2) for a, b in zip(real, made)]
  expected = 10 * np.log10(255**2 / np.array(squared))
  np.testing.assert_allclose(fidelity.psnr(real, made, 256), expected)


def test_both_are_what_scikit_image_finds(pairs):
  metrics = pytest.importorskip('skimage.metrics', reason='scikit-image is not installed')
  for real, made, ours in zip(*pairs, fidelity.ssim(*pairs, 256)):
    theirs = metrics.structural_similarity(
      real, made, channel_axis=-1, data_range=255, gaussian_weights=True, sigma=1.5,
      use_sample_covariance=False)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)
    np.testing.assert_allclose(fidelity.psnr(real[None], made[None], 256),
                               metrics.peak_signal_noise_ratio(real, made, data_range=255))


def test_equal_pictures_are_perfect():
  same = np.random.default_rng(1).integers(0, 17, (2, 12, 12, 1))
  assert np.all(np.isinf(fidelity.psnr(same, same, 17)))
  np.testing.assert_allclose(fidelity.ssim(same, same, 17), 1)


def test_the_range_of_the_values_is_that_of_the_levels():
  real, made = np.random.default_rng(2).integers(0, 16, (2, 3, 12, 12, 1))
  for metric in (fidelity.psnr, fidelity.ssim):
    np.testing.assert_allclose(metric(real, made, 16), metric(17 * real, 17 * made, 256))


def test_numbers_do_not_depend_on_how_pictures_are_cut_into_chunks(pairs, monkeypatch):
  whole = fidelity.ssim(*pairs, 256), fidelity.psnr(*pairs, 256)
  monkeypatch.setattr(fidelity.chunks, 'VALUES', 1)
  np.testing.assert_array_equal((fidelity.ssim(*pairs, 256), fidelity.psnr(*pairs, 256)), whole)


def test_pictures_that_do_not_pair_or_do_not_fill_the_window_are_refused():
  blank = np.zeros((2, 8, 8, 1), int)
  with pytest.raises(ValueError, match='are no reconstructions'):
    fidelity.psnr(blank, blank[:1], 2)
  with pytest.raises(ValueError, match='take PSNR'):
    fidelity.ssim(blank, blank, 2)
