"""Spectra of fields whose power is known."""

import numpy as np
import pytest

from adiff.judge.metrics import spectra


def field(exponent, num=200, side=16, seed=0):
  """Normal fields whose power is frequency^exponent, nothing at frequency 0."""
  radius = np.hypot(*np.meshgrid(*[np.fft.fftfreq(side)] * 2, indexing='ij'))
  radius[0, 0] = 1.0
  size = radius ** (exponent / 2)
  size[0, 0] = 0.0
  noise = np.random.default_rng(seed).normal(size=(num, side, side))
  waves = np.fft.fft2(noise, norm='ortho') * size
  return np.fft.ifft2(waves, norm='ortho').real[..., None]


def test_bands_hold_every_wave_once_and_the_mean_in_none():
  band, middles = spectra.bands(8, 6)
  assert band[0, 0] == -1 and (band.ravel()[1:] >= 0).all() and band.max() == len(middles) - 1 == 2
  np.testing.assert_allclose(middles, [1 / 6, 1 / 3, 1 / 2])


def test_white_noise_has_its_variance_in_every_band():
  noise = 3 * np.random.default_rng(0).normal(size=(500, 8, 8, 2)) + 7
  np.testing.assert_allclose(spectra.power(noise).mean(0), 9, rtol=0.03)


def test_a_single_wave_lies_in_the_band_of_its_frequency():
  x = np.arange(8)
  for cycles in (1, 2, 3, 4):
    wave = np.broadcast_to(np.cos(2 * np.pi * cycles * x / 8)[None, :, None, None], (1, 8, 8, 1))
    (power,) = spectra.power(wave)
    assert power.argmax() == cycles - 1 and np.isclose(power.sum(), power.max())


@pytest.mark.parametrize('exponent', [-3.0, -2.0, -1.0])
def test_the_slope_of_a_power_law_is_its_exponent(exponent):
  found = spectra.slope(spectra.power(field(exponent)).mean(0)[1:])
  frequencies = (np.arange(8) + 1) / 16
  exact = spectra.slope(frequencies[1:] ** exponent)  # of bands that begin at the second
  assert abs(found - exact) < 0.05


def test_what_is_settled_of_noised_fields_is_the_signals_share():
  final, noise = field(-2.0, num=3000), np.random.default_rng(1).normal(size=(3000, 16, 16, 1))
  power = spectra.power(final).mean(0)
  for level in (0.2, 0.5, 0.8):
    found = spectra.settled((1 - level) * final + level * noise, final)
    signal = (1 - level) ** 2 * power
    np.testing.assert_allclose(found, signal / (signal + level**2), atol=0.01)


def test_pictures_without_waves_are_refused():
  with pytest.raises(ValueError, match='have no waves; give two or more'):
    spectra.power(np.ones((1, 1, 4, 1)))
