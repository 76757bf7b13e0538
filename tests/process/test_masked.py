"""Masking: levels are probabilities, unmasking is exact."""

import jax
import jax.numpy as jnp
import numpy as np

from adiff.process import masked
from adiff.sequence import blocks as blocks_lib

PROCESS = masked.Masked(3)


def test_the_prior_is_all_masks():
  assert np.all(np.asarray(PROCESS.prior(jax.random.key(0), (2, 3))) == PROCESS.mask_id)


def test_the_level_is_the_share_of_masked_tokens():
  x0, t = jnp.zeros((200, 100), jnp.int32), jnp.full((200, 100), 0.3)
  xt = PROCESS.add_noise(jax.random.key(0), x0, t)
  np.testing.assert_allclose(np.mean(np.asarray(xt) == 3), 0.3, atol=0.02)


def test_the_weight_is_one_over_t_and_known_tokens_cost_nothing():
  x0, t = jnp.zeros((1, 2), jnp.int32), jnp.full((1, 2), 0.25)
  xt = jnp.array([[3, 0]])
  cost = PROCESS.loss(jnp.zeros((1, 2, 3)), x0, xt, t)
  np.testing.assert_allclose(cost, [[4 * np.log(3), 0]], rtol=1e-6)


def test_a_step_reveals_the_share_that_the_levels_say_and_keeps_what_is_known():
  shape = (200, 100)
  xt = jnp.full(shape, 3).at[:, 0].set(1)
  t, s = jnp.full(shape, 0.8), jnp.full(shape, 0.2)
  logits = jnp.broadcast_to(jnp.log(jnp.array([0.2, 0.3, 0.5])), (*shape, 3))
  xs = np.asarray(PROCESS.step(jax.random.key(0), logits, xt, t, s))
  np.testing.assert_array_equal(xs[:, 0], 1)
  np.testing.assert_allclose(np.mean(xs[:, 1:] == 3), 0.2 / 0.8, atol=0.02)
  symbols = xs[:, 1:][xs[:, 1:] != 3]
  np.testing.assert_allclose(np.bincount(symbols) / len(symbols), [0.2, 0.3, 0.5], atol=0.02)


def test_the_last_step_leaves_no_mask():
  shape = (20, 10)
  xs = PROCESS.step(
    jax.random.key(0), jnp.zeros((*shape, 3)), jnp.full(shape, 3), jnp.full(shape, 1e-3),
    jnp.zeros(shape),
  )
  assert np.all(np.asarray(xs) < 3)


def test_known_tokens_are_their_own_estimate():
  probs = PROCESS.x0_hat(jnp.zeros((1, 2, 3)), jnp.array([[3, 1]]), jnp.ones((1, 2)))
  np.testing.assert_allclose(probs, [[[1 / 3] * 3, [0, 1, 0]]], rtol=1e-6)


def test_the_bound_masks_exactly_k_tokens_of_a_block_each_equally_often():
  blocks = blocks_lib.Blocks((3, 1), (0, 1, 2, 3))
  x0 = jnp.zeros((6000, 4), jnp.int32)
  u = jnp.broadcast_to(jnp.array([0.5, 0.0]), (6000, 2))  # k = 2 of 3, and 1 of 1
  xt, t = PROCESS.bound_noise(jax.random.key(0), x0, u, blocks, jnp.ones(x0.shape, bool))
  hidden = np.asarray(xt) == 3
  assert np.all(hidden[:, :3].sum(1) == 2) and np.all(hidden[:, 3])
  np.testing.assert_allclose(t[0], [2 / 3] * 3 + [1], rtol=1e-6)
  np.testing.assert_allclose(hidden[:, :3].mean(0), 2 / 3, atol=0.025)


def test_known_tokens_are_never_masked_and_the_count_is_of_the_others():
  blocks = blocks_lib.equal(4, 4)
  free = jnp.broadcast_to(jnp.array([[False, True, True, False]]), (4000, 4))
  x0, u = jnp.zeros((4000, 4), jnp.int32), jnp.full((4000, 1), 0.1)  # k = 1 of 2
  xt, t = PROCESS.bound_noise(jax.random.key(0), x0, u, blocks, free)
  hidden = np.asarray(xt) == 3
  assert not hidden[:, [0, 3]].any() and np.all(hidden.sum(1) == 1)
  np.testing.assert_allclose(hidden[:, 1].mean(), 0.5, atol=0.04)
  np.testing.assert_allclose(t, 1 / 4)  # the network is told the share of the block that is masked


def test_a_complement_shows_exactly_what_was_hidden():
  x0 = jnp.array([[0, 1, 2]])
  np.testing.assert_array_equal(PROCESS.complement(jnp.array([[3, 1, 3]]), x0), [[0, 3, 2]])
