"""Strings whose law follows from what one is told."""

import numpy as np
import pytest

from adiff.codec import base as codec_base
from adiff.codec import none
from adiff.data import batches, told
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import conditions

ALL = ('label', 'style', 'mood', 'map', 'words', 'notes')


@pytest.fixture(scope='module')
def source():
  return told.Told(ALL, size=4096)


def test_strings_follow_the_law_they_are_told_and_that_of_others_does_not_fit(source):
  rows = source.examples('train', np.arange(4096))
  assert source.law_test(rows['example'], rows)['p_value'] > 1e-3
  for name in ALL:
    rolled = {**rows, name: np.roll(rows[name], 1, axis=0)}
    assert source.law_test(rows['example'], rolled)['p_value'] < 1e-6, name


def test_a_law_sums_to_one_and_is_that_of_its_logits_by_hand(source):
  one = source.tell(1, seed=0)
  law = source.law(one)
  assert law.shape == (1, 81)
  np.testing.assert_allclose(law.sum(), 1)
  after, tables = source._tables
  expected = 1.0
  for place, symbol in enumerate((2, 0, 1, 1)):
    before = 3 if place == 0 else (2, 0, 1, 1)[place - 1]
    logits = after[before] + tables['label'][one['label'][0]] + tables['style'][one['style'][0]]
    logits = logits + one['mood'][0] + one['map'][0, place] + np.nansum(one['notes'][0], 0)
    logits = logits + sum(tables['words'][word] for word in one['words'][0] if word >= 0)
    expected *= np.exp(logits[symbol]) / np.exp(logits).sum()
  np.testing.assert_allclose(law[0, np.ravel_multi_index((2, 0, 1, 1), (3,) * 4)], expected)


def test_the_exact_entropy_is_what_the_test_strings_cost_on_average(source):
  rows = source.examples('test', np.arange(source.size('test')))
  law = source.law({name: rows[name] for name in ALL})
  cells = np.ravel_multi_index(tuple(rows['example'].T), (3,) * 4)
  nats = -np.log(law[np.arange(len(law)), cells])
  assert abs(nats.mean() - source.exact['nats']) < 4 * nats.std() / len(nats) ** 0.5


def test_what_belongs_to_tokens_goes_into_block_order_with_them_and_the_rest_stays(source):
  coded, order = source.coded(none.AsTheyAre()), (2, 0, 3, 1)
  blocks = blocks_lib.Blocks((4,), order)
  reader = batches.Batches(coded, 'train', 8, seed=0, blocks=blocks)
  batch, rows = reader.batch_at(0), source.examples('train', reader.indices_at(0))
  for name in ('label', 'style', 'mood', 'words', 'notes'):
    np.testing.assert_array_equal(batch[name], rows[name])
  np.testing.assert_array_equal(batch['tokens'], rows['example'][:, order])
  np.testing.assert_array_equal(batch['map'], rows['map'][:, order])


def test_without_a_label_it_is_none():
  source = told.Told(('words',), size=8)
  rows = source.examples('test', np.arange(1))
  assert rows['label'] == -1 and set(source.facts.conds) == {'words'}
  assert isinstance(source.facts.conds['words'], conditions.Memory)


@pytest.mark.parametrize('how, sentence', [
  (dict(by=('age',)), "names 'age', which nobody is told; write some of label, style"),
  (dict(num_tokens=9, vocab=4), '4 symbols and 9 tokens make more than 2000 strings'),
])
def test_what_nobody_can_be_told_is_refused_in_a_sentence(how, sentence):
  with pytest.raises(ValueError, match=sentence):
    told.Told(**how)


def test_a_condition_that_is_called_like_a_part_of_a_batch_is_refused_in_a_sentence():
  with pytest.raises(ValueError, match="a condition 'tokens' bears the name of what batches hold"):
    codec_base.Facts('law', (4,), 3, {'tokens': conditions.Label(2)})
