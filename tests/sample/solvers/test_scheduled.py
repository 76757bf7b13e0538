"""As many masked tokens after each step as the plan says. (Its law: test_unmasking.)"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.process import masked
from adiff.sample import walk
from adiff.sample.solvers import scheduled
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import plan as plan_lib

MASK = 3
# Token i is the surer the later it comes.
LOGITS = jnp.stack([jnp.linspace(0.5, 3, 8), jnp.zeros(8), jnp.zeros(8)], axis=-1)


def trace(choose, plan, **given):
  """Which tokens are masked after each step, bool [R, B, 8]."""
  denoise = ask_lib.from_outputs(lambda ask: jnp.broadcast_to(LOGITS[None], (*ask.x.shape, 3)))
  return np.asarray(walk.sample(
    denoise, jax.random.split(jax.random.key(0), 3), plan, blocks=blocks_lib.whole(8),
    process=masked.Masked(3), solver=scheduled.Scheduled(choose), coords=np.arange(8)[:, None],
    trace=True, **given)) == MASK


@pytest.mark.parametrize('choose', ['random', 'confidence'])
def test_the_number_of_masked_tokens_is_that_of_the_plan(choose):
  for plan in (
    plan_lib.Plan(1, 4, spacing=plan_lib.reveals((1, 1, 2, 4))),
    plan_lib.Plan(1, 5, spacing=plan_lib.cosine()), plan_lib.Plan(1, 16),
  ):
    left = np.floor(plan.matrix[1:, 0] * 8 + 0.5)
    hidden = trace(choose, plan)
    np.testing.assert_array_equal(hidden.sum(-1), np.broadcast_to(left[:, None], (len(left), 3)))
    assert np.all(hidden[1:] <= hidden[:-1])


def test_known_tokens_count_as_revealed():
  mask = jnp.arange(8)[None] < jnp.array([0, 3, 8])[:, None]
  hidden = trace(
    'random', plan_lib.Plan(1, 4), given=jnp.zeros((3, 8), jnp.int32), given_mask=mask)
  np.testing.assert_array_equal(hidden.sum(-1), [[6, 5, 0], [4, 4, 0], [2, 2, 0], [0, 0, 0]])


def test_the_most_confident_come_first_or_any():
  plan = plan_lib.Plan(1, 8)
  expected = np.arange(8)[None] < np.arange(7, -1, -1)[:, None]
  np.testing.assert_array_equal(trace('confidence', plan)[:, 0], expected)
  assert not np.array_equal(trace('random', plan)[:, 0], trace('random', plan)[:, 1])


def test_an_unknown_choice_is_refused():
  with pytest.raises(ValueError, match='random, confidence'):
    scheduled.Scheduled('best')
