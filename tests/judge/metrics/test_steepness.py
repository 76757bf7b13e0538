"""Seams: pictures whose steepness across borders is known, and halves that do or do not fit."""

import numpy as np
import pytest

from adiff.judge.metrics import seams

AREAS = np.repeat(np.repeat(np.arange(4).reshape(2, 2), 4, 0), 4, 1)  # four squares of 4 x 4


def ramps(num, jump, seed=0):
  """Pictures [num, 8, 8, 1] that rise by 1 a pixel along rows, and by `jump` across the middle; no
  two rows differ but by as much."""
  steps = np.full((8, 8), 1.0)
  steps[:, 0], steps[:, 4] = 0, jump
  rise = steps.cumsum(1) + steps.T.cumsum(0)
  scale = np.random.default_rng(seed).uniform(1, 2, num)
  return scale[:, None, None, None] * rise[None, ..., None]


def test_steepness_is_that_of_the_steps_across_borders_and_inside():
  across, inside = seams.steepness(ramps(5, 3.0), AREAS)
  np.testing.assert_allclose(across / inside, 3.0)


@pytest.mark.parametrize('jump', [0.5, 1.0, 3.0])
def test_the_ratio_is_one_of_equal_pictures_and_the_jump_of_others(jump):
  found = seams.ratio(ramps(50, jump), ramps(60, 1.0, seed=1), AREAS)
  np.testing.assert_allclose(found, jump)  # all are equal but for their scale: no width


def test_the_interval_holds_the_ratio_nineteen_times_of_twenty():
  rng, hits = np.random.default_rng(0), 0
  for _ in range(200):
    real, made = rng.normal(size=(2, 40, 8, 8, 1))
    made[:, :, 4:] += 2 * rng.normal(size=(40, 1, 1, 1))  # a step at one border alone
    found = seams.ratio(made, real, AREAS)
    # E|N(0, 2)| = 2 / sqrt(pi); with the step, of variance 6, at 8 of the 16 pairs across.
    wanted = (1 + np.sqrt(3)) / 2
    hits += found.low <= wanted <= found.high
  assert 0.9 <= hits / 200 <= 0.99


@pytest.mark.parametrize('pictures, areas, words', [
  (np.ones((2, 8, 8, 1)), AREAS[:4], 'give a number to every pixel'),
  (np.ones((2, 8, 8, 1)), np.zeros((8, 8), int), 'more than one of them'),
  (np.ones((2, 8, 8, 1)), np.arange(64).reshape(8, 8), 'areas of several pixels each'),
  (np.ones((2, 8, 8, 1)), AREAS, 'have no seams'),
])
def test_what_has_no_seam_is_told_in_a_sentence(pictures, areas, words):
  with pytest.raises(ValueError, match=words):
    seams.ratio(pictures, pictures, areas)


def mirrored(num, seed, share=1.0):
  """Pictures of which a share is its own mirror, the others have two halves of noise."""
  rng = np.random.default_rng(seed)
  upper, lower = rng.integers(0, 17, (2, num, 2, 4, 1))
  own = rng.random(num) < share
  lower[own] = upper[own, ::-1]
  return np.concatenate([upper, lower], 1)


def test_a_forest_is_fitted_to_and_asked_about_all_classes_of_sorted_pictures(monkeypatch):
  monkeypatch.setattr(seams, 'PAIRS', 20)
  seen, examples = [], seams._examples

  def watched(pictures, labels, seed):
    seen.append(set(labels))
    return examples(pictures, labels, seed)

  monkeypatch.setattr(seams, '_examples', watched)
  labels = np.repeat(np.arange(10), 10)
  pictures = mirrored(100, 0)
  seams.Pairs(pictures, labels).accuracy(pictures, labels)
  assert seen == [set(range(10))] * 2


def test_a_forest_knows_halves_that_belong_together_and_no_others():
  labels = np.zeros(300, int)
  forest = seams.Pairs(mirrored(300, 0), labels)
  assert forest.accuracy(mirrored(300, 1), labels) > 0.95
  assert abs(forest.accuracy(mirrored(300, 2, share=0.0), labels) - 0.5) < 0.1
  with pytest.raises(ValueError, match='give two of two rows'):
    forest.accuracy(mirrored(1, 3), labels[:1])
