"""Plans are the walks their pictures show."""

import numpy as np
import pytest

from adiff.sequence import plan as plan_lib


def test_the_pictures_of_the_module_are_its_matrices():
  wait = [[1, 1], [0.5, 1], [0, 1], [0, 0.5], [0, 0]]
  np.testing.assert_array_equal(plan_lib.Plan(2, 2).matrix, wait)
  np.testing.assert_array_equal(plan_lib.Plan(2, 2, delay=0).matrix, [[1, 1], [0.5, 0.5], [0, 0]])
  pyramid = [[1, 1], [0.75, 1], [0.5, 1], [0.25, 0.75], [0, 0.5], [0, 0.25], [0, 0]]
  np.testing.assert_array_equal(plan_lib.Plan(2, 4, delay=2).matrix, pyramid)


@pytest.mark.parametrize('delay', [None, 0, 1, 2, 5])
@pytest.mark.parametrize('steps', [3, (3, 1, 2, 3), (1, 4, 1, 1)])
def test_a_walk_goes_down_from_noise_to_data_in_order(steps, delay):
  plan = plan_lib.Plan(4, steps, delay)
  assert plan.matrix.shape == (plan.num_rows + 1, 4)
  assert np.all(plan.matrix[0] == 1) and np.all(plan.matrix[-1] == 0)
  assert np.all(np.diff(plan.matrix, axis=0) <= 0)
  assert np.all(np.diff(plan.ends) >= 0)
  for k, budget in enumerate(plan.budgets):
    assert np.sum(np.diff(plan.matrix[:, k]) < 0) == budget


def test_the_corners_are_full_sequence_diffusion_and_block_autoregression():
  full, one_by_one = plan_lib.Plan(3, 4, delay=0), plan_lib.Plan(3, 4)
  assert full.num_rows == 4 and not full.sequential
  assert one_by_one.num_rows == 12 and one_by_one.sequential
  np.testing.assert_array_equal(plan_lib.Plan(3, 4, delay=4).matrix, one_by_one.matrix)
  assert plan_lib.Plan(1, 4).matrix.tolist() == plan_lib.Plan(1, 4, delay=0).matrix.tolist()


def test_given_blocks_take_no_step():
  plan = plan_lib.Plan(3, 2, given=1)
  np.testing.assert_array_equal(plan.matrix[:, 0], 0)
  np.testing.assert_array_equal(plan.matrix[:, 1:], plan_lib.Plan(2, 2).matrix)


@pytest.mark.parametrize('arguments', [
  dict(steps=(2, 2)), dict(steps=0), dict(steps=2, delay=-1), dict(given=3), dict(given=-1),
])
def test_impossible_plans_are_refused(arguments):
  with pytest.raises(ValueError):
    plan_lib.Plan(3, **arguments)


@pytest.mark.parametrize('spacing', [
  plan_lib.linear(), plan_lib.cosine(), plan_lib.power(3.0),
  plan_lib.reveals((1, 1, 2, 4) * 2 + (1, 8)),
])
def test_spacings_fall_from_one_to_zero(spacing):
  level = spacing(np.linspace(0, 1, 11))
  assert level[0] == 1 and abs(level[-1]) < 1e-12 and np.all(np.diff(level) < 0)


def test_a_table_of_reveals_is_the_share_that_is_left():
  plan = plan_lib.Plan(2, 3, spacing=plan_lib.reveals((1, 2, 5)))
  np.testing.assert_array_equal(plan.matrix[:4, 0] * 8, [8, 7, 5, 0])
  np.testing.assert_array_equal(plan.matrix[3:, 1] * 8, [8, 7, 5, 0])


@pytest.mark.parametrize('steps', [1, 2, 8, (4, 2), (8, 4)])
def test_a_table_of_reveals_names_every_step_of_every_block(steps):
  spacing = plan_lib.reveals((1, 1, 2, 4))
  with pytest.raises(ValueError, match='plan.steps=4'):
    _ = plan_lib.Plan(2, steps, spacing=spacing).matrix


@pytest.mark.parametrize('counts', [(), (2, 0, 1)])
def test_a_step_that_reveals_nothing_is_refused(counts):
  with pytest.raises(ValueError, match='positive'):
    plan_lib.reveals(counts)
