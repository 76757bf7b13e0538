"""The step profile: budgets that are asked for come into the plan, and who has none is told why."""

import pytest
import tiny

import adiff
from adiff.run import build, later, overrides, sequences, step_profile


def arranged(**changes):
  config = tiny.config('block-gaussian')
  with config.unlocked():
    config.update_from_flattened_dict(changes)
  return config


def test_budgets_are_the_steps_of_each_block_and_other_steps_replace_them():
  parts = build.build(arranged(**{'plan.steps': 3, 'plan.budgets': (4, 3, 2)}))
  assert parts.plan.budgets == (4, 3, 2)
  of_steps = {n: sequences.plan(parts.config, parts.blocks, steps=n).budgets for n in (3, 5)}
  assert of_steps == {3: (4, 3, 2), 5: (5, 5, 5)}
  for how in (dict(steps=5), dict(block_size=1)):
    assert overrides.arrange(parts.config, '', **how).plan.budgets == ()
  with pytest.raises(ValueError, match='plan.budgets names 2 blocks but there are 3'):
    build.build(arranged(**{'plan.budgets': (4, 3)}))
  assert later.completed(dict(arranged().to_dict(), plan={'steps': 3}))['plan']['budgets'] == []


@pytest.mark.parametrize('changes, message', [
  ({'process.eta': 1.0, 'solver.name': 'first_order'}, 'process.eta=0.0'),
  ({'plan.first': 2}, 'plan.first=0'),
  ({'plan.steps': 33}, 'at most 32 steps a block'),
  ({'parallel.method': 'picard', 'solver.name': 'first_order'}, 'one after another'),
])
def test_who_has_no_profile_is_told_why(changes, message):
  parts = build.build(arranged(**changes))
  with pytest.raises(ValueError, match=message):
    step_profile.check(parts)


def test_a_plan_with_budgets_has_no_other_steps_in_parallel():
  with pytest.raises(ValueError, match='equal steps'):
    build.build(arranged(**{
      'plan.budgets': (4, 3, 2), 'parallel.method': 'picard', 'solver.name': 'first_order'}))


@pytest.mark.soak
def test_the_handle_deals_steps_out_by_the_profile_of_the_model():
  model = adiff.load('digits', steps=4, solver='budget')
  budgets = model.parts.plan.budgets
  assert sum(budgets) == 16 and budgets[0] > budgets[-1]  # the first block has no past to lean on
  assert set(model.sample(3, progress=False).calls) == {16}
  errors = step_profile.measure(model.parts, model.params, 5)
  assert (errors[:, :-1] > errors[:, 1:]).all()
