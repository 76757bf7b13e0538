"""Plans of a budget against every plan there is."""

import itertools

import numpy as np
import pytest

from adiff.sample import budget
from adiff.sequence import plan as plan_lib


def compositions(size, calls):
  """Every tuple of `calls` positive numbers that sum to size."""
  for cuts in itertools.combinations(range(1, size), calls - 1):
    yield tuple(np.diff([0, *cuts, size]).tolist())


def profiles(size):
  some = np.random.default_rng(size).random(size)
  return {'random': some, 'rising': np.cumsum(some), 'falling': np.cumsum(some)[::-1],
          'negative': some - 0.5}


@pytest.mark.parametrize('kind', ['random', 'rising', 'falling', 'negative'])
@pytest.mark.parametrize('size', range(1, 9))
def test_no_plan_is_cheaper_than_the_optimal_one(size, kind):
  profile = profiles(size)[kind]
  for calls in range(1, size + 1):
    plans = {plan: budget.cost(profile, plan) for plan in compositions(size, calls)}
    best = budget.optimal(profile, calls)
    assert best in plans
    np.testing.assert_allclose(plans[best], min(plans.values()), rtol=1e-12, atol=1e-12)


def test_the_cost_is_the_sum_over_calls_written_out():
  profile = np.array([0.1, 0.2, 0.4, 0.9])
  np.testing.assert_allclose(budget.cost(profile, (1, 3)), 1 * 0.9 + 3 * 0.4)
  np.testing.assert_allclose(budget.cost(profile, (2, 1, 1)), 2 * 0.9 + 0.2 + 0.1)


def test_one_call_reveals_all_and_as_many_calls_as_tokens_one_each():
  assert budget.optimal(np.ones(5), 1) == (5,)
  assert budget.optimal(np.ones(5), 5) == (1,) * 5
  assert budget.optimal([2.0], 1) == (1,)


def test_of_equal_plans_the_one_that_reveals_less_first_is_taken():
  assert budget.optimal(np.ones(6), 3) == (1, 1, 4)


def test_a_rising_profile_starts_with_few_tokens_when_only_the_start_is_dear():
  assert budget.optimal([0, 0, 0, 0, 0, 1], 2) == (1, 5)


def test_more_calls_never_cost_more_where_the_profile_never_falls():
  profile = np.sort(np.random.default_rng(0).random(40))
  costs = [budget.cost(profile, budget.optimal(profile, calls)) for calls in range(1, 41)]
  assert np.all(np.diff(costs) <= 1e-12)
  falling = profile[::-1]  # where it falls, they do
  assert budget.cost(falling, (1,) * 40) > budget.cost(falling, (40,))


@pytest.mark.parametrize('spacing, size, calls, expected', [
  (plan_lib.linear(), 8, 4, (2, 2, 2, 2)),
  (plan_lib.linear(), 3, 2, (1, 2)),  # 1.5 is rounded up to two masked tokens
  (plan_lib.linear(), 2, 8, (1, 1)),
  (plan_lib.cosine(), 16, 4, (1, 4, 5, 6)),
  (plan_lib.power(2.0), 16, 4, (7, 5, 3, 1)),
  (plan_lib.linear(), 5, 1, (5,)),
  (lambda u: 0.5, 4, 3, (2, 2)),  # what never ends is ended by the last step
  (lambda u: u, 4, 4, (3, 1)),  # what rises does not mask again
  (lambda u: 2.0, 4, 3, (4,)),
])
def test_a_spacing_reveals_what_its_levels_say(spacing, size, calls, expected):
  assert budget.counts(spacing, size, calls) == expected


@pytest.mark.parametrize('call, message', [
  (lambda: budget.cost(np.ones(4), (2, 1)), 'sum to the 4 tokens'),
  (lambda: budget.cost(np.ones(4), (4, 0)), 'positive'),
  (lambda: budget.optimal(np.ones(4), 0), 'between 1 and the 4'),
  (lambda: budget.optimal(np.ones(4), 5), 'between 1 and the 4'),
  (lambda: budget.optimal([1.0, np.nan], 1), 'finite'),
  (lambda: budget.optimal([], 1), 'finite'),
  (lambda: budget.counts(plan_lib.linear(), 0, 1), 'size >= 1'),
  (lambda: budget.counts(plan_lib.linear(), 1, 0), 'calls >= 1'),
])
def test_nonsense_is_refused_in_words(call, message):
  with pytest.raises(ValueError, match=message):
    call()
