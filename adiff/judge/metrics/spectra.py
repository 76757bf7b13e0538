"""Spectra: how much of a picture's power lies in coarse and in fine waves.

Frequencies are in cycles a pixel, from 0 to 0.5 along an axis; a band holds the waves of any
direction whose frequency is nearest to its own. The mean colour, frequency 0, is left out.
"""

import numpy as np


def bands(height, width) -> tuple[np.ndarray, np.ndarray]:
  """(band of every wave of the discrete Fourier transform, int [H, W], -1 for the mean; the
  frequency in the middle of every band [R]): as many bands as the shorter side has waves."""
  radius = np.hypot(*np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing='ij'))
  num = min(height, width) // 2
  if not num:
    raise ValueError(f'pictures of {height} x {width} pixels have no waves; give two or more')
  band = np.minimum(np.rint(radius * 2 * num).astype(int), num) - 1
  band = np.maximum(band, 0)
  band[0, 0] = -1
  return band, (np.arange(num) + 1) / (2 * num)


def power(pictures) -> np.ndarray:
  """Mean power a wave float64 [n, R] of pictures [n, H, W, C], by band: of white noise its
  variance, in every band."""
  pictures = np.asarray(pictures, np.float64)
  band, middles = bands(*pictures.shape[1:3])
  waves = np.fft.fft2(pictures, axes=(1, 2), norm='ortho')
  return _by_band(np.abs(waves) ** 2, band, len(middles))


def slope(power) -> float:
  """The exponent a of power ~ frequency^a, by least squares over logarithms; power [R], R >= 2."""
  frequencies = (np.arange(len(power)) + 1) / (2 * len(power))
  return float(np.polyfit(np.log(frequencies), np.log(power), 1)[0])


def settled(states, final) -> np.ndarray:
  """The share of each band's power that states have in common with what becomes of them: squared
  coherence float64 [R], between 0 and 1.

  states, final [n, H, W, C]: the same pictures on their way and at their end. Of alpha x + sigma
  noise it is alpha^2 P / (alpha^2 P + sigma^2) where P is the power of x in the band, up to 1 / n.
  """
  states, final = (np.asarray(one, np.float64) for one in (states, final))
  band, middles = bands(*final.shape[1:3])
  ours, ends = (
    np.fft.fft2(one - one.mean(0), axes=(1, 2), norm='ortho') for one in (states, final)
  )
  together = _by_band((ours * ends.conj()).real, band, len(middles)).mean(0)
  own = [_by_band(np.abs(one) ** 2, band, len(middles)).mean(0) for one in (ours, ends)]
  most = own[0] * own[1]
  return np.divide(together**2, most, out=np.zeros_like(most), where=most > 0)


def _by_band(values, band, num):
  """Means [n, R] over the waves of each band and the channels."""
  flat, band = values.mean(-1).reshape(len(values), -1), band.ravel()
  return np.stack([flat[:, band == index].mean(1) for index in range(num)], 1)
