"""Images on a page: every pixel where it belongs."""

import io

import numpy as np
import pytest
from PIL import Image

from adiff.judge.page import charts
from adiff.judge.page import images as page_images


def digits(num, levels=17, channels=1, side=4):
  return np.random.RandomState(0).randint(0, levels, (num, side, side, channels))


def decoded(data):
  return np.asarray(Image.open(io.BytesIO(data)).convert('RGB'))


def test_a_grid_holds_every_picture_at_its_row_and_column():
  images = digits(5)
  canvas = page_images.grid(images, 17, columns=3, pad=1, scale=2)
  assert canvas.dtype == np.uint8 and canvas.shape == ((2 * 5 + 1) * 2, (3 * 5 + 1) * 2, 3)
  small = canvas[::2, ::2]
  for i, image in enumerate(images):
    y, x = 1 + (i // 3) * 5, 1 + (i % 3) * 5
    np.testing.assert_array_equal(small[y:y + 4, x:x + 4], np.rint(image * (255 / 16)).repeat(3, 2))
  np.testing.assert_array_equal(small[6:10, 11:15].reshape(-1, 3), [page_images.PAPER] * 16)


def test_a_grid_keeps_the_channels_of_colour_pictures():
  images = digits(1, levels=256, channels=3)
  np.testing.assert_array_equal(page_images.grid(images, 256, pad=0, scale=1), images[0])


def test_a_masked_pixel_has_a_colour_that_no_grey_has():
  images = digits(1)
  images[0, 1, 2, 0] = -1
  canvas = page_images.grid(images, 17, pad=0, scale=1)
  assert tuple(canvas[1, 2]) == page_images.MASKED and len(set(page_images.MASKED)) > 1


def test_labels_stand_above_the_columns_and_move_no_pixel_below():
  images = digits(4)
  plain = page_images.grid(images, 17, columns=2)
  labelled = page_images.grid(images, 17, columns=2, labels=['a', 'b'])
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
    page_images.grid(images, levels, **options)


def test_neighbours_show_each_sample_at_the_left_of_its_training_image():
  samples, nearest = digits(2), 16 - digits(2)
  canvas = page_images.neighbours(samples, nearest, 17, columns=1, pad=0, scale=1)
  np.testing.assert_array_equal(canvas[:4], page_images.grid(
      np.stack([samples[0], nearest[0]]), 17, columns=2, pad=0, scale=1))
  with pytest.raises(ValueError, match='one training image'):
    page_images.neighbours(samples, nearest[:1], 17)


def test_a_strip_plays_every_frame_exactly_and_holds_the_last():
  frames = np.stack([digits(3) * (digits(3) < t) - (digits(3) >= t) for t in (3, 9, 17)])
  film = Image.open(io.BytesIO(page_images.strip(frames, 17, columns=2, scale=3, duration_ms=50,
                                              hold_ms=900)))
  assert film.format == 'GIF' and film.n_frames == 3 and film.info['loop'] == 0
  durations = []
  for i, frame in enumerate(frames):
    film.seek(i)
    durations.append(film.info['duration'])
    np.testing.assert_array_equal(np.asarray(film.convert('RGB')),
                                  page_images.grid(frame, 17, columns=2, scale=3))
  assert durations == [50, 50, 900]


def test_a_strip_of_colour_pictures_stays_close_to_their_colours():
  frames = np.random.RandomState(1).randint(0, 256, (2, 4, 8, 8, 3))
  film = Image.open(io.BytesIO(page_images.strip(frames, 256, scale=1)))
  error = np.asarray(film.convert('RGB')).astype(int) - page_images.grid(frames[0], 256, scale=1)
  assert np.abs(error).mean() < 20
  with pytest.raises(ValueError, match=r'frames \[T, n, H, W, C\]'):
    page_images.strip(frames[0], 256)


def test_png_bytes_return_the_pixels_and_repeat_byte_for_byte():
  canvas = page_images.grid(digits(2), 17)
  np.testing.assert_array_equal(decoded(page_images.png_bytes(canvas)), canvas)
  first, second = (page_images.png_bytes(charts.per_block([1.0], ylabel='')) for _ in range(2))
  assert first == second
  with pytest.raises(ValueError, match='images.grid'):
    page_images.png_bytes(canvas / 255)
