"""The report by skill: right pictures are right, shuffled ones at chance, and copies are seen."""

import functools

import numpy as np
import pytest
from judged import titles

from adiff.data import scenes as scenes_lib
from adiff.data import sentences
from adiff.judge import composition, section
from adiff.judge.page import images
from adiff.judge.shapes import grammar, render


@functools.cache
def world(split, num):
  indices = np.arange(num)
  scenes = scenes_lib.sample(0, split, indices)
  told = sentences.describe(0, split, indices, scenes)
  return [grammar.write(meaning) for meaning in told], render.pictures(scenes)


def test_real_pictures_are_true_shuffled_ones_at_chance_and_skills_stand_apart():
  captions, pictures = (a + b if isinstance(a, list) else np.concatenate([a, b])
                        for a, b in zip(world('test', 90), world('unseen', 30)))
  known = world('train', 200)
  right = composition.scores(captions, pictures, *known)
  assert right.true.mean() > 0.98 and right.whole.mean() > 0.95
  assert right.chance.mean() < 0.15 and 0.1 < right.retrieved.mean() < 0.9
  assert right.retrieved[90:].mean() < 0.3  # no training caption names what is held out
  rolled = composition.scores(captions, np.roll(pictures, 1, 0), *known)
  assert rolled.true.mean() < right.chance.mean() + 0.1

  found = composition.by_skill(captions, pictures, right)
  assert titles([found]) == ['Captions']
  table, _, figure = found.parts
  ours, everything = table.groups
  assert [row['name'] for row in ours.rows] == list(grammar.SKILLS)
  assert sum(row['num'] for row in ours.rows) == 120 == everything.rows[0]['num']
  numbers = section.numbers([found])
  assert numbers['true_single'] == 1 and numbers['true_mean_of_the_skills'] > 0.98
  low, high = numbers['true_attribute_binding_ci95']
  assert low < 1 <= high + 1e-9 and figure.picture.startswith(b'\x89PNG')


def test_the_nearest_training_caption_shares_most_words_and_pairs_of_words():
  known = ['a red star and a green bar', 'a green star and a red bar', 'two circles']
  asked = ['a red star and a green ring', 'a small green star and a red bar', 'three circles']
  assert composition._nearest(asked, known).tolist() == [0, 1, 2]


def test_captions_and_pictures_must_pair():
  captions, pictures = world('test', 90)
  with pytest.raises(ValueError, match='3 captions and 90 pictures; give two or more, one a'):
    composition.scores(captions[:3], pictures, *world('train', 300))


def test_captions_stand_below_their_pictures_and_a_bar_says_what_is_true():
  pictures = np.full((2, 32, 32, 3), 255, np.uint8)
  drawn = images.captioned(pictures, ['a ' + 'very ' * 30 + 'long one', 'b'], [True, False])
  bars = drawn[8 + 192 + 1]
  assert tuple(bars[20]) == images.MASKED and tuple(bars[20 + 200]) == images.UNTRUE
  assert (drawn[8 + 192 + 8:].astype(int).max() > 200) and drawn.shape[1] == 2 * 200 + 8
