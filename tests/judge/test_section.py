"""Sections: the same to programs and to people, and ranked by kind."""

import json

import numpy as np
import pytest

from adiff.judge import section

PNG = b'\x89PNG and so on'
PARTS = (
  section.Facts((section.Fact('a', 'an a', 1.5, (1.0, 2.0), 'It is an a.', 'low', 'of a kind'),)),
  section.Table('Bird', (section.Column('x', 'X', 'high', 'What it is.', 'of a kind', 2),), (
    section.Group('Ours', ({'name': 'one', 'x': 1.5}, {'name': 'two', 'x': None})),
    section.Group('Theirs', ({'name': 'three', 'x': 3},), ranked=False),
  )),
  section.Figure('bars', PNG, 'Bars', 'pixels', {'values': (1.0, 2.0)}),
  section.Text('words', 'folded', 'a summary'),
  section.Passages(('one', 'two'), ('', 'three'), 'title'),
  section.Reveal('order', ('a', 'b'), (0, -1), (0, 1), 4),
)


def test_sections_survive_json():
  sections = [section.Section('All parts', PARTS), section.Section('None', ())]
  told = json.dumps(section.as_data(sections), allow_nan=False)
  assert 'PNG and so on' not in told
  files = []
  again = section.from_data(json.loads(told), lambda file: files.append(file) or PNG)
  assert again == sections and files == ['pictures/bars.png']


def test_what_is_not_finite_is_null_in_json_wherever_it_stands():
  nan, numpy_nan = float('nan'), np.float32('nan')
  data = section.as_data([section.Section('', (
    section.Facts((section.Fact('a', 'a', nan, (nan, 1.0), beside={'b': numpy_nan}),)),
    section.Table('', (), (section.Group('', ({'name': 'x', 'y': float('inf')},)),)),
    section.Figure('f', PNG, '', values={'z': np.array([1, nan])}),
  ))])
  json.dumps(data, allow_nan=False)
  (fact,), (group,), values = (
    data[0]['parts'][0]['facts'], data[0]['parts'][1]['groups'], data[0]['parts'][2]['values']
  )
  assert fact['value'] is None and fact['interval'] == [None, 1.0] and fact['beside'] == {'b': None}
  assert group['rows'] == [{'name': 'x', 'y': None}] and values == {'z': [1.0, None]}


def test_numbers_are_the_facts_by_key_with_their_intervals():
  facts = section.Facts((
    section.Fact('a', '', np.float32(1.5), 0.25), section.Fact('b', '', float('nan')),
    section.Fact('c', '', None), section.Fact('d', '', 'a word'), section.Fact('e', '', 3),
  ), shown=False)
  assert section.numbers([section.Section('', (facts,))]) == {
    'a': 1.5, 'a_ci95': 0.25, 'b': None, 'c': None, 'e': 3}


def test_names_that_two_parts_share_are_refused():
  fact = section.Facts((section.Fact('a', '', 1),))
  with pytest.raises(ValueError, match="two facts have the key 'a'"):
    section.numbers([section.Section('', (fact,)), section.Section('', (fact,))])
  figure = section.Figure('f', PNG, '')
  with pytest.raises(ValueError, match="two figures are called 'f'"):
    section.figures([section.Section('', (figure, figure))])


def test_a_part_of_another_version_and_bytes_of_another_kind_are_refused_in_words():
  for part in ({'part': 'poem'}, {'part': 'text', 'words': '', 'font': 'large'}):
    with pytest.raises(section.Foreign, match='of another version'):
      section.from_data([{'title': '', 'parts': [part]}], None)
  with pytest.raises(ValueError, match='neither PNG nor GIF'):
    section.as_data([section.Section('', (section.Figure('f', b'jpeg', ''),))])


@pytest.mark.parametrize(('part', 'change'), [
  (0, {'facts': 5}), (0, {'facts': [5]}), (0, {'shown': 1.5}), (0, {'fact': []}),
  (1, {'columns': [{'key': 'x', 'heading': 'X', 'digits': '2'}]}), (1, {'title': None}),
  (1, {'columns': [{'key': 'x', 'heading': 'X', 'digits': 10**9}]}), (1, {'groups': {}}),
  (1, {'columns': [{'key': 'x', 'heading': 'X', 'better': 'more'}]}),
  (1, {'groups': [{'heading': '', 'rows': [5]}]}),
  (1, {'groups': [{'heading': '', 'rows': [{'name': 'a', 'x_ci95': [1.0]}]}]}),
  (1, {'groups': [{'heading': '', 'rows': [{'name': 'a', 'x': {}}]}]}),
  (2, {'file': '/etc/passwd'}), (2, {'file': 'pictures/../bars.png'}), (2, {'file': 5}),
  (2, {'name': '../bars', 'file': 'pictures/../bars.png'}), (2, {'name': ''}), (2, {'caption': 5}),
  (3, {'words': ['a']}), (4, {'texts': 'one'}), (5, {'steps': [0]}), (5, {'steps': ['a', 'b']}),
  (5, {'blocks': [1]}),
])
def test_data_of_another_type_are_no_sections_and_no_file_outside_is_read(part, change):
  (data,) = section.as_data([section.Section('', PARTS[part:part + 1])])
  data['parts'][0] |= change

  def read(file):
    raise AssertionError(file)

  with pytest.raises(section.Foreign, match='of another version'):
    section.from_data([data], read)


def test_a_file_that_is_no_picture_is_no_figure():
  (data,) = section.as_data([section.Section('', PARTS[2:3])])
  with pytest.raises(section.Foreign, match=r'bars\.png is neither'):
    section.from_data([data], lambda file: b'text')


@pytest.mark.parametrize('data', [
  [5], [{}], [{'title': 5, 'parts': []}], [{'title': '', 'parts': 5}],
  [{'title': '', 'parts': [5]}], [{'title': '', 'parts': [{}]}],
])
def test_what_is_no_section_is_refused(data):
  with pytest.raises(section.Foreign):
    section.from_data(data, None)


@pytest.mark.parametrize('column, best', [
  (section.Column('x', '', 'low'), 1), (section.Column('x', '', 'high'), 3),
  (section.Column('x', ''), None), (section.Column('y', '', 'low'), None),
  (section.Column('x', '', 'low', ranked=False), None)])
def test_the_best_is_one_of_several_numbers_that_may_be_ranked(column, best):
  rows = [{'x': 1, 'y': 1}, {'x': 3, 'y': None}, {}]
  assert section.best(column, rows) == best
