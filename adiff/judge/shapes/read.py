"""Reads pictures back: which objects stand where, found by fitting every shape at every place.

1. A pixel is a blend of two colours of its picture: the pair whose line it lies nearest to.
2. Of each colour, the shape, size and place that explain most of its pixels: with a the share of
   the colour in a pixel, w that of it and of the ground, and m what the object would cover there,
   sum(2 a m - w m^2) - HIDDEN sum((1 - w) m), largest where a = w m; pixels of other colours
   (w = 0) may hide it. All places at once, half a pixel apart, by a Fourier transform.
3. What it explains is taken away, and the next object of the colour is looked for.

Pictures of any multiple of SIDE pixels are averaged to SIDE first.
"""

import functools
import itertools
from typing import NamedTuple

import numpy as np
from scipy import fft

from adiff.judge.shapes import render, scene

SIDE = 32
_HIDDEN = 0.2  # what a pixel costs that another object would have to hide
_PURE = 0.35  # distance from a colour within which a pixel is of it, in units of the cube's sides
# How much nearer a pixel must be to the line between the colours of two objects than to those from
# the ground, so that it is taken for their edge and not for noise: squared.
_RARER = 0.005
_FEW = 6  # pixels that a colour has at least
_LEAST = 0.5  # share of an object that is seen, at least
_FIT = 0.75  # what is less like its shape than that is no object
_COLOURS = 5  # of a picture that are looked for: the most frequent ones
_MOST = scene.MOST + 1  # objects that are told: one too many is seen
_CHUNK = 128  # pictures at a time: 100 MB


class Found(NamedTuple):
  """What pictures show."""

  scenes: scene.Scenes  # with a place for one object too many, in no order from back to front
  fit: np.ndarray  # [n, objects] 1: exactly as its shape is drawn; 0 where there is none
  rest: np.ndarray  # [n] pixels of a colour that belong to no object


def read(pictures) -> Found:
  """What pictures uint8 [n, S, S, 3] show; raises ValueError for other ones."""
  pictures = np.asarray(pictures)
  side = pictures.shape[1] if pictures.ndim == 4 else 0
  if pictures.dtype != np.uint8 or pictures.shape[1:] != (side, side, 3) or side % SIDE or not side:
    raise ValueError(
      f'pictures of shapes are uint8 [n, S, S, 3] with S a multiple of {SIDE}, not '
      f'{pictures.dtype} {list(pictures.shape)}'
    )
  parts = [_read(pictures[i:i + _CHUNK]) for i in range(0, max(len(pictures), 1), _CHUNK)]
  scenes, fit, rest = zip(*parts, strict=True)
  joined = (np.concatenate(one) for one in zip(*map(scene.parts, scenes), strict=True))
  return Found(scene.Scenes(*joined), np.concatenate(fit), np.concatenate(rest))


def right(found, scenes) -> np.ndarray:
  """bool [n, MOST]: which objects of scenes are among those found, with their shape, colour and
  size, and their place but for a pixel of SIDE."""
  alike = scenes.there[:, :, None]
  for ours, theirs in zip(scene.parts(scenes)[:3], scene.parts(found)[:3], strict=True):
    alike = alike & (ours[:, :, None] == theirs[:, None])
  gap = np.abs(scenes.place[:, :, None] - found.place[:, None]).max(-1)
  return (alike & (gap < 1 / SIDE)).any(2)


def _read(pictures):
  """As `read`, of a few."""
  num, times = len(pictures), pictures.shape[1] // SIDE
  pixels = pictures.reshape(num, SIDE, times, SIDE, times, 3).mean((2, 4), dtype=np.float32) / 255
  colours, ground, shares = _blends(pixels.reshape(num, SIDE * SIDE, 3))
  picture, slot = np.nonzero(colours >= 0)
  own = shares[picture, slot].reshape(-1, SIDE, SIDE)
  weight = own + ground[picture].reshape(-1, SIDE, SIDE)
  found, fit, count = scene.nothing(num, _MOST), np.zeros((num, _MOST)), np.zeros(num, int)
  rest, asked = own.copy(), np.arange(len(picture))  # rest: of no object, alike or not
  for _ in range(_MOST):
    if not len(asked):
      break
    best, place, likeness, cover = _best(own[asked], rest[asked], weight[asked])
    shape, size = np.divmod(best, len(scene.SIZES))
    good, like = likeness > 0, likeness >= _FIT
    own[asked] *= np.where(good[:, None, None], 1 - cover, 1)
    rest[asked] *= np.where(like[:, None, None], 1 - cover, 1)
    for i in np.flatnonzero(like):
      where = picture[asked[i]]
      if count[where] < _MOST:
        k = where, count[where]
        found.shape[k], found.size[k], found.place[k] = shape[i], size[i], place[i]
        found.colour[k], fit[k] = colours[where, slot[asked[i]]], likeness[i]
      count[where] += 1
    asked = asked[good]
  left = np.zeros(num)
  np.add.at(left, picture, np.where(rest > 0.5, rest, 0).sum((1, 2)))
  return found, fit, left


