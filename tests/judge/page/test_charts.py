"""Pictures: every pixel where it belongs, charts that show what they were given."""

import io

import numpy as np
import pytest
from matplotlib import pyplot
from PIL import Image

from adiff.judge.page import charts


def digits(num, levels=17, channels=1, side=4):
  return np.random.RandomState(0).randint(0, levels, (num, side, side, channels))


def decoded(data):
  return np.asarray(Image.open(io.BytesIO(data)).convert('RGB'))


GENERATORS = [
    {'name': 'two', 'steps': 2, 'nfe': 8, 'frechet': 9.4},
    {'name': 'eight', 'steps': 8, 'nfe': 32, 'frechet': 1.5},
    {'name': 'real test split', 'steps': None, 'nfe': None, 'frechet': 0.37}]


def test_a_grid_holds_every_picture_at_its_row_and_column():
  images = digits(5)
  canvas = charts.grid(images, 17, columns=3, pad=1, scale=2)
  assert canvas.dtype == np.uint8 and canvas.shape == ((2 * 5 + 1) * 2, (3 * 5 + 1) * 2, 3)
  small = canvas[::2, ::2]
  for i, image in enumerate(images):
    y, x = 1 + (i // 3) * 5, 1 + (i % 3) * 5
    np.testing.assert_array_equal(small[y:y + 4, x:x + 4], np.rint(image * (255 / 16)).repeat(3, 2))
  np.testing.assert_array_equal(small[6:10, 11:15].reshape(-1, 3), [charts.PAPER] * 16)


def test_a_grid_keeps_the_channels_of_colour_pictures():
  images = digits(1, levels=256, channels=3)
  np.testing.assert_array_equal(charts.grid(images, 256, pad=0, scale=1), images[0])


def test_a_masked_pixel_has_a_colour_that_no_grey_has():
  images = digits(1)
  images[0, 1, 2, 0] = -1
  canvas = charts.grid(images, 17, pad=0, scale=1)
  assert tuple(canvas[1, 2]) == charts.MASKED and len(set(charts.MASKED)) > 1


def test_labels_stand_above_the_columns_and_move_no_pixel_below():
  images = digits(4)
  plain = charts.grid(images, 17, columns=2)
  labelled = charts.grid(images, 17, columns=2, labels=['a', 'b'])
  head = labelled[:-len(plain)]
  np.testing.assert_array_equal(labelled[-len(plain):], plain)
  half = head.shape[1] // 2
  assert head[:, :half].max() > 200 and head[:, half:].max() > 200


@pytest.mark.parametrize('images, levels, options, words', [
    (digits(2) / 16, 17, {}, 'decode the tokens first'),
    (digits(2) + 1, 17, {}, 'clip them to 0..16'),
    (digits(2) - 2, 17, {}, 'write -1 where'),
    (digits(2, channels=2), 17, {}, r'give \[n, H, W, 3\]'),
    (digits(2)[0], 17, {}, r'images \[n, H, W, C\]'),
    (digits(2), 1, {}, '2 or more'),
    (digits(2), 17, {'columns': 0}, 'columns >= 1'),
    (digits(2), 17, {'labels': ['one']}, 'one label a column')])
def test_a_grid_refuses_what_it_cannot_show_in_words(images, levels, options, words):
  with pytest.raises(ValueError, match=words):
    charts.grid(images, levels, **options)


def test_neighbours_show_each_sample_at_the_left_of_its_training_image():
  samples, nearest = digits(2), 16 - digits(2)
  canvas = charts.neighbours(samples, nearest, 17, columns=1, pad=0, scale=1)
  np.testing.assert_array_equal(canvas[:4], charts.grid(
      np.stack([samples[0], nearest[0]]), 17, columns=2, pad=0, scale=1))
  with pytest.raises(ValueError, match='one training image'):
    charts.neighbours(samples, nearest[:1], 17)


def test_a_strip_plays_every_frame_exactly_and_holds_the_last():
  frames = np.stack([digits(3) * (digits(3) < t) - (digits(3) >= t) for t in (3, 9, 17)])
  film = Image.open(io.BytesIO(charts.strip(frames, 17, columns=2, scale=3, duration_ms=50,
                                              hold_ms=900)))
  assert film.format == 'GIF' and film.n_frames == 3 and film.info['loop'] == 0
  durations = []
  for i, frame in enumerate(frames):
    film.seek(i)
    durations.append(film.info['duration'])
    np.testing.assert_array_equal(np.asarray(film.convert('RGB')),
                                  charts.grid(frame, 17, columns=2, scale=3))
  assert durations == [50, 50, 900]


def test_a_strip_of_colour_pictures_stays_close_to_their_colours():
  frames = np.random.RandomState(1).randint(0, 256, (2, 4, 8, 8, 3))
  film = Image.open(io.BytesIO(charts.strip(frames, 256, scale=1)))
  error = np.asarray(film.convert('RGB')).astype(int) - charts.grid(frames[0], 256, scale=1)
  assert np.abs(error).mean() < 20
  with pytest.raises(ValueError, match=r'frames \[T, n, H, W, C\]'):
    charts.strip(frames[0], 256)


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


def test_curves_skip_rows_without_a_number_and_name_the_keys_there_are():
  rows = [{'step': 0, 'loss': 3.0}, {'step': 1, 'test': 2.0}, {'step': 2, 'loss': float('nan')},
          {'step': 3, 'loss': 1.0}]
  line, = charts.curves(rows, ['loss']).axes[0].lines
  np.testing.assert_array_equal(line.get_xydata(), [[0, 3], [3, 1]])
  with pytest.raises(ValueError, match='among loss, test'):
    charts.curves(rows, ['bound'])


def test_the_running_mean_of_a_long_curve_keeps_a_constant_to_its_ends():
  rows = [{'step': i, 'loss': 2.5} for i in range(200)]
  faint, mean = charts.curves(rows, ['loss']).axes[0].lines
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


def test_png_bytes_return_the_pixels_and_repeat_byte_for_byte():
  canvas = charts.grid(digits(2), 17)
  np.testing.assert_array_equal(decoded(charts.png_bytes(canvas)), canvas)
  first, second = (charts.png_bytes(charts.per_block([1.0])) for _ in range(2))
  assert first == second
  with pytest.raises(ValueError, match='pictures.grid'):
    charts.png_bytes(canvas / 255)


def test_charts_leave_no_figure_in_pyplot():
  before = pyplot.get_fignums()  # of another file's tests, perhaps
  charts.per_block([1.0])
  assert pyplot.get_fignums() == before
