"""Panels that follow rules: a sample follows its own, and their law can be tested."""

import numpy as np
import pytest

from adiff.data import raven
from adiff.judge import panels

SOURCE = raven.Raven(size=2048)


def test_every_sample_follows_a_rule_of_its_split():
  for split in ('train', 'test'):
    found = panels.consistent(SOURCE.examples(split, np.arange(SOURCE.size(split)))['example'])
    assert found[:, ~panels.HELD_OUT].any(1).all()
    assert found[:, panels.HELD_OUT].any(1).mean() < 0.03  # by accident
  found = panels.consistent(SOURCE.examples('unseen', np.arange(256))['example'])
  assert found[:, panels.HELD_OUT].any(1).all()


def test_rules_are_equally_frequent_and_all_else_is_free():
  tokens = SOURCE.sample('train', np.arange(2048))
  counts = panels.consistent(tokens)[:, ~panels.HELD_OUT].sum(0)
  assert counts.min() > 0.6 * 2048 / 32
  rows = panels.hold(tokens)
  np.testing.assert_array_less(rows.sum(2).mean(), 1.7)  # of a row, by accident
  number = np.bincount(panels.seen(tokens).number.ravel(), minlength=10)
  assert number[0] == 0 and number[1:].min() > 0.05 * number.sum()


def test_a_sample_is_a_function_of_seed_split_and_index_alone():
  some = np.array([3, 700, 41])
  again = SOURCE.sample('train', some)
  np.testing.assert_array_equal(again, SOURCE.sample('train', np.arange(2048))[some])
  np.testing.assert_array_equal(again, SOURCE.examples('train', some)['example'])
  assert (again != raven.Raven(seed=1).sample('train', some)).any(1).all()
  assert (again != SOURCE.sample('test', some)).any(1).all()


def test_the_law_test_passes_fresh_samples_and_finds_missing_and_broken_rules():
  fresh = SOURCE.sample('train', 10**6 + np.arange(3000))
  assert SOURCE.law_test(fresh)['p_value'] > 1e-3
  found = panels.consistent(fresh)
  fewer = np.concatenate([fresh, fresh[found[:, 1]]])  # one rule twice as often
  assert SOURCE.law_test(fewer)['p_value'] < 1e-6
  assert SOURCE.law_test(np.roll(fresh, 9, 1))['p_value'] < 1e-6


def test_too_few_samples_and_unknown_splits_are_refused():
  with pytest.raises(ValueError, match='4 samples of panels are too few'):
    raven.Raven(size=4)
  with pytest.raises(ValueError, match='no split .*choose one of train, test, unseen'):
    SOURCE.examples('valid', np.arange(2))
  with pytest.raises(IndexError):
    SOURCE.examples('test', np.array([256]))