def _blends(pixels):
  """Of pixels [n, P, 3]: (colours [n, _COLOURS], -1 for none; the share of the ground in each pixel
  [n, P]; that of each colour [n, _COLOURS, P])."""
  known = np.concatenate([scene.GROUND[None], scene.RGB]).astype(np.float32)
  distance = ((pixels[:, :, None] - known) ** 2).sum(-1)
  pure = (distance.argmin(2)[..., None] == np.arange(len(known))) & (distance < _PURE**2)
  count = pure.sum(1)[:, 1:]
  colours = np.argsort(-count, 1, kind='stable')[:, :_COLOURS]
  colours = np.where(np.take_along_axis(count, colours, 1) >= _FEW, colours, -1)
  corners = known[np.concatenate([np.zeros((len(pixels), 1), int), colours + 1], 1)]
  least = np.full(pixels.shape[:2], np.inf, np.float32)
  shares = np.zeros((len(pixels), _COLOURS + 1, pixels.shape[1]), np.float32)
  for first, second in itertools.combinations(range(_COLOURS + 1), 2):
    line = (corners[:, second] - corners[:, first])[:, None]
    length = np.maximum((line**2).sum(-1), 1e-6)
    offset = pixels - corners[:, None, first]
    share = np.clip((offset * line).sum(-1) / length, 0, 1)
    apart = ((offset - share[..., None] * line) ** 2).sum(-1) + (_RARER if first else 0)
    nearer = apart < least
    least = np.where(nearer, apart, least)
    shares *= ~nearer[:, None]
    shares[:, first] += np.where(nearer, 1 - share, 0)
    shares[:, second] += np.where(nearer, share, 0)
  shares *= np.concatenate([np.ones((len(pixels), 1), bool), colours >= 0], 1)[..., None]
  return colours, shares[:, 0] + (1 - shares.sum(1)), shares[:, 1:]


class _Stencils(NamedTuple):
  """Every shape and size in the middle of a picture, at offsets of half a pixel: T of them."""

  cover: np.ndarray  # [T, SIDE, SIDE]
  near: np.ndarray  # bool, what lies within a pixel of it
  first: np.ndarray  # transforms of the cover
  square: np.ndarray  # and of its square
  offset: np.ndarray  # [T, 2], in pixels


@functools.cache
def _stencils():
  shape, size, y, x = (part.ravel() for part in np.indices(
    (len(scene.SHAPES), len(scene.SIZES), 2, 2)
  ))
  offset = np.stack([x, y], 1) / 2
  one = lambda values: np.concatenate([values[:, None], np.full((len(values), 3), -1)], 1)
  place = np.repeat(((SIDE / 2 + offset) / SIDE)[:, None], scene.MOST, 1)
  cover = render.coverage(scene.Scenes(one(shape), one(shape), one(size), place), SIDE)[:, 0]
  near = np.zeros(cover.shape, bool)
  for dy, dx in np.ndindex(3, 3):
    near |= np.roll(cover, (dy - 1, dx - 1), (1, 2)) > 0
  return _Stencils(cover, near, np.conj(fft.rfft2(cover)), np.conj(fft.rfft2(cover**2)), offset)


def _best(own, rest, weight):
  """Of maps [m, SIDE, SIDE], of what is to be explained and of what is of no object: (shape and
  size [m], place [m, 2], how alike [m], 0 where nothing is found; bool, what it covers and what
  lies next to that [m, SIDE, SIDE])."""
  stencils = _stencils()
  linear = fft.rfft2(2 * own - _HIDDEN * (1 - weight))
  score = fft.irfft2(
    linear[:, None] * stencils.first - fft.rfft2(weight)[:, None] * stencils.square,
    (SIDE, SIDE), overwrite_x=True,
  )
  best = score.reshape(len(own), -1).argmax(1)
  which, y, x = np.unravel_index(best, score.shape[1:])
  rows, columns = (np.arange(SIDE) - one[:, None] for one in (y, x))
  at = which[:, None, None], rows[:, :, None] % SIDE, columns[:, None] % SIDE
  cover, near = stencils.cover[at], stencils.near[at]
  whole, seen = (weight * cover**2).sum((1, 2)), (own * cover).sum((1, 2))
  wrong = (rest - weight * cover) ** 2 / np.maximum(weight, 1e-3)
  wrong = np.where(near, np.where(cover > 0, wrong, 2 * wrong), 0).sum((1, 2))  # it must end there
  alike = np.clip(1 - wrong / np.maximum(whole, 1e-6), 0, 1)
  alike = np.where(seen >= _LEAST * cover.sum((1, 2)), np.maximum(alike, 1e-3), 0)
  place = np.stack([x, y], 1) + SIDE / 2 + stencils.offset[which]
  return which // 4, place % SIDE / SIDE, alike, near
