"""The judge of panels: real samples are consistent, shuffled ones are not, copies are not new."""

import numpy as np
import pytest
from judged import made_by, sampled, subject, titles

from adiff.data import raven
from adiff.judge import panels, rules, section
from adiff.run import build, evaluate
from configs import raven as config_lib

SOURCE = raven.Raven(size=512)


def judged(tokens, fill=lambda real, hole: sampled(real), source=SOURCE):
  return made_by(rules.Rules(), subject(
    sampled(tokens), size=source.size, examples=source.examples, decode=np.asarray, fill=fill,
  ))


def test_real_samples_follow_their_rules_and_beside_them_stands_chance():
  found = judged(SOURCE.sample('test', np.arange(2000, 2200)))
  assert titles(found) == ['Rules', 'The ninth panel', 'Cost', 'Held-out bound']
  numbers = section.numbers(found)
  assert numbers['consistent'] == numbers['consistent_seen'] == numbers['consistent_new'] == 1
  assert numbers['consistent_held_out'] < 0.03
  fact = next(one for one in section.all_facts(found[0]) if one.key == 'consistent')
  assert fact.beside['real test split'] == 1 and fact.beside['its panels, shuffled'] < 0.02
  unseen = section.numbers(judged(SOURCE.sample('unseen', np.arange(100))))
  assert unseen['consistent'] == unseen['consistent_held_out'] == 1


def test_copies_of_training_samples_are_consistent_and_not_new():
  many = raven.Raven(size=2**15)
  numbers = section.numbers(judged(many.sample('train', np.arange(0, 2**15, 256)), source=many))
  assert numbers['consistent'] == 1 and numbers['consistent_new'] == 0


def test_the_config_names_this_judge_which_reads_panels_alone():
  config = config_lib.get_config('blocks').unlock()
  config.data.size = 64
  parts = build.build(config)
  assert isinstance(evaluate.judge_of(parts), rules.Rules)
  rules.Rules().needs(parts)
  config.data = {'name': 'chain', 'num_tokens': 81}
  with pytest.raises(ValueError, match='reads panels of 217 symbols, which these data are not'):
    rules.Rules().needs(build.build(config))


def test_symbols_that_are_no_rule_are_counted_as_none():
  noise = np.random.default_rng(0).integers(0, panels.VOCAB, (200, 81)).astype(np.int32)
  found = judged(noise)
  assert section.numbers(found)['consistent'] < 0.02
  assert found[0].parts[1].groups[0].rows[0]['rules'] < 10


def test_a_ninth_panel_is_right_where_the_rule_of_the_eight_goes_on():
  def fill(real, hole):
    np.testing.assert_array_equal(np.flatnonzero(hole), np.arange(72, 81))
    made = real.copy()
    made[::2, hole] = 0  # half of them are empty, and no rule holds
    return sampled(made)

  numbers = section.numbers(judged(SOURCE.sample('test', np.arange(64)), fill))
  for rules_ in ('seen', 'held_out'):
    assert numbers[f'ninth_right_{rules_}'] == numbers[f'ninth_consistent_{rules_}'] == 0.5
    low, high = numbers[f'ninth_right_{rules_}_ci95']
    assert 0.37 < low < 0.5 < high < 0.63
  found = judged(SOURCE.sample('test', np.arange(64)))
  fact = next(one for one in section.all_facts(found[1]) if one.key == 'ninth_right_seen')
  assert fact.value == 1 and fact.beside['chance'] < 0.3
