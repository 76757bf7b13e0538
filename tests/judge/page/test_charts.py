"""Charts show what they were given."""

import io

import numpy as np
import pytest
from matplotlib import pyplot
from PIL import Image

from adiff.judge.page import charts


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
  axes, = charts.per_block([1.0, 2.0], intervals).axes
  assert [bar.get_height() for bar in axes.patches] == [1.0, 2.0]
  segments = axes.collections[0].get_segments()
  np.testing.assert_allclose([s[:, 1] for s in segments], [[0.5, 1.5], [1.75, 2.25]])
  with pytest.raises(ValueError, match='one a block'):
    charts.per_block([1.0, 2.0, 3.0], intervals)


def test_stairs_over_levels_need_one_edge_more_than_values():
  axes, = charts.per_level([0, 0.5, 1], [2, 1]).axes
  assert axes.get_xlim() == (0, 1)
  with pytest.raises(ValueError, match='need 3 edges'):
    charts.per_level([0, 1], [2, 1])


def test_quality_puts_models_on_a_line_by_cost_and_references_on_levels():
  axes, = charts.quality_vs_steps(GENERATORS[::-1]).axes
  line, floor = axes.lines
  np.testing.assert_array_equal(line.get_xydata(), [[8, 9.4], [32, 1.5]])
  assert set(floor.get_ydata()) == {0.37} and floor.get_label() == 'real test split'
  assert [t.get_text() for t in axes.texts] == ['T=2', 'T=8']
  with pytest.raises(ValueError, match='both nfe and frechet'):
    charts.quality_vs_steps(GENERATORS[2:])


def test_charts_are_made_where_there_are_numbers_and_left_out_elsewhere():
  bound = {'per_block': [1.0], 'per_block_ci95': None,
           'per_level': {'edges': [0, 1], 'values': [1.0]}}
  made = charts.charts({'bound': bound, 'generators': GENERATORS}, [{'step': 1, 'loss': 2.0}])
  assert set(made) == {'quality', 'per_block', 'per_level', 'loss'}
  assert all(decoded(data).std() > 5 for data in made.values())
  assert charts.charts({'generators': [{'name': 'toy', 'nfe': 3, 'frechet': None}]}) == {}


def test_charts_leave_no_figure_in_pyplot():
  before = pyplot.get_fignums()  # of another file's tests, perhaps
  charts.per_block([1.0])
  assert pyplot.get_fignums() == before
