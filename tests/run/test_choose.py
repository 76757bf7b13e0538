"""A choice by name: what it is given, and the sentences for what it is not."""

import pytest

from adiff.run import choose


def line(length, colour='black'):
  return f'{colour} line of {length}'


TABLE = {'line': line, 'point': lambda: 'point'}


def test_what_is_provided_is_used_where_it_is_taken_and_not_set():
  assert choose.resolve('shape', TABLE, dict(name='line'), length=3, depth=9) == 'black line of 3'
  chosen = dict(name='line', length=5, colour='red')
  assert choose.resolve('shape', TABLE, chosen, length=3) == 'red line of 5'
  assert choose.resolve('shape', TABLE, dict(name='point'), length=3) == 'point'


@pytest.mark.parametrize('choice, words', [
  (dict(name='lime', length=1), "config.shape.name='lime'.*line, point; did you mean 'line'"),
  (dict(name='wedge'), 'choose one of line, point$'),
  (dict(length=1), 'config.shape.name=None is unknown'),
  (dict(name='line', width=1), "config.shape: line takes no 'width'; it takes length, colour"),
  (dict(name='point', width=1), "takes no 'width'; it takes no arguments"),
  (dict(name='line'), 'config.shape: line needs length'),
])
def test_what_cannot_be_chosen_is_told_with_what_there_is(choice, words):
  with pytest.raises(ValueError, match=words):
    choose.resolve('shape', TABLE, choice)
