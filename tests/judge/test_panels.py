"""Rules of panels: each holds of what it says, and of nothing else."""

import numpy as np
import pytest

from adiff.judge import panels


def row(*three):
  """A sample whose rows are all three panels, each a list of (shape, size, colour) or None."""
  cells = np.zeros((3, panels.CELLS), np.int32)
  for panel, objects in enumerate(three):
    for cell, one in enumerate(objects):
      if one is not None:
        cells[panel, cell] = panels.symbols(np.array(True), *one)
  return np.tile(cells.ravel(), 3)[None]


def rules_of(*three):
  return {panels.RULES[i] for i in np.flatnonzero(panels.consistent(row(*three))[0])}


def test_rows_of_numbers_and_sets_follow_exactly_the_rules_that_they_were_made_for():
  mixed = [(0, 0, 0), (1, 3, 5)]
  assert rules_of([(2, 0, 1), (2, 3, 0)], [(3, 1, 1), *mixed], [(3, 1, 1), *mixed]) == set()
  up = rules_of([(1, 0, 5), (1, 1, 3)], [(2, 2, 3), (2, 4, 1), (2, 5, 0)], [(3, 1, 2)])
  assert up == {'shape: up 1'}
  total = rules_of(
    [(1, 0, 1), (3, 2, 1)], [(0, 1, 1), (2, 5, 1), (3, 0, 1)], [(1, 2, 3), (5, 1, 3)]
  )
  assert total == {'colour: sum'}  # 2 + 2 = 4, where values count from 1
  xor = rules_of(
    [(0, 1, 0), (1, 2, 5), (4, 3, 2)], [(0, 2, 3), (5, 3, 4)], [(5, 1, 1), (2, 1, 0)]
  )
  assert xor == {'size: xor'}
  layout = rules_of([(0, 1, 0), (1, 2, 5)], [None, (0, 0, 0), (2, 4, 1)], [None, (3, 1, 3)])
  assert layout == {'layout: and'}
  number = rules_of([(0, 1, 0)] * 3, [None, (0, 0, 0), (2, 4, 1)], [None, None, None, (3, 1, 3)])
  assert 'layout: down 1' in number and 'layout: difference' in number


def test_a_rule_must_hold_in_every_row_and_an_empty_panel_follows_none():
  sample = row([(0, 0, 5), (0, 1, 3)], [(1, 2, 3), (1, 4, 1)], [(2, 1, 2)])
  assert panels.consistent(sample).any()
  broken = sample.copy()
  broken[0, 9 * 8] = panels.symbols(np.array(True), 3, 1, 2)
  assert panels.hold(broken)[0, :2].any() and not panels.consistent(broken).any()
  assert not panels.hold(np.zeros((1, 81), np.int32)).any()


@pytest.mark.parametrize('rule', range(len(panels.RULES)), ids=panels.RULES)
def test_what_a_rule_admits_is_all_that_it_holds_of(rule):
  """Counted over all triples, by the words of the rule."""
  attribute, relation = panels.RULES[rule].split(': ')
  last = attribute == 'layout'
  if relation in ('and', 'or', 'xor'):
    members = 9 if last else panels.VALUES
    sets = 2**members - 1
    disjoint = 3**members - 2 * 2**members + 1  # ordered pairs of sets that are not empty
    apart = sets**2 - 2 * (3**members - 2**members) + sets  # neither holds the other
    expected = {'and': apart - disjoint, 'or': apart, 'xor': sets**2 - disjoint - sets}[relation]
  else:
    number = range(1, 9 if last else panels.VALUES + 1)
    fits = {
      'constant': lambda a, b, c: a == b == c, 'sum': lambda a, b, c: a + b == c,
      'difference': lambda a, b, c: a - b == c,
      **{f'{way} {by}': lambda a, b, c, step=sign * by: b - a == c - b == step
         for way, sign in (('up', 1), ('down', -1)) for by in (1, 2)},
    }[relation]
    expected = sum(fits(a, b, c) for a in number for b in number for c in number)
  found = panels.triples(rule)
  assert len(found) == len(np.unique(found, axis=0)) == expected


def test_full_panels_of_anything_follow_no_rule():
  noise = np.random.default_rng(0).integers(1, panels.VOCAB, (500, 81)).astype(np.int32)
  assert panels.consistent(noise).any(1).mean() < 0.01


def test_every_relation_is_seen_of_an_attribute_and_every_attribute_misses_two():
  held = panels.HELD_OUT.reshape(len(panels.ATTRIBUTES), -1)
  assert (held.sum(1) == 2).all() and not held.all(0).any()
