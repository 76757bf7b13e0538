"""Data at another size."""

import jax
import numpy as np
import pytest

from adiff.codec import controlled, frequencies, joint, none, patches
from adiff.data import base, chain, coupled, digits, drawn, shapes, sized

INDICES = np.arange(6)


def of(source, codec):
  return base.Encoded(source, codec)


def pictures(control=('edges',)):
  """Pictures of shapes, 32 x 32, with a map."""
  source = drawn.Drawn(size=64)
  return of(source, controlled.Controlled(source.facts.shape, control=control))


def test_at_its_own_size_data_is_what_it_was():
  coded = pictures()
  same = sized.at(coded, (32, 32))
  jax.tree.map(
    np.testing.assert_array_equal, *(one.examples('test', INDICES) for one in (coded, same))
  )
  np.testing.assert_array_equal(same.spec.coords, coded.spec.coords)


@pytest.mark.parametrize('sides', [(16, 16), (24, 48), (64, 40)])
def test_pictures_are_stretched_and_their_tokens_are_read_back(sides):
  coded = pictures()
  other, own = sized.at(coded, sides), coded.source.examples('test', INDICES)['example']
  found = other.examples('test', INDICES)
  stretched = other.source.examples('test', INDICES)['example']
  assert stretched.shape == (6, *sides, 3) and other.spec.dims == stretched[0].size
  np.testing.assert_array_equal(other.decode(found['tokens']), stretched)
  np.testing.assert_allclose(stretched.mean((1, 2)), own.mean((1, 2)), atol=2.5)
  told = other.codec.asked('edges', other.codec.maps(stretched)['edges'])
  np.testing.assert_array_equal(found['edges'], told)
  assert other.fingerprint != coded.fingerprint


def test_levels_of_digits_stay_levels_and_labels_stay_with_them():
  source = digits.Digits()
  codec = patches.Patches(source.facts.shape, 2, levels=source.facts.levels)
  coded = of(source, codec)
  found, own = (one.examples('test', INDICES) for one in (sized.at(coded, (12, 16)), coded))
  assert found['tokens'].shape == (6, 48, 4) and np.abs(found['tokens']).max() <= 1
  np.testing.assert_array_equal(found['label'], own['label'])


def test_of_captioned_pictures_the_captions_stay():
  source = shapes.Shapes(size=64)
  facts = source.facts.parts
  codec = joint.Joint({
    'text': none.AsTheyAre(), 'image': patches.Patches(facts['image'].shape, 4),
  })
  coded = of(source, codec)
  found, own = (
    one.examples('test', INDICES)['tokens'] for one in (sized.at(coded, (16, 24)), coded)
  )
  np.testing.assert_array_equal(found.parts['text'], own.parts['text'])
  assert found.parts['image'].shape == (6, 24, 48) and own.parts['image'].shape == (6, 64, 48)


@pytest.mark.parametrize('coded, sides, words', [
  (lambda: of(chain.Chain(), none.AsTheyAre()), (8, 8), 'of pictures of at most 256 levels, and'),
  (lambda: of(coupled.Coupled(), none.AsTheyAre()), (8, 8), 'of pictures of at most 256 levels'),
  (pictures, (30, 32), 'patches of 4 pixels do not tile an image of 30 x 32'),
  (lambda: of(drawn.Drawn(), frequencies.Frequencies((32, 32, 3))), (32, 64),
   'the codec Frequencies makes tokens of pictures of one'),
])
def test_what_has_no_other_size_is_told_in_a_sentence(coded, sides, words):
  with pytest.raises(ValueError, match=words):
    sized.at(coded(), sides)
