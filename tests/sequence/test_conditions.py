"""Conditions: their nulls, and how their values are spread over slots."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from adiff.sequence import blocks as blocks_lib
from adiff.sequence import conditions

NAN = np.nan
CONDS = {
  'label': conditions.Label(6), 'style': conditions.Features(2),
  'edges': conditions.Features(1, per_token=True), 'words': conditions.Memory(3, vocab=5),
  'notes': conditions.Memory(2, dim=4),
}


def slots_of(blocks):
  return blocks.slots(np.zeros((blocks.num_tokens, 1)))


def test_history_slots_carry_no_condition_unless_asked():
  slots, label = slots_of(blocks_lib.equal(4, 2)), jnp.array([3, 5])
  hidden = conditions.over_slots(label, slots)
  np.testing.assert_array_equal(hidden, [[3] * 4 + [-1] * 2, [5] * 4 + [-1] * 2])
  shown = conditions.over_slots(label, slots, history_cond=True)
  np.testing.assert_array_equal(shown, [[3] * 6, [5] * 6])


def test_a_label_may_differ_from_block_to_block():
  slots = slots_of(blocks_lib.equal(4, 2, history=None))
  label = conditions.over_slots(jnp.array([[3, 5]]), slots)
  np.testing.assert_array_equal(label, [[3, 3, 5, 5]])


def test_features_of_a_token_go_to_both_of_its_copies_and_those_of_an_example_to_all_slots():
  slots = slots_of(blocks_lib.equal(4, 2))
  a_token, an_example = jnp.arange(4.0).reshape(1, 4, 1), jnp.array([[7.0, 8.0]])
  told = conditions.over_slots(a_token, slots, history_cond=True)
  np.testing.assert_array_equal(told[0, :, 0], [0, 1, 2, 3, 0, 1])
  np.testing.assert_array_equal(
    conditions.over_slots(a_token, slots)[0, :, 0], [0, 1, 2, 3, NAN, NAN])
  np.testing.assert_array_equal(
    conditions.over_slots(an_example, slots)[0], [[7, 8]] * 4 + [[NAN, NAN]] * 2)


def test_rows_of_packed_documents_are_told_their_own_features():
  blocks = blocks_lib.equal(4, 2, history=None)
  segment = jnp.array([[0, 0, 1, 1], [0, 0, 0, 0]])
  slots = blocks.slots(np.zeros((4, 1)), segment=segment)
  value = jnp.arange(8.0).reshape(2, 4, 1)
  np.testing.assert_array_equal(conditions.over_slots(value, slots), value)


def test_history_slots_read_no_row_of_a_memory_unless_asked():
  slots = slots_of(blocks_lib.equal(4, 2))
  recall = conditions.Recall('keys', jnp.array([[True, True, False]]))
  mask = np.asarray(conditions.over_slots(recall, slots).mask)
  assert mask.shape == (1, 6, 3) and mask[0, :4, :2].all() and not mask[0, 4:].any()
  assert conditions.over_slots(recall, slots, history_cond=True).mask[0, 4:, :2].all()


@pytest.mark.parametrize('name', CONDS)
def test_what_is_hidden_is_nothing_and_the_rest_stays(name):
  nothing = CONDS[name].nothing(3, 4)
  value = jnp.asarray(np.ones_like(nothing))
  hidden = conditions.hide(value, jnp.array([True, False, True]))
  np.testing.assert_array_equal(hidden, np.where([[True], [False], [True]], nothing.reshape(
    3, -1), 1).reshape(nothing.shape))
  assert hidden.dtype == nothing.dtype


def test_copies_for_guidance_hide_the_names_they_are_told_and_share_the_keys_of_a_memory():
  recall = conditions.Recall('keys', jnp.ones((2, 4, 3), bool))
  cond = {'label': jnp.full((2, 4), 3), 'words': recall}
  both = conditions.branches(cond, [(), ('words',), ('label', 'words')])
  np.testing.assert_array_equal(both['label'][:, 0], [3, 3, 3, 3, -1, -1])
  assert both['words'].keys == 'keys'
  np.testing.assert_array_equal(both['words'].mask[:, 0, 0], [1, 1, 0, 0, 0, 0])
  cut = conditions.at(cond, slice(1, None))
  assert cut['label'].shape == (2, 3) and cut['words'].mask.shape == (2, 3, 3)


def test_what_a_user_gives_is_for_all_examples_or_one_each_and_the_rest_is_nothing():
  given = {'label': 2, 'edges': np.ones((3, 4, 1)), 'words': [1, 2, -1]}
  found = conditions.checked(CONDS, given, 3, 4)
  assert {name: value.shape for name, value in found.items()} == {
    'label': (3,), 'style': (3, 2), 'edges': (3, 4, 1), 'words': (3, 3), 'notes': (3, 2, 4)}
  np.testing.assert_array_equal(found['label'], [2, 2, 2])
  np.testing.assert_array_equal(found['words'], [[1, 2, -1]] * 3)
  assert np.isnan(found['style']).all() and np.isnan(found['notes']).all()
  assert {str(value.dtype) for value in found.values()} == {'int32', 'float32'}


@pytest.mark.parametrize('given, sentence', [
  ({'mood': 1}, "no condition 'mood' to ask for; it has label, style"),
  ({'label': 6}, r'condition label holds 6; write 0 .. 5, or -1 for none'),
  ({'label': -2}, r'condition label holds -2; write 0 .. 5'),
  ({'label': 'red'}, "label holds 'red'; write one of its numbers, for they have no names"),
  ({'label': 0.5}, r'label takes whole numbers of the shape \[\], or \[3\] for one an example'),
  ({'style': [1.0, 2.0, 3.0]}, r'style takes floats of the shape \[2\], or \[3, 2\] .* \[3\]'),
  ({'style': [1.0, np.inf]}, 'style holds infinite numbers; write finite ones, nan for none'),
  ({'style': ['a', 'b']}, 'style takes floats'),
  ({'words': [[1, 2, 5]] * 3}, r'words holds 5; write 0 .. 4, or -1 for none'),
])
def test_what_cannot_be_asked_for_is_told_in_a_sentence(given, sentence):
  with pytest.raises(ValueError, match=sentence):
    conditions.checked(CONDS, given, 3, 4)


def test_labels_may_be_asked_for_by_name():
  colour = {'colour': conditions.Label(2, ('red', 'blue'))}
  found = conditions.checked(colour, {'colour': ['blue', 'red', 'blue']}, 3, 4)
  np.testing.assert_array_equal(found['colour'], [1, 0, 1])
  with pytest.raises(ValueError, match="colour holds 'green'; write one of red, blue"):
    conditions.checked(colour, {'colour': 'green'}, 3, 4)


@pytest.mark.parametrize('make, sentence', [
  (lambda: conditions.Memory(3), 'rows of floats .dim=0. or symbols .vocab=0.; set one'),
  (lambda: conditions.Memory(3, dim=2, vocab=2), 'set one of both'),
  (lambda: conditions.Memory(0, dim=2), 'memory.length=0 must be at least 1'),
  (lambda: conditions.Features('many'), "features.dim='many' must be a whole number"),
])
def test_a_condition_that_nothing_can_have_is_told_in_a_sentence(make, sentence):
  with pytest.raises(ValueError, match=sentence):
    make()


def test_conditions_say_by_their_fields_alone_what_they_are():
  assert dataclasses.asdict(CONDS['notes']) == {'length': 2, 'dim': 4, 'vocab': 0}
  assert CONDS['notes'] == conditions.Memory(2, dim=4)
