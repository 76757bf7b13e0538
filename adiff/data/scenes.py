"""Scenes of the world of shapes (judge/shapes), each a pure function of (seed, split, index)."""

import numpy as np

from adiff.data import chance as chance_lib
from adiff.judge.shapes import render, scene

SPLITS = ('train', 'test', 'unseen')
_TRIES = 16  # drawn at a time
_ALIKE = 0.35  # share of the scenes whose objects have one shape, so that there is what to count
_SIDE = 32  # pixels at which it is measured how much of an object is seen


def _proposed(number, alike, chance):
  """Scenes [n] of so many objects [n], of one shape where `alike` [n], of uniform numbers
  [n, 1 + 5 MOST]; most of them are none of the world."""
  each = chance[:, 1:].reshape(len(chance), scene.MOST, 5)
  pick = lambda share, names: np.floor(share * len(names)).astype(np.int8)
  there = np.arange(scene.MOST) < number[:, None]
  shape = pick(np.where(alike[:, None], chance[:, :1], each[..., 0]), scene.SHAPES)
  size = pick(each[..., 2], scene.SIZES)
  edge = scene.REACH * scene.RADII[size][..., None]
  parts = shape, pick(each[..., 1], scene.COLOURS), size
  return scene.Scenes(
    *(np.where(there, part, -1) for part in parts), edge + each[..., 3:] * (1 - 2 * edge)
  )


def _apart(scenes):
  """bool [n]: do objects of one colour stay apart, and others far enough for most to be seen?"""
  gap = scenes.place[:, :, None] - scenes.place[:, None]
  radius = scenes.radius
  distance = np.hypot(gap[..., 0], gap[..., 1]) / (radius[:, :, None] + radius[:, None])
  alike = scenes.colour[:, :, None] == scenes.colour[:, None]
  fine = distance >= np.where(alike, scene.REACH + 0.2, 0.45)
  same = np.eye(scene.MOST, dtype=bool) | ~(scenes.there[:, :, None] & scenes.there[:, None])
  return (fine | same).all((1, 2))


def _held_out(scenes, sort):
  """bool [n]: do they show what is held out, of the sort [n] of scene.held_out; none: -1?"""
  held = scene.held_out(scenes)
  return np.where(sort < 0, ~held.any(1), held[np.arange(len(held)), sort])


def _first_seen(tried, fits):
  """The first of the tries that fit, bool [n, tries], of which enough is seen: (its number among
  all tries [n], was there one [n])."""
  number = np.arange(fits.size).reshape(fits.shape)
  first, good = number[:, 0].copy(), np.zeros(len(fits), bool)
  while (open_rows := np.flatnonzero(fits.any(1) & ~good)).size:
    first[open_rows] = number[open_rows, fits[open_rows].argmax(1)]
    fits[open_rows, first[open_rows] % fits.shape[1]] = False
    seen = render.visible(render.coverage(tried[first[open_rows]], _SIDE))
    good[open_rows] = (seen >= scene.VISIBLE).all(1)
  return first, good


def sample(seed, split, indices) -> scene.Scenes:
  """The scenes of some indices of a split: of ever further tries the first one that fits. The
  number of objects is uniform, and in the unseen split what sort of things is held out."""
  indices, code = np.asarray(indices), SPLITS.index(split)
  chance = chance_lib.uniforms(seed, code, indices, [2**32], 3)[:, 0]
  sort = np.floor(chance[:, 0] * 3).astype(int) if split == 'unseen' else np.full(len(indices), -1)
  number = 1 + np.floor(chance[:, 1] * scene.MOST)
  number = np.where(sort > 0, np.maximum(number, 2), number)
  alike = (chance[:, 2] < _ALIKE) & (sort != 2)  # a relation is one of two shapes
  found = scene.nothing(len(indices))
  left, start = np.arange(len(indices)), 0
  while len(left):
    rounds = np.arange(start, start + _TRIES)
    chance = chance_lib.uniforms(seed, code, indices[left], rounds, 1 + 5 * scene.MOST)
    again = np.repeat(left, _TRIES)
    tried = _proposed(number[again], alike[again], chance.reshape(len(again), -1))
    fits = _apart(tried) & _held_out(tried, sort[again])
    first, good = _first_seen(tried, fits.reshape(len(left), _TRIES))
    for part, values in zip(scene.parts(found), scene.parts(tried), strict=True):
      part[left[good]] = values[first[good]]
    left, start = left[~good], start + _TRIES
  return found
