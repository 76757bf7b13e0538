"""Mistakes on chains where what they do is known in closed form."""

import numpy as np
import pytest

from adiff.judge.metrics import mistakes

BLOCKS = np.repeat(np.arange(4), 2)  # four blocks of two tokens


def chain(a, num, seed=0):
  """A sampler of x' = a x + sqrt(1 - a^2) noise, block by block: (tokens [num, 8, 1], fill)."""
  rng = np.random.default_rng(seed)
  noise = rng.normal(size=(num, 4, 2, 1))

  def fill(tokens, hole):
    x = np.array(tokens, float).reshape(num, 4, 2, 1)
    for k in range(4):
      if hole[2 * k]:
        before = x[:, k - 1] if k else 0.0
        x[:, k] = a * before + np.sqrt(1 - a**2) * noise[:, k]
    return x.reshape(num, 8, 1)

  start = np.concatenate([rng.normal(size=(num, 2, 1)), np.zeros((num, 6, 1))], 1)
  return fill(start, BLOCKS > 0), fill


@pytest.mark.parametrize('a', [0.9, 0.5, 0.0])
def test_a_wrong_block_of_a_chain_moves_those_behind_it_by_powers_of_its_factor(a):
  real, fill = chain(a, 400)
  found = mistakes.of_wrong_blocks(real, np.roll(real, 1, 0), BLOCKS, fill)
  assert [one.block for one in found] == [0, 1, 2]
  for one in found:
    np.testing.assert_allclose(one.moved, a ** np.arange(1, 4 - one.block), atol=1e-12)
    assert abs(one.lost) < 0.05  # another real block is as good a past to a chain


def test_a_wrong_block_that_makes_later_ones_wrong_costs_their_distance():
  real, fill = chain(0.0, 500)
  shift = np.where(BLOCKS == 0, 3.0, 0.0)[None, :, None]

  def drifts(tokens, hole):  # what is made is as far off as its past
    return fill(tokens, hole) + tokens[:, :1] * (BLOCKS > 0)[None, :, None] * (tokens[:, :1] > 6)

  moved = real + shift
  first, *_ = mistakes.of_wrong_blocks(real, moved + 9, BLOCKS, drifts)
  assert first.lost > 100  # 12 deviations squared


def test_the_distance_of_blocks_is_that_of_their_means_over_the_variance():
  real = np.random.default_rng(0).normal(size=(300, 8, 2))
  made = real + 0.5 * BLOCKS[None, :, None]
  found = mistakes.by_block(real, made, BLOCKS)
  variance = [np.trace(np.cov(real[:, BLOCKS == k].reshape(300, -1).T)) for k in range(4)]
  np.testing.assert_allclose(found, [4 * (0.5 * k) ** 2 / variance[k] for k in range(4)], atol=1e-9)
  symbols = np.random.default_rng(0).integers(0, 5, (300, 8))
  np.testing.assert_allclose(mistakes.by_block(symbols, symbols, BLOCKS), 0, atol=1e-9)


def test_many_values_are_compared_in_few_components():
  real = np.random.default_rng(0).normal(size=(500, 200)) * np.r_[np.full(8, 9.0), np.ones(192)]
  assert mistakes.relative_frechet(real, real) < 1e-9
  made = real + np.r_[9.0, np.zeros(199)]
  assert 0.05 < mistakes.relative_frechet(real, made) < 0.2  # one direction of eight


@pytest.mark.parametrize('real, blocks, words', [
  (np.zeros((4, 8)), BLOCKS * 0, 'take several blocks'),
  (np.zeros((4, 8)), BLOCKS, 'block 0 is the same in all examples'),
])
def test_what_cannot_be_wrong_is_told_in_a_sentence(real, blocks, words):
  with pytest.raises(ValueError, match=words):
    mistakes.of_wrong_blocks(real, real, blocks, lambda tokens, hole: tokens)
  with pytest.raises(ValueError, match='compare blocks that vary'):
    mistakes.relative_frechet(real, real)
