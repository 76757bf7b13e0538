"""How near a picture is to the one that it stands for: PSNR and SSIM.

Pictures are integers [n, H, W, C] of values 0..levels-1: their range is levels - 1. There is a
number for every picture; what papers print is the mean of these.
"""

import numpy as np

from adiff.judge.metrics import chunks

WINDOW, SIGMA = 11, 1.5  # of SSIM: pixels, and the deviation of the Gaussian over them
K1, K2 = 0.01, 0.03


def squared_error(real, made) -> np.ndarray:
  """Mean squared difference float64 [n] over pixels and channels, in squared levels."""
  _check(real, made)

  def act(rows):
    apart = np.subtract(real[rows], made[rows], dtype=np.float64).reshape(len(real[rows]), -1)
    return np.einsum('ij,ij->i', apart, apart) / apart.shape[1]

  return np.concatenate(chunks.each(act, len(real), real[0].size))


def psnr(real, made, levels) -> np.ndarray:
  """Peak signal-to-noise ratio float64 [n] in dB: 10 log10((levels - 1)^2 / squared error).

  Infinite where both are equal. Raises ValueError for pictures of different shapes.
  """
  return in_decibels(squared_error(real, made), levels)


def in_decibels(squared, levels) -> np.ndarray:
  """What squared errors are as PSNR."""
  with np.errstate(divide='ignore'):
    return 10 * np.log10((levels - 1) ** 2 / np.asarray(squared, np.float64))


def ssim(real, made, levels) -> np.ndarray:
  """Structural similarity float64 [n], at most 1 (Wang et al. 2004, eq. 13, IEEE TIP 13(4)).

  Means, variances and covariance under a Gaussian of deviation 1.5 on 11 x 11 pixels whose weights
  sum to one, at every place where the window lies within the picture; K1 = 0.01, K2 = 0.03. Every
  channel by itself, then their mean: of colours that is not the SSIM of their luminance. Raises
  ValueError for different shapes and for pictures smaller than the window.
  """
  _check(real, made)
  if min(real.shape[1:3]) < WINDOW:
    raise ValueError(
      f'SSIM looks through a window of {WINDOW} x {WINDOW} pixels, and the pictures have '
      f'{real.shape[1]} x {real.shape[2]}; take PSNR'
    )
  floor, contrast = ((k * (levels - 1)) ** 2 for k in (K1, K2))

  def act(rows):
    x, y = np.asarray(real[rows], np.float64), np.asarray(made[rows], np.float64)
    mean_x, mean_y = _seen(x), _seen(y)
    spread = _seen(x * x) - mean_x**2 + _seen(y * y) - mean_y**2
    together = _seen(x * y) - mean_x * mean_y
    alike = (2 * mean_x * mean_y + floor) / (mean_x**2 + mean_y**2 + floor)
    return np.mean(alike * (2 * together + contrast) / (spread + contrast), (1, 2, 3))

  return np.concatenate(chunks.each(act, len(real), 8 * real[0].size))


def _seen(pictures):
  """Weighted means [n, H - 10, W - 10, C] under the window."""
  from scipy import ndimage  # half a second to import, for this alone

  weights = np.exp(-0.5 * ((np.arange(WINDOW) - WINDOW // 2) / SIGMA) ** 2)
  weights /= weights.sum()
  inside = slice(WINDOW // 2, -(WINDOW // 2))
  down = ndimage.correlate1d(pictures, weights, axis=1)[:, inside]
  return ndimage.correlate1d(down, weights, axis=2)[:, :, inside]


def _check(real, made):
  if real.ndim != 4 or real.shape != made.shape or not len(real):
    raise ValueError(
      f'pictures {list(made.shape)} are no reconstructions of {list(real.shape)}; give both as '
      '[n, H, W, C], in one order'
    )
