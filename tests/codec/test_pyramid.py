"""Pyramids: average-pooled scales, coarse to fine."""

import numpy as np
import pytest

from adiff.codec import base, pyramid
from adiff.sequence import spec


def test_scales_are_block_means_and_the_finest_is_the_image():
  codec = pyramid.Pyramid((4, 4, 1), sides=(1, 2, 4), levels=17)
  image = np.arange(16).reshape(1, 4, 4, 1)
  tokens = (codec.encode((), image)[0, :, 0] + 1) * 8
  np.testing.assert_allclose(tokens[:5], [7.5, 2.5, 4.5, 10.5, 12.5], atol=1e-5)
  np.testing.assert_allclose(tokens[5:], np.arange(16), atol=1e-5)
  assert (codec.num_tokens, codec.sizes) == (21, (1, 4, 16))
  facts = codec.spec(base.Facts('image', codec.shape, codec.levels))
  assert (facts.kind, facts.dims) == (spec.Vectors(1, 2 / 16), 21)


@pytest.mark.parametrize('codec', [
    pyramid.Pyramid((8, 8, 3)),
    pyramid.Pyramid((8, 8, 1), levels=17, discrete=True),
], ids=str)
def test_decoding_returns_the_encoded_images(codec):
  images = np.random.default_rng(0).integers(0, codec.levels, (3, *codec.shape))
  tokens = codec.encode((), images)
  assert tokens.shape[1] == codec.num_tokens == len(codec.coords)
  np.testing.assert_array_equal(codec.decode((), tokens), images)


def test_discrete_scales_are_rounded_to_a_level():
  codec = pyramid.Pyramid((2, 2, 1), sides=(1, 2), levels=17, discrete=True)
  tokens = codec.encode((), np.array([[[[1], [2]], [[2], [2]]]]))
  np.testing.assert_array_equal(tokens, [[2, 1, 2, 2, 2]])
  assert tokens.dtype == np.int32
  facts = codec.spec(base.Facts('image', codec.shape, codec.levels))
  assert facts.kind == spec.Symbols(17)


def test_coordinates_are_scale_and_centre_in_pixels_of_the_image():
  codec = pyramid.Pyramid((4, 4, 1), sides=(1, 2, 4))
  assert codec.coords.dtype == np.int32
  np.testing.assert_array_equal(
      codec.coords[:6], [[0, 1, 1], [1, 0, 0], [1, 0, 2], [1, 2, 0], [1, 2, 2], [2, 0, 0]])
  np.testing.assert_array_equal(codec.coords[-1], [2, 3, 3])


@pytest.mark.parametrize('arguments, sentence', [
    (dict(shape=(8, 4, 1)), 'square'),
    (dict(shape=(8, 8, 1), sides=(1, 2, 4)), 'append 8'),
    (dict(shape=(8, 8, 1), sides=(1, 3, 8)), 'divide'),
    (dict(shape=(8, 8, 1), sides=(4, 2, 8)), 'coarse to fine'),
    (dict(shape=(8, 8, 3), discrete=True), 'channels'),
])
def test_impossible_sides_are_refused_in_words(arguments, sentence):
  with pytest.raises(ValueError, match=sentence):
    pyramid.Pyramid(**arguments)
