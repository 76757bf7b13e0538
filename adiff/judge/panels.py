"""Panels of objects in three rows that follow one rule: what the rules are, and which ones hold.

After GenRAVEN (arXiv:2411.07873), in integers: a sample has 3 x 3 panels of 3 x 3 cells, each empty
or an object of a shape, a size and a colour. One of forty rules holds in all three rows: one of ten
relations of one of four attributes. A relation of numbers is about the one value that all objects
of a panel have, or how many they are; one of sets about the values that occur, or the cells that
are taken:

  constant a = b = c; up and down by one and two; sum c = a + b; difference c = a - b, where values
  count from 1; and, or, exclusive or: C = A & B, A | B, A ^ B

What full panels would follow whatever is in them is no rule: for and, or neither of A and B holds
the other, for the exclusive or they are not equal and have something in common, and a panel whose
cells are all taken has no number.
"""

import functools
from typing import NamedTuple

import numpy as np

VALUES = 6  # of a shape, a size and a colour
PANELS, CELLS = 9, 9
ATTRIBUTES = ('shape', 'size', 'colour', 'layout')
RELATIONS = (
  'constant', 'up 1', 'up 2', 'down 1', 'down 2', 'sum', 'difference', 'and', 'or', 'xor',
)
RULES = tuple(f'{attribute}: {relation}' for attribute in ATTRIBUTES for relation in RELATIONS)
VOCAB = 1 + VALUES**3  # 0: an empty cell
_STEPS = (0, 1, 2, -1, -2)
SETS = len(_STEPS) + 2  # the first relation of sets
# Every relation but two is held out of one attribute, so that it is known from the others.
HELD_OUT = np.array([
  relation % 5 == attribute
  for attribute in range(len(ATTRIBUTES)) for relation in range(len(RELATIONS))
])


class Seen(NamedTuple):
  """What panels [n, 9] hold; sets are bits."""

  values: np.ndarray  # int [n, 9, 3], of shape, size and colour
  number: np.ndarray  # int [n, 9], of objects
  cells: np.ndarray  # int [n, 9]


def symbols(taken, shape, size, colour) -> np.ndarray:
  """int32 symbols of cells; taken: is there an object?"""
  return np.where(taken, 1 + (shape * VALUES + size) * VALUES + colour, 0).astype(np.int32)


def seen(tokens) -> Seen:
  """What samples int [n, 81] hold, panel by panel."""
  tokens = np.asarray(tokens).reshape(-1, PANELS, CELLS)
  taken, object_ = tokens > 0, np.maximum(tokens - 1, 0)
  attributes = object_ // VALUES**2, object_ // VALUES % VALUES, object_ % VALUES
  sets = [np.bitwise_or.reduce(np.where(taken, 1 << one, 0), 2) for one in attributes]
  return Seen(np.stack(sets, 2), taken.sum(2), np.where(taken, 1 << np.arange(CELLS), 0).sum(2))


@functools.cache
def _value_of():
  """Of every set of values: the value, from 1, where it is the only one, else 0."""
  table = np.zeros(2**VALUES, int)
  table[1 << np.arange(VALUES)] = 1 + np.arange(VALUES)
  return table


def hold(tokens) -> np.ndarray:
  """bool [n, 3, 40]: which of RULES hold in which row of samples int [n, 81]. None does in a row
  with an empty panel."""
  found = seen(tokens)
  rows = lambda panels: panels.reshape(-1, 3, 3)
  out = []
  for attribute in range(len(ATTRIBUTES)):
    last = attribute == len(ATTRIBUTES) - 1
    sets = rows(found.cells if last else found.values[:, :, attribute])
    numbers = rows(found.number % CELLS if last else _value_of()[found.values[:, :, attribute]])
    out += _numbers(*np.moveaxis(numbers, 2, 0)) + _of_sets(*np.moveaxis(sets, 2, 0))
  full = rows(found.number > 0).all(2)
  return np.stack(out, 2) & full[..., None]


def _numbers(a, b, c):
  """Of the values of three panels, 0 for none: which relations of numbers hold."""
  one = (a > 0) & (b > 0) & (c > 0)
  steps = [one & (b == a + step) & (c == b + step) for step in _STEPS]
  return [*steps, one & (c == a + b), one & (c == a - b)]


def _of_sets(a, b, c):
  """Of the sets of three panels: which relations of sets hold."""
  meet, join = a & b, a | b
  apart = (meet != a) & (meet != b)
  return [apart & (c == meet), apart & (c == join), (a != b) & (meet > 0) & (c == (a ^ b))]


def consistent(tokens) -> np.ndarray:
  """bool [n, 40]: which rules hold in all three rows."""
  return hold(tokens).all(1)


@functools.cache
def triples(rule) -> np.ndarray:
  """int [T, 3]: what the three panels of a row may be for a rule to hold: values from 0, numbers of
  objects, or sets."""
  attribute, relation = divmod(rule, len(RELATIONS))
  last = attribute == len(ATTRIBUTES) - 1
  if relation < SETS:
    most = CELLS - 1 if last else VALUES
    a, b, c = np.indices((most,) * 3).reshape(3, -1) + 1
    chosen = np.stack([a, b, c], 1)[_numbers(a, b, c)[relation]]
    return chosen if last else chosen - 1
  a, b = np.indices((2**(CELLS if last else VALUES) - 1,) * 2).reshape(2, -1) + 1
  c = (a & b, a | b, a ^ b)[relation - SETS]
  return np.stack([a, b, c], 1)[(c > 0) & _of_sets(a, b, c)[relation - SETS]]
