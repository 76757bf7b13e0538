"""Draws are stratified, and their laws are what they say."""

import jax
import numpy as np
import pytest
from scipy import stats

from adiff.sequence import draw as draw_lib

DRAWS = {
  'uniform': draw_lib.uniform(),
  'clipped': draw_lib.clipped(0.3, 0.8),
  'logit_normal': draw_lib.logit_normal(),
}


@pytest.mark.parametrize('name', DRAWS)
def test_every_stratum_is_visited_once_over_batch_and_blocks(name):
  t = np.asarray(DRAWS[name](jax.random.key(0), (16, 4)))
  back = {
    'uniform': lambda t: t,
    'clipped': lambda t: (t - 0.3) / 0.5,
    'logit_normal': lambda t: stats.norm.cdf(np.log(t / (1 - t))),
  }[name](t)
  np.testing.assert_allclose(np.sort(back.reshape(-1)), (np.arange(64) + 0.5) / 64, atol=0.501 / 64)


def test_levels_are_shuffled_over_examples_and_blocks():
  keys = jax.random.split(jax.random.key(0), 200)
  t = np.asarray(jax.vmap(lambda key: draw_lib.uniform()(key, (4, 4)))(keys)).mean(axis=0)
  np.testing.assert_allclose(t, 0.5, atol=0.1)  # 5 standard errors


def test_a_shared_level_is_one_an_example():
  t = np.asarray(draw_lib.uniform(shared=True)(jax.random.key(0), (8, 3)))
  assert np.all(t == t[:, :1]) and len(np.unique(t)) == 8


def test_ones_are_all_noise():
  assert np.all(np.asarray(draw_lib.ones()(jax.random.key(0), (2, 3))) == 1)


def test_atoms_take_their_exact_share():
  draw = draw_lib.uniform().with_atoms(zero=0.25, one=0.125)
  t = np.asarray(draw(jax.random.key(0), (16, 4)))
  assert np.sum(t == 0) == 16 and np.sum(t == 1) == 8


@pytest.mark.parametrize('make', [
  lambda: draw_lib.clipped(0.8, 0.3),
  lambda: draw_lib.clipped(-0.1, 0.3),
  lambda: draw_lib.ones().with_atoms(zero=0.7, one=0.7),
])
def test_impossible_draws_are_refused(make):
  with pytest.raises(ValueError):
    make()
