"""Variety: real pictures have it, one picture again and again has none."""

import numpy as np
import pytest

from adiff.data import scenes as scenes_lib
from adiff.judge import section, variety
from adiff.judge.shapes import render


@pytest.fixture(scope='module')
def pictures():
  return render.pictures(scenes_lib.sample(0, 'test', np.arange(240)))


def test_real_pictures_have_the_variety_of_other_real_ones(pictures):
  real, made, other = np.split(pictures, 3)
  numbers = section.numbers([variety.of(made, real, other)])
  assert numbers['pictures_recall'] > 0.5 and numbers['pictures_precision'] > 0.5
  assert abs(numbers['objects_entropy'] - variety.entropy(real)) < 0.3


def test_a_picture_again_and_again_has_precision_and_neither_recall_nor_entropy(pictures):
  real, _, other = np.split(pictures, 3)
  numbers = section.numbers([variety.of(np.repeat(real[:1], 80, 0), real, other)])
  assert numbers['pictures_precision'] == 1 and numbers['pictures_recall'] < 0.05
  assert numbers['objects_entropy'] < 0.7 * variety.entropy(real)


def test_the_entropy_is_that_of_the_objects(pictures):
  scenes = scenes_lib.sample(0, 'test', np.arange(240))
  sorts = np.stack([scenes.size, scenes.colour, scenes.shape], -1)[scenes.there]
  _, counts = np.unique(sorts, axis=0, return_counts=True)
  share = counts / counts.sum()
  assert variety.entropy(pictures) == pytest.approx(-(share * np.log(share)).sum(), abs=0.01)
  assert variety.entropy(np.zeros((2, 32, 32, 3), np.uint8)) == 0


def test_few_pictures_are_not_compared(pictures):
  told = variety.of(pictures[:5], pictures[:5], pictures[5:10])
  assert not section.numbers([told]) and 'more than 5 are compared' in told.parts[0].words
