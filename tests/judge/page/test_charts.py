"""Charts show what they were given."""

import io

import numpy as np
import pytest
from matplotlib import pyplot
from PIL import Image

from adiff.judge.page import charts, images


def decoded(data):
  return np.asarray(Image.open(io.BytesIO(data)).convert('RGB'))


GENERATORS = [
    {'name': 'two', 'steps': 2, 'nfe': 8, 'frechet': 9.4},
    {'name': 'eight', 'steps': 8, 'nfe': 32, 'frechet': 1.5},
    {'name': 'real test split', 'steps': None, 'nfe': None, 'frechet': 0.37}]


def test_the_mask_picture_paints_allowed_squares_and_names_each_run_once():
  allowed = np.array([[True, False, False], [True, True, False], [False, False, True]])
  fig = charts.mask_picture(allowed, query_labels=['a', 'a', 'b'], key_labels=['a', 'a', 'b'])
  axes, = fig.axes
  painted = (axes.images[0].get_array() == charts.SEEN).all(-1)
  np.testing.assert_array_equal(painted, allowed)
  assert [t.get_text() for t in axes.get_xticklabels()] == ['a', 'b']
  assert list(axes.get_yticks()) == [0.5, 2]
  with pytest.raises(ValueError, match='one label each'):
    charts.mask_picture(allowed, key_labels=['a'])
  with pytest.raises(ValueError, match=r'\[Q, K\]'):
    charts.mask_picture(allowed[0])


def test_the_plan_picture_shows_the_matrix_and_refuses_levels_outside_zero_to_one():
  matrix = np.linspace(1, 0, 12).reshape(4, 3)
  fig = charts.plan_picture(matrix)
  np.testing.assert_array_equal(fig.axes[0].images[0].get_array(), matrix)
  with pytest.raises(ValueError, match='plan.matrix'):
    charts.plan_picture(matrix + 1)


def test_curves_skip_lines_without_a_number_and_name_the_keys_there_are():
  lines = [{'step': 0, 'loss': 3.0}, {'step': 1, 'test': 2.0}, {'step': 2, 'loss': float('nan')},
           {'step': 3, 'loss': 1.0}]
  line, = charts.curves(lines, ['loss']).axes[0].lines
  np.testing.assert_array_equal(line.get_xydata(), [[0, 3], [3, 1]])
  with pytest.raises(ValueError, match='among loss, test'):
    charts.curves(lines, ['bound'])


def test_the_running_mean_of_a_long_curve_keeps_a_constant_to_its_ends():
  lines = [{'step': i, 'loss': 2.5} for i in range(200)]
  faint, mean = charts.curves(lines, ['loss']).axes[0].lines
  assert faint.get_alpha() < 0.5
  np.testing.assert_allclose(mean.get_ydata(), 2.5)


@pytest.mark.parametrize('intervals', [[0.5, 0.25], [[0.5, 1.5], [1.75, 2.25]]])
def test_bars_reach_their_values_and_intervals_their_bounds(intervals):
  axes, = charts.per_block([1.0, 2.0], intervals, ylabel='').axes
  assert [bar.get_height() for bar in axes.patches] == [1.0, 2.0]
  segments = axes.collections[0].get_segments()
  np.testing.assert_allclose([s[:, 1] for s in segments], [[0.5, 1.5], [1.75, 2.25]])
  with pytest.raises(ValueError, match='one a block'):
    charts.per_block([1.0, 2.0, 3.0], intervals, ylabel='')


def test_stairs_over_levels_need_one_edge_more_than_values():
  axes, = charts.per_level([0, 0.5, 1], [2, 1], ylabel='').axes
  assert axes.get_xlim() == (0, 1)
  with pytest.raises(ValueError, match='need 3 edges'):
    charts.per_level([0, 1], [2, 1], ylabel='')


