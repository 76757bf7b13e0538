"""The program that reads pictures of shapes: what it finds of known scenes, clean and spoilt."""

import functools

import numpy as np
import pytest
from scipy import ndimage

from adiff.data import scenes as scenes_lib
from adiff.judge.shapes import grammar, read, render, scene


@functools.cache
def known(num, side=32):
  scenes = scenes_lib.sample(0, 'test', np.arange(num))
  return scenes, render.pictures(scenes, side)


def share_right(pictures, scenes):
  """Of the objects, those that are found with everything that they are, and nothing besides."""
  found = read.read(pictures)
  right = read.right(found.scenes, scenes).sum()
  surplus = np.maximum(found.scenes.there.sum(1) - scenes.there.sum(1), 0).sum()
  return (right - surplus) / scenes.there.sum()


def spoilt(pictures, how):
  noisy = how(pictures.astype(float))
  return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def test_of_clean_pictures_995_objects_in_1000_are_right_and_nothing_is_left_over():
  scenes, pictures = known(260)
  share = share_right(pictures, scenes)
  print(f'{share:.4f} of {scenes.there.sum()} objects right')
  assert share >= 0.995
  found = read.read(pictures[:50])
  assert (found.fit[found.scenes.there] > 0.85).all() and not found.fit[~found.scenes.there].any()
  assert np.mean(found.rest < 1) >= 0.98


def test_pictures_of_64_pixels_are_read_as_well():
  scenes, pictures = known(120, 64)
  assert share_right(pictures, scenes) >= 0.995


@pytest.mark.parametrize('how, least', [
  (lambda x: x + np.random.default_rng(0).normal(0, 0.05 * 255, x.shape), 0.99),
  (lambda x: ndimage.gaussian_filter(x, (0, 0.5, 0.5, 0)), 0.985),
], ids=['noise', 'blur'])
def test_a_little_noise_and_blur_do_not_matter(how, least):
  scenes, pictures = known(260)
  assert share_right(spoilt(pictures[:120], how), scenes[:120]) >= least


def test_in_noise_and_on_empty_ground_nothing_is_found():
  noise = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3)).astype(np.uint8)
  ground = np.broadcast_to(np.rint(scene.GROUND * 255).astype(np.uint8), (2, 32, 32, 3))
  for pictures in (noise, ground):
    assert not read.read(pictures).scenes.there.any()


def test_what_has_no_known_shape_is_left_over():
  picture = np.broadcast_to(np.rint(scene.GROUND * 255).astype(np.uint8), (1, 32, 32, 3)).copy()
  picture[:, 4:7, 2:30] = picture[:, 20:30, 14:17] = (255, 0, 0)  # long and thin
  found = read.read(picture)
  assert not found.scenes.there.any() and found.rest[0] > 50


def test_an_object_too_many_is_seen():
  scenes = scene.nothing(1, 5)
  scenes.shape[:], scenes.colour[:], scenes.size[:] = 0, np.arange(5), 0
  scenes.place[0] = [(0.2, 0.2), (0.8, 0.2), (0.2, 0.8), (0.8, 0.8), (0.5, 0.5)]
  found = read.read(render.pictures(scenes)).scenes
  assert read.right(found, scenes).all()
  four, shapes = (grammar.parse(caption) for caption in ('four circles', 'a circle and no star'))
  assert not grammar.holds(four, found)[0] and grammar.holds(shapes, found)[0]


def test_an_object_is_right_only_with_its_shape_colour_size_and_place():
  scenes, _ = known(260)
  scenes = scenes[:40]
  shuffled = scene.Scenes(*(part[:, ::-1] for part in scene.parts(scenes)))
  np.testing.assert_array_equal(read.right(shuffled, scenes), scenes.there)
  for part in range(4):
    changed = [one.copy() for one in scene.parts(scenes)]
    moved = changed[part] + (0.05 if part == 3 else 1)
    changed[part] = moved if part == 3 else np.where(scenes.there, moved % (8, 8, 2)[part], -1)
    assert not read.right(scene.Scenes(*changed), scenes).any()


@pytest.mark.parametrize('pictures', [
  np.zeros((2, 32, 32, 3), np.float32), np.zeros((2, 48, 48, 3), np.uint8),
  np.zeros((32, 32, 3), np.uint8), np.zeros((2, 32, 32, 1), np.uint8),
])
def test_other_arrays_are_refused_in_a_sentence(pictures):
  with pytest.raises(ValueError, match=r'are uint8 \[n, S, S, 3\] with S a multiple of 32, not'):
    read.read(pictures)
