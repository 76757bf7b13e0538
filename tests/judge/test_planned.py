"""The picture of a plan: which block of which kind is made when."""

import dataclasses

import numpy as np
import tiny

from adiff.judge import planned, section
from adiff.judge.page import charts
from adiff.sequence import plan as plan_lib


def drawn(parts, plan=None):
  """The figure."""
  (figure,) = planned.of(parts.plan if plan is None else plan, parts.blocks, parts.solver).parts
  assert section.image_kind(figure.name, figure.picture) == 'png'
  return figure


def test_blocks_are_drawn_from_the_call_that_begins_them_to_the_one_that_ends_them():
  parts = tiny.regime('joint').parts  # blocks of 32 steps, of symbols and of floats by Heun
  values = drawn(parts).values
  assert values['names'] == ['symbols 1', 'symbols 2', 'floats 1']
  np.testing.assert_array_equal(values['first_call'], [1, 33, 65])
  np.testing.assert_array_equal(values['last_call'], [32, 64, 64 + 63])  # Heun ends with one call
  assert '127 network calls' in drawn(parts).caption


def test_given_blocks_are_there_before_the_first_call_and_a_pyramid_overlaps():
  parts = tiny.regime('forcing-masked').parts
  given = drawn(parts, dataclasses.replace(parts.plan, given=1)).values
  assert given['last_call'][0] == 0 and given['names'] == ['1', '2', '3']
  values = drawn(parts, plan_lib.Plan(3, 4, delay=2)).values
  np.testing.assert_array_equal(values['first_call'], [1, 3, 5])
  np.testing.assert_array_equal(values['last_call'], [4, 6, 8])


def test_every_kind_has_a_colour_that_grows_as_noise_goes():
  levels = np.array([[1, 1], [0.5, 1], [0, 0.5], [0, 0]])
  fig = charts.made_picture(levels, ['a', 'b'], ['a 1', 'b 1'])
  axes, = fig.axes
  picture = np.asarray(axes.images[0].get_array())
  np.testing.assert_array_equal(picture[:, 0], [charts.UNSEEN] * 2)
  full = [tuple(int(charts.COLOURS[i][j:j + 2], 16) for j in (1, 3, 5)) for i in range(2)]
  np.testing.assert_array_equal(picture[:, -1], full)
  assert abs(picture[0, 1].astype(int) - (charts.UNSEEN + np.array(full[0])) / 2).max() <= 1
  assert [label.get_text() for label in axes.get_yticklabels()] == ['a 1', 'b 1']
  assert [text.get_text() for text in axes.get_legend().get_texts()] == ['a', 'b']


def test_another_law_than_the_walks_is_said():
  parts = tiny.regime('block-gaussian').parts
  _, facts = planned.of(parts.plan, parts.blocks, parts.solver, 'Another law.').parts
  assert [(fact.key, fact.meaning) for fact in facts.facts] == [('law_of_samples', 'Another law.')]
