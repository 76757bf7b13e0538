"""Rotations: scores know differences of positions, and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.nn import rotary

Q = jax.random.normal(jax.random.key(0), (1, 5, 2, 12))
K = jax.random.normal(jax.random.key(1), (1, 5, 2, 12))


def rotate(x, coords):
  return rotary.rotate(x, rotary.turns(coords, x.shape[-1]))


def scores(coords):
  return jnp.einsum('bqhd,bkhd->bhqk', rotate(Q, coords), rotate(K, coords))


@pytest.mark.parametrize('axes', [1, 2, 3])
def test_scores_do_not_change_when_all_positions_move_together(axes):
  coords = jax.random.randint(jax.random.key(2), (5, axes), 0, 7)
  np.testing.assert_allclose(scores(coords), scores(coords + 3), atol=2e-4)
  moved = coords.at[0, axes - 1].add(1)
  assert float(jnp.max(jnp.abs(scores(coords) - scores(moved)))) > 1e-2


def test_position_zero_is_not_rotated_and_lengths_stay():
  np.testing.assert_array_equal(rotate(Q, jnp.zeros((5, 1), jnp.int32)), Q)
  turned = rotate(Q, jnp.arange(5)[:, None])
  np.testing.assert_allclose(
    jnp.linalg.norm(turned, axis=-1), jnp.linalg.norm(Q, axis=-1), rtol=1e-5)


def test_positions_may_differ_from_example_to_example():
  coords = jnp.stack([jnp.arange(5)[:, None], jnp.arange(5)[::-1, None]])
  both = rotate(jnp.concatenate([Q, Q]), coords)
  np.testing.assert_allclose(both[1:], rotate(Q, coords[1]), atol=1e-6)


def test_rotated_keys_move_by_the_difference_of_positions():
  at, to = jnp.arange(5)[:, None], jnp.arange(7, 12)[:, None]
  moved = rotate(rotate(K, at), to - at)
  np.testing.assert_allclose(moved, rotate(K, to), atol=1e-5)


@pytest.mark.parametrize('axes', [1, 2, 3])
def test_every_pair_of_features_turns_with_one_axis_and_keeps_its_length(axes):
  moved = np.asarray(rotate(Q, jnp.zeros((5, axes), jnp.int32).at[:, axes - 1].set(3)))
  pairs = lambda x: np.stack(np.split(np.asarray(x), 2, axis=-1))
  np.testing.assert_allclose(
    np.linalg.norm(pairs(moved), axis=0), np.linalg.norm(pairs(Q), axis=0), rtol=1e-5)
  turned = np.any(np.abs(pairs(moved) - pairs(Q)) > 1e-6, axis=(0, 1, 2, 3))
  np.testing.assert_array_equal(turned, np.arange(6) % axes == axes - 1)
