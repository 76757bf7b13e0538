"""The convolutional classifier reads digits, and is the same one again after it was kept."""

import jax
import numpy as np
import pytest

from adiff.data import digits
from adiff.judge.metrics import convolutional
from adiff.nn import classifier


def images_of(split):
  found = digits.Digits().examples(split, slice(None))
  return found['example'], found['label']


@pytest.fixture(scope='module')
def reader():
  return convolutional.fit(*images_of('train'), *images_of('test'), seen=20_000)


def test_it_reads_digits_that_it_has_not_seen(reader):
  images, labels = images_of('test')
  shares = reader.probabilities(images)
  assert reader.accuracy == np.mean(reader.classes[shares.argmax(1)] == labels) > 0.95
  np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)
  assert '1,437 images' in reader.name and '8x8x1 in 10 classes' in reader.name


def test_an_image_is_read_by_itself_whatever_the_batch(reader, monkeypatch):
  images, _ = images_of('test')
  whole = reader.features(images)
  assert whole.shape == (360, classifier.HIDDEN) and whole.dtype == np.float64
  monkeypatch.setattr(convolutional, 'LOOKED', 50)  # of which 360 is no multiple
  np.testing.assert_allclose(reader.features(images), whole, rtol=1e-4, atol=1e-5)


def test_it_comes_back_from_its_arrays(reader):
  images, _ = images_of('test')
  again = convolutional.Convolutional.from_arrays(reader.name, reader.accuracy, reader.arrays())
  assert again.digest == reader.digest
  np.testing.assert_allclose(
    again.probabilities(images), reader.probabilities(images), rtol=1e-3, atol=1e-6)
  broken = {**reader.arrays(), 'bias_0': np.zeros(3, np.float32)}
  with pytest.raises(ValueError, match='do not fit together'):
    convolutional.Convolutional.from_arrays('', 0.0, broken)


def test_training_is_a_function_of_the_seed():
  images, labels = images_of('train')
  digests = [
    convolutional.fit(images[:64], labels[:64], images, labels, seed=seed, seen=640).digest
    for seed in (0, 0, 1)
  ]
  assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize('shape, convolutions', [
  ((8, 8, 1), 1), ((28, 28, 1), 2), ((32, 32, 3), 2), ((64, 40, 3), 3), ((256, 256, 3), 5),
])
def test_sides_are_halved_until_none_is_longer_than_eight(shape, convolutions):
  params = jax.eval_shape(lambda: classifier.init(jax.random.key(0), shape, 4))
  pictures = jax.ShapeDtypeStruct((2, *shape), np.float32)
  maps = jax.eval_shape(classifier.maps, params, pictures)
  assert len(maps) == convolutions and max(maps[-1].shape[1:3]) <= 8
  assert maps[-1].shape[-1] == min(24 * 2 ** (convolutions - 1), 96)


def test_shifts_move_what_is_seen_and_fill_in_the_edge():
  image = np.arange(16).reshape(1, 4, 4, 1).repeat(3, 0)
  moved = convolutional._shifted(image, np.array([[1, 1], [0, 1], [1, 2]]), 1)[..., 0]
  np.testing.assert_array_equal(moved[0], image[0, ..., 0])
  np.testing.assert_array_equal(moved[1], image[0, [0, 0, 1, 2], :, 0])
  np.testing.assert_array_equal(moved[2], image[0, :, :, 0][:, [1, 2, 3, 3]])


def test_images_without_labels_are_refused():
  images, labels = images_of('test')
  with pytest.raises(ValueError, match='use a labelled data set'):
    convolutional.fit(images, 0 * labels - 1, images, labels)