def test_quality_puts_models_on_a_line_by_cost_and_references_on_levels():
  axes, = charts.quality_vs_steps(GENERATORS[::-1], metric='frechet', ylabel='').axes
  line, floor = axes.lines
  np.testing.assert_array_equal(line.get_xydata(), [[8, 9.4], [32, 1.5]])
  assert set(floor.get_ydata()) == {0.37} and floor.get_label() == 'real test split'
  assert [t.get_text() for t in axes.texts] == ['T=2', 'T=8']
  with pytest.raises(ValueError, match='both nfe and frechet'):
    charts.quality_vs_steps(GENERATORS[2:], metric='frechet', ylabel='')


ROWS = [
  {'name': 'b', 'calls_per_token': 1.0, 'known_words': 0.9, 'ci95': 0.02},
  {'name': 'a', 'calls_per_token': 0.5, 'known_words': 0.8, 'ci95': (0.75, 0.9)},
  {'name': 'b', 'calls_per_token': 0.25, 'known_words': 0.7},
  {'name': 'held-out text', 'known_words': 0.99},
  {'name': 'c', 'calls_per_token': 8.0},
]


CALLS = {'cost': 'calls_per_token', 'xlabel': 'network calls per token'}


def test_the_chart_of_costs_has_one_line_a_sampler_with_its_intervals_and_levels_for_the_rest():
  axes, = charts.quality_vs_cost(
    ROWS, metric='known_words', ylabel='known words', **CALLS).axes
  b, a, corpus = [line for line in axes.lines if not line.get_label().startswith('_')]
  np.testing.assert_array_equal(b.get_xydata(), [[0.25, 0.7], [1, 0.9]])
  np.testing.assert_array_equal(a.get_xydata(), [[0.5, 0.8]])
  assert corpus.get_label() == 'held-out text' and set(corpus.get_ydata()) == {0.99}
  lengths = [segment[:, 1] for bars in axes.collections for segment in bars.get_segments()]
  np.testing.assert_allclose(lengths, [[0.88, 0.92], [0.75, 0.9]])
  assert axes.get_xscale() == 'log' and axes.get_ylabel() == 'known words'
  assert [tick.get_text() for tick in axes.get_xticklabels()] == ['1/4', '1/2', '1']


def test_a_wide_range_of_costs_has_ten_ticks_at_most_and_many_lines_differ_in_dashes():
  rows = [{'name': f'{i}', 's': 2.0 ** -i, 'x': 0.1 * i} for i in range(13)]
  axes, = charts.quality_vs_cost(rows, metric='x', ylabel='', cost='s', xlabel='s').axes
  assert 5 <= len(axes.get_xticks()) <= 10
  looks = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in axes.lines}
  assert len(looks) == 13
  points = {(line.get_color(), line.get_fillstyle(), line.get_marker()) for line in axes.lines}
  assert len(points) == 12  # of rows of one point, two colours and shapes of six


def test_values_that_are_far_apart_have_a_logarithmic_axis_on_which_all_of_them_are():
  rows = [{'name': f'{i}', 's': 2.0 ** -i, 'x': 10.0 ** -i, 'ci95': 1.0} for i in range(3)]
  scales = []
  for few in (rows, rows[:1], [*rows, {'name': 'none', 's': 1.0, 'x': 0.0}]):
    axes, = charts.quality_vs_cost(few, metric='x', ylabel='', cost='s', xlabel='s').axes
    low, high = axes.get_ylim()
    assert all(low < row['x'] < high for row in few)
    scales.append(axes.get_yscale())
  assert scales == ['log', 'linear', 'linear']


def test_one_point_is_enough_for_the_chart_of_costs_and_none_is_refused():
  figure = charts.quality_vs_cost(
    [{'name': 'a', 'calls_per_token': 0.3, 'x': 0.1}], metric='x', ylabel='', **CALLS)
  assert decoded(images.png_bytes(figure)).std() > 5
  with pytest.raises(ValueError, match='one sampler'):
    charts.quality_vs_cost(ROWS[3:], metric='known_words', ylabel='', **CALLS)


def test_charts_leave_no_figure_in_pyplot():
  before = pyplot.get_fignums()  # of another file's tests, perhaps
  charts.per_block([1.0], ylabel='')
  assert pyplot.get_fignums() == before
