"""Simple codecs of pictures that a trained one has to beat: print them beside every score.

Pictures are integers [n, H, W, C] of values 0..levels-1. PNG and WebP write 8 bits a channel, and
the bits of a picture are those of its whole file. The linear ones cut a picture into a grid of
patches, as a trained codec does, and are fitted to patches that are spread over the training
pictures: for 1,024 codes seconds on one core, of pictures of 256 x 256 half a minute and a GiB.
"""

import io
import math
from typing import NamedTuple

import numpy as np
import threadpoolctl
from PIL import Image, WebPImagePlugin

from adiff.judge import subset
from adiff.judge.metrics import chunks

# Of what is learnt from, at most: pictures, values of them, and patches that have means.
MOST, VALUES, PATCHES = 10_000, 2**25, 2**16


class Coded(NamedTuple):
  """What a codec makes of pictures, and what it takes for one."""

  name: str
  made: np.ndarray  # of the shape and type of the pictures
  bits: float | None  # a picture, on average; None where it takes real numbers
  numbers: int | None  # a picture; None where it takes bits


def png(images, levels) -> Coded:
  """As PNG files, of which nothing is lost; raises ValueError unless pictures are grey or RGB."""
  files = [_file(image, 'PNG', optimize=True) for image in _bytes(images, levels)]
  return Coded('PNG', images, 8 * float(np.mean([len(file) for file in files])), None)


def webp(images, levels, *, quality) -> Coded:
  """As WebP files of a quality from 0 to 100; raises ValueError as `png` does."""
  files = [
    _file(image, 'WEBP', quality=quality, method=6) for image in _bytes(images, levels)
  ]
  mode = 'L' if images.shape[-1] == 1 else 'RGB'
  read = np.stack([
    np.asarray(WebPImagePlugin.WebPImageFile(io.BytesIO(file)).convert(mode)) for file in files
  ])
  made = np.rint(read.reshape(images.shape) * ((levels - 1) / 255)).astype(images.dtype)
  return Coded(
    f'WebP, quality {quality}', made, 8 * float(np.mean([len(file) for file in files])), None
  )


def patch_pca(train, images, levels, *, grid, numbers) -> Coded:
  """Principal components of patches: the linear codec of the least squared error.

  grid: (h, w) patches of a picture; numbers: components of a patch, all of them where it has no
  more values. Raises ValueError where a grid does not divide the pictures.
  """
  points = _patches(_few(train, MOST), grid)
  numbers = min(numbers, points.shape[1])
  with threadpoolctl.threadpool_limits(1):  # the sum of threads would depend on their number
    mean = points.mean(0)
    axes = np.linalg.eigh(np.cov(points.T, bias=True))[1][:, :-numbers - 1:-1]

    def act(rows):
      cut = _patches(images[rows], grid)
      return _whole((cut - mean) @ axes @ axes.T + mean, images[rows], levels, grid)

    made = np.concatenate(chunks.each(act, len(images), images[0].size))
  return Coded(f'PCA of patches, {numbers} numbers each', made, None, numbers * math.prod(grid))


def patch_kmeans(train, images, levels, *, grid, codes, stages=1, seed=0) -> Coded:
  """Every patch as the nearest of `codes` means, and what is left of it again in every other stage.

  grid as in `patch_pca`. Deterministic in the seed. Raises ValueError where a grid does not divide
  the pictures, and for fewer training patches than codes.
  """
  from sklearn import cluster  # seconds to import, for this alone

  points, means = _patches(_few(train, PATCHES // math.prod(grid)), grid), []
  if len(points) < codes:
    raise ValueError(f'{len(points)} training patches cannot have {codes} means; take fewer codes')
  with threadpoolctl.threadpool_limits(1):  # the sum of threads would depend on their number
    for _ in range(stages):
      means.append(cluster.MiniBatchKMeans(
        codes, random_state=seed, n_init=1, batch_size=4096, max_iter=20, reassignment_ratio=0
      ).fit(points))
      points = points - means[-1].cluster_centers_[means[-1].labels_]

    def act(rows):
      rest = cut = _patches(images[rows], grid)
      for stage in means:
        rest = rest - stage.cluster_centers_[stage.predict(rest)]
      return _whole(cut - rest, images[rows], levels, grid)

    made = np.concatenate(chunks.each(act, len(images), images[0].size))
  name = f'k-means of patches, {codes:,} codes' + (f' in {stages} stages' if stages > 1 else '')
  return Coded(name, made, math.prod(grid) * stages * math.log2(codes), None)


def fits(images, grid) -> bool:
  """Do patches on this grid cover pictures evenly?"""
  return images.shape[1] % grid[0] == images.shape[2] % grid[1] == 0


def _few(train, most):
  """Pictures that are learnt from."""
  most = max(1, min(most, VALUES // train[0].size))
  return train[subset.spread(len(train), most)]


def _bytes(images, levels):
  """uint8 [n, H, W] or [n, H, W, 3]."""
  if images.shape[-1] not in (1, 3):
    raise ValueError(f'PNG and WebP hold 1 or 3 channels, not {images.shape[-1]}')
  shown = np.rint(images * (255 / (levels - 1))).astype(np.uint8)
  return shown[..., 0] if shown.shape[-1] == 1 else shown


def _file(image, kind, **settings):
  """The bytes of a picture's file."""
  out = io.BytesIO()
  Image.fromarray(image).save(out, format=kind, **settings)
  return out.getvalue()


def _patches(images, grid):
  """float64 [n h w, values of a patch]."""
  if not fits(images, grid):
    raise ValueError(
      f'a grid of {grid[0]} x {grid[1]} patches does not divide pictures of {images.shape[1]} x '
      f'{images.shape[2]}'
    )
  (height, width), (num, *_, channels) = grid, images.shape
  cut = images.reshape(num, height, -1, width, images.shape[2] // width, channels)
  return cut.swapaxes(2, 3).reshape(num * height * width, -1).astype(np.float64)


def _whole(points, images, levels, grid):
  """Inverse of `_patches`: pictures like `images`, rounded and clipped."""
  (height, width), (num, *sides, channels) = grid, images.shape
  cut = points.reshape(num, height, width, sides[0] // height, sides[1] // width, channels)
  values = np.clip(np.rint(cut.swapaxes(2, 3)), 0, levels - 1)
  return values.reshape(images.shape).astype(images.dtype)
