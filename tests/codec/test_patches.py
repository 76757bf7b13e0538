"""Patches: a raster of tokens that decodes to what was encoded."""

import numpy as np
import pytest

from adiff.codec import base, patches
from adiff.sequence import spec


def some_images(shape, levels, num=5):
  return np.random.default_rng(0).integers(0, levels, (num, *shape)).astype(np.uint8)


@pytest.mark.parametrize('codec', [
    patches.Patches((8, 8, 1), levels=17),
    patches.Patches((8, 8, 1), levels=17, discrete=True),
    patches.Patches((4, 6, 3), patch=2),
], ids=str)
def test_decoding_returns_the_encoded_images(codec):
  images = some_images(codec.shape, codec.levels)
  decoded = codec.decode((), codec.encode((), images))
  np.testing.assert_array_equal(decoded, images)
  assert decoded.dtype == np.uint8


def test_float_tokens_are_patches_in_raster_order_scaled_to_one():
  codec = patches.Patches((4, 4, 1), patch=2, levels=17)
  image = np.arange(16).reshape(1, 4, 4, 1)
  tokens = codec.encode((), image)
  expected = np.array([[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]) / 8 - 1
  np.testing.assert_allclose(tokens[0], expected, atol=1e-7)
  assert tokens.dtype == np.float32
  facts = codec.spec(base.Facts('image', codec.shape, codec.levels))
  assert (facts.num_tokens, facts.grid, facts.dims) == (4, (2, 2), 16)
  assert facts.kind == spec.Vectors(4, 2 / 16)
  np.testing.assert_array_equal(codec.coords, [[0, 0], [0, 1], [1, 0], [1, 1]])


def test_discrete_tokens_are_the_pixels():
  codec = patches.Patches((2, 2, 1), levels=17, discrete=True)
  tokens = codec.encode((), np.array([[[[3], [16]], [[0], [5]]]]))
  np.testing.assert_array_equal(tokens, [[3, 16, 0, 5]])
  assert tokens.dtype == np.int32
  facts = codec.spec(base.Facts('image', codec.shape, codec.levels))
  assert (facts.kind, facts.dims) == (spec.Symbols(17), 4)


def test_decoding_rounds_and_clips_whatever_a_sampler_returns():
  codec = patches.Patches((1, 3, 1), levels=17)
  tokens = np.array([[[-7.0], [0.01], [1.4]]], np.float32)
  np.testing.assert_array_equal(codec.decode((), tokens)[0, 0, :, 0], [0, 8, 16])


def test_decoding_refuses_tokens_that_are_not_finite():
  with pytest.raises(ValueError, match='diverged'):
    patches.Patches((1, 1, 1)).decode((), np.full((1, 1, 1), np.nan))


@pytest.mark.parametrize('arguments, sentence', [
    (dict(shape=(8, 8, 1), patch=3), 'divides both sides'),
    (dict(shape=(8, 8, 3), discrete=True), 'discrete=False'),
    (dict(shape=(8, 8, 1), patch=2, discrete=True), 'patch=1'),
    (dict(shape=(8, 8, 1), levels=1), 'at least 2'),
])
def test_an_impossible_codec_is_refused_in_words(arguments, sentence):
  with pytest.raises(ValueError, match=sentence):
    patches.Patches(**arguments)


def test_images_of_another_shape_or_range_are_refused():
  codec = patches.Patches((2, 2, 1), levels=17)
  with pytest.raises(ValueError, match='shape'):
    codec.encode((), np.zeros((1, 3, 2, 1), np.uint8))
  with pytest.raises(ValueError, match='integer'):
    codec.encode((), np.zeros((1, 2, 2, 1), np.float32))
  with pytest.raises(ValueError, match='levels=18'):
    codec.encode((), np.full((1, 2, 2, 1), 17))


def test_equal_codecs_hash_equal_even_when_built_from_lists():
  assert hash(patches.Patches([8, 8, 1])) == hash(patches.Patches((8, 8, 1)))


def test_a_digest_tells_what_tokens_mean():
  codecs = [patches.Patches((4, 4, 1), **how) for how in (
    {}, {'patch': 2}, {'levels': 17}, {'discrete': True})]
  found = {codec.digest for codec in codecs}
  assert len(found) == len(codecs)
  assert patches.Patches([4, 4, 1]).digest in found
