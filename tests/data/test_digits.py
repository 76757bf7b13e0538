"""The 8x8 digits."""

import numpy as np
import pytest
from sklearn import datasets, model_selection

from adiff.codec import patches
from adiff.data import digits


@pytest.fixture(scope='module')
def source():
  return digits.Digits(patches.Patches(digits.SHAPE, levels=digits.LEVELS))


def test_splits_are_stratified_and_together_the_whole_set(source):
  assert (source.size('train'), source.size('test')) == (1437, 360)
  counts = np.stack([np.bincount(source.images(s)[1], minlength=10) for s in source.splits])
  np.testing.assert_allclose(counts[1] / counts.sum(0), 0.2, atol=0.01)


def test_images_and_splits_are_those_of_scikit_learn(source):
  data = datasets.load_digits()
  train, test, train_labels, test_labels = model_selection.train_test_split(
    data.images, data.target, test_size=0.2, stratify=data.target, random_state=0
  )
  for name, images, labels in (('train', train, train_labels), ('test', test, test_labels)):
    np.testing.assert_array_equal(source.images(name)[0][..., 0], images)
    np.testing.assert_array_equal(source.images(name)[1], labels)


def test_examples_decode_to_the_images_of_their_index(source):
  examples = source.examples('test', np.array([5, 0, 5]))
  images, labels = source.images('test')
  np.testing.assert_array_equal(source.spec.decode(examples['tokens']), images[[5, 0, 5]])
  np.testing.assert_array_equal(examples['label'], labels[[5, 0, 5]])
  assert examples['label'].dtype == np.int32
  assert source.spec.num_classes == 10
  assert source.spec.image_levels == 17


def test_nobody_can_change_the_shared_images(source):
  with pytest.raises(ValueError, match='read-only'):
    source.images('train')[0][0] = 0


def test_the_fingerprint_is_a_constant_of_the_data_and_not_of_the_codec(source):
  other = digits.Digits(patches.Patches(digits.SHAPE, patch=2, levels=digits.LEVELS))
  assert source.fingerprint == other.fingerprint
  assert len(source.fingerprint) == 16


def test_a_codec_for_other_images_is_refused(source):
  with pytest.raises(ValueError, match='digits.SHAPE'):
    digits.Digits(patches.Patches(digits.SHAPE))
  with pytest.raises(ValueError, match='train, test'):
    source.size('valid')
