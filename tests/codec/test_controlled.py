"""Conditions that a codec makes of pictures: told to the tokens whose pixels they are of."""

import numpy as np
import pytest

from adiff.codec import controlled, patches
from adiff.data import digits
from adiff.run import encode

SHAPE = (8, 12, 3)
CODEC = controlled.Controlled(SHAPE, patch=4, control=('edges', 'layout', 'low'), factor=2)


def pictures(num=3):
  return np.random.default_rng(0).integers(0, 256, (num, *SHAPE)).astype(np.uint8)


def test_a_token_is_told_the_part_of_the_map_that_lies_in_its_patch():
  for name, map_ in CODEC.maps(pictures()).items():
    told, side = CODEC.asked(name, map_), 2 if name == 'low' else 4
    scaled = patches.to_unit(map_, levels=256) if name == 'low' else map_
    for token, (row, column) in enumerate(np.ndindex(2, 3)):
      own = scaled[:, row * side:(row + 1) * side, column * side:(column + 1) * side]
      np.testing.assert_array_equal(told[:, token], own.reshape(3, -1))
    np.testing.assert_array_equal(CODEC.asked(name, map_[0]), told[0])
    np.testing.assert_array_equal(CODEC.asked(name, told), told)  # as tokens are told it already


@pytest.mark.parametrize('low', [-1.0, 256.0, np.nan, 'shares'])
def test_a_low_resolution_is_one_of_levels(low):
  shares = CODEC.maps(pictures())['low'] / 255
  with pytest.raises(ValueError, match='low resolution has values .*; write levels of 0 to 255'):
    CODEC.asked('low', shares if low == 'shares' else np.full(shares.shape, low))


def test_examples_of_a_source_have_the_conditions_of_their_pictures():
  source = digits.Digits()
  codec = controlled.Controlled((8, 8, 1), patch=4, control=('low',), factor=4, levels=17)
  coded, real = source.coded(codec), source.examples('test', np.arange(4))['example']
  found = coded.examples('test', np.arange(4))
  assert coded.spec.further['low'].shape(4) == (4, 1)
  means = found['tokens'].mean(-1, keepdims=True)
  np.testing.assert_allclose(found['low'], means, atol=1e-6)
  np.testing.assert_array_equal(coded.decode(found['tokens']), real)


@pytest.mark.parametrize('arguments, words', [
  (dict(patch=5), 'patches of 5 pixels do not tile'),
  (dict(control=()), 'must name some of edges, layout, low, each once'),
  (dict(control=('edges', 'depth')), 'must name some of edges, layout, low'),
  (dict(control=('low',), factor=3), 'codec.factor=3 leaves no whole pixels.*write a divisor'),
])
def test_maps_that_cannot_be_made_are_refused(arguments, words):
  with pytest.raises(ValueError, match=words):
    controlled.Controlled(SHAPE, **arguments)


def test_tokens_without_their_pictures_would_lack_the_conditions_and_are_refused():
  source = digits.Digits()
  codec = controlled.Controlled((8, 8, 1), patch=4, levels=17)
  with pytest.raises(ValueError, match='makes the condition edges of each picture'):
    encode._check_conds('runs/edges', codec, source.facts)
