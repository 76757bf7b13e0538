"""Confidence decides what is revealed, and what is replaced. (Its law: test_unmasking.)"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.process import masked
from adiff.sample.solvers import threshold

MASK = 3


def step(solver, x, probs, s=0.5):
  x = jnp.asarray(x, jnp.int32)
  t, s = jnp.ones(x.shape), jnp.full(x.shape, s)
  keys = jax.random.split(jax.random.key(0), x.shape)
  out = jnp.broadcast_to(jnp.log(jnp.asarray(probs, jnp.float32))[None], (*x.shape, 3))
  return np.asarray(solver.step(None, out, masked.Masked(3), keys, x, t, s, ())[0])


PROBS = [[0.95, 0.03, 0.02], [0.3, 0.4, 0.3], [0.01, 0.01, 0.98], [0.2, 0.7, 0.1]]


def test_all_tokens_above_the_threshold_are_revealed_and_never_none():
  x = [[MASK] * 4, [0, MASK, 0, MASK], [0, MASK, 1, 2]]
  revealed = (step(threshold.Threshold(0.9), x, PROBS) != MASK) & (np.array(x) == MASK)
  np.testing.assert_array_equal(revealed, [[1, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0]])


def test_a_likely_other_symbol_replaces_a_revealed_one_while_the_row_is_being_made():
  x = [[1, MASK, 2, 0], [1, 0, 1, 0]]
  after = step(threshold.Threshold(0.9, edit=0.9), x, PROBS, s=0.0)
  np.testing.assert_array_equal(after[0, [0, 2, 3]], [0, 2, 0])  # 0.7 is not above 0.9
  np.testing.assert_array_equal(after[1], x[1])
  np.testing.assert_array_equal(step(threshold.Threshold(0.9), x, PROBS)[0, [0, 2, 3]], [1, 2, 0])


@pytest.mark.parametrize('arguments', [dict(threshold=1.1), dict(edit=-0.1)])
def test_what_is_no_probability_is_refused(arguments):
  with pytest.raises(ValueError, match='in \\[0, 1\\]'):
    threshold.Threshold(**arguments)
