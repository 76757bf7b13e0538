"""Frequencies: an orthonormal transform, ordered, standardised, and undone."""

import types

import numpy as np
import pytest
from scipy import fft

from adiff.codec import base, frequencies
from adiff.sequence import spec


def some_images(shape, levels, num=50):
  return np.random.default_rng(0).integers(0, levels, (num, *shape)).astype(np.uint8)


def source(images):
  return types.SimpleNamespace(
    splits=('train', 'test'), size=lambda split: len(images),
    examples=lambda split, indices: {'example': images[indices]},
  )


@pytest.mark.parametrize('num', [1, 2, 7, 28])
def test_the_transform_is_orthonormal_and_that_of_scipy(num):
  rows = frequencies.cosines(num)
  np.testing.assert_allclose(rows @ rows.T, np.eye(num), atol=1e-12)
  np.testing.assert_allclose(rows, fft.dct(np.eye(num), axis=0, norm='ortho'), atol=1e-12)


@pytest.mark.parametrize('codec', [
  frequencies.Frequencies((8, 8, 1), size=16, levels=17), frequencies.Frequencies((4, 6, 3)),
], ids=str)
def test_decoding_returns_the_encoded_images_with_moments_and_without(codec):
  images = some_images(codec.shape, codec.levels)
  for one in (codec, codec.fit(source(images))):
    tokens = one.encode((), images)
    np.testing.assert_array_equal(one.decode((), tokens), images)
    facts = one.spec(base.Facts('image', codec.shape, codec.levels))
    assert tokens.dtype == np.float32
    assert tokens.shape[1:] == (facts.num_tokens, facts.kind.dim)
    assert facts.kind == spec.Vectors(codec.size * codec.shape[2])
    assert facts.dims == np.prod(codec.shape)


def test_tokens_go_from_low_frequencies_to_high_ones():
  codec = frequencies.Frequencies((4, 4, 1), size=1, levels=17)
  rows, columns = np.unravel_index(codec.order, (4, 4))
  assert (np.diff(np.hypot(rows, columns)) >= 0).all() and len(set(codec.order)) == 16
  grey = codec.encode((), np.full((1, 4, 4, 1), 12))
  np.testing.assert_allclose(grey[0, :, 0], [2.0] + [0.0] * 15, atol=1e-6)  # 0.5 in 16 pixels
  board = 8 + 8 * (-1) ** np.indices((4, 4)).sum(0).reshape(1, 4, 4, 1)
  power = codec.encode((), board)[0, :, 0] ** 2
  assert power.argmax() == 15  # a chess board is nothing but the highest
  np.testing.assert_allclose(power.sum(), 16, rtol=1e-5)  # Parseval


def test_what_is_learnt_is_the_mean_and_deviation_of_every_frequency():
  images = some_images((4, 4, 1), 17)
  codec = frequencies.Frequencies((4, 4, 1), size=2, levels=17).fit(source(images))
  tokens = codec.encode((), images).reshape(len(images), 16)
  np.testing.assert_allclose(tokens.mean(0), 0, atol=2e-3)
  np.testing.assert_allclose(tokens.std(0), 1, atol=2e-3)
  assert codec.fit(None) == codec  # as a workdir tells it
  black = frequencies.Frequencies((2, 2, 1), levels=17).fit(source(np.zeros((9, 2, 2, 1), int)))
  assert min(black.std) > 0


@pytest.mark.parametrize('arguments, sentence', [
  (dict(shape=(8, 8, 1), size=5), 'write a divisor'),
  (dict(shape=(8, 8, 1), levels=1), 'at least 2'),
  (dict(shape=(2, 2, 1), mean=(0.0,)), r'codec\.mean has 1 numbers but an image 4 frequencies'),
  (dict(shape=(2, 2, 1), std=(1.0, 1.0, 1.0, 0.0)), 'std'),
])
def test_an_impossible_transform_is_refused_in_words(arguments, sentence):
  with pytest.raises(ValueError, match=sentence):
    frequencies.Frequencies(**arguments)
