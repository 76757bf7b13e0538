"""The longest prefix by entropy whose error is bounded. (Its law: test_unmasking.)"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.process import masked
from adiff.sample.solvers import entropy_bound

MASK = 3
PROBS = np.array([[0.8, 0.1, 0.1], [1 / 3] * 3, [0.98, 0.01, 0.01], [0.9, 0.05, 0.05]])
NATS = -np.sum(PROBS * np.log(PROBS), axis=1)


def revealed(bound, x):
  x = jnp.asarray(x, jnp.int32)
  keys = jax.random.split(jax.random.key(0), x.shape)
  out = jnp.broadcast_to(jnp.log(jnp.asarray(PROBS, jnp.float32))[None], (*x.shape, 3))
  after = entropy_bound.EntropyBound(bound).step(
    None, out, masked.Masked(3), keys, x, jnp.ones(x.shape), jnp.full(x.shape, 0.5), ())[0]
  return np.asarray(after != x).astype(int).tolist()


def test_the_sum_of_all_entropies_but_the_largest_stays_within_the_bound():
  assert revealed(0.0, [[MASK] * 4, [0, MASK, 0, MASK], [0] * 4]) == [
    [0, 0, 1, 0], [0, 0, 0, 1], [0] * 4]
  assert revealed(NATS[2] + 1e-3, [[MASK] * 4]) == [[0, 0, 1, 1]]
  assert revealed(NATS[2] + NATS[3] - 1e-3, [[MASK] * 4]) == [[0, 0, 1, 1]]
  assert revealed(NATS[2] + NATS[3] + 1e-3, [[MASK] * 4]) == [[1, 0, 1, 1]]
  assert revealed(NATS[3] + 1e-3, [[MASK, 0, 0, MASK]]) == [[1, 0, 0, 1]]
  assert revealed(9.0, [[MASK] * 4]) == [[1] * 4]


def test_a_negative_bound_is_refused():
  with pytest.raises(ValueError, match='solver.bound=.* negative'):
    entropy_bound.EntropyBound(-0.1)
