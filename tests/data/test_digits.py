"""The 8x8 digits."""

import numpy as np
import pytest
from sklearn import datasets, model_selection

from adiff.codec import patches
from adiff.data import digits
from adiff.sequence import conditions, spec


@pytest.fixture(scope='module')
def source():
  return digits.Digits()


def images_of(source, split):
  found = source.examples(split, np.arange(source.size(split)))
  return found['example'], found['label']


def test_splits_are_stratified_and_together_the_whole_set(source):
  assert (source.size('train'), source.size('test')) == (1437, 360)
  counts = np.stack([np.bincount(images_of(source, s)[1], minlength=10) for s in source.splits])
  np.testing.assert_allclose(counts[1] / counts.sum(0), 0.2, atol=0.01)


def test_images_and_splits_are_those_of_scikit_learn(source):
  data = datasets.load_digits()
  train, test, train_labels, test_labels = model_selection.train_test_split(
    data.images, data.target, test_size=0.2, stratify=data.target, random_state=0
  )
  for name, images, labels in (('train', train, train_labels), ('test', test, test_labels)):
    np.testing.assert_array_equal(images_of(source, name)[0][..., 0], images)
    np.testing.assert_array_equal(images_of(source, name)[1], labels)


def test_examples_decode_to_the_images_of_their_index(source):
  coded = source.coded(patches.Patches(digits.SHAPE, patch=2, levels=digits.LEVELS))
  examples = coded.examples('test', np.array([5, 0, 5]))
  images, labels = images_of(source, 'test')
  np.testing.assert_array_equal(coded.decode(examples['tokens']), images[[5, 0, 5]])
  np.testing.assert_array_equal(examples['label'], labels[[5, 0, 5]])
  assert examples['label'].dtype == np.int32
  assert coded.spec.conds == {'label': conditions.Label(10)}
  assert coded.spec.kind == spec.Vectors(4, 2 / 16) and coded.spec.medium == 'image'


def test_nobody_can_change_the_shared_images(source):
  with pytest.raises(ValueError, match='read-only'):
    source.examples('train', slice(None))['example'][0] = 0


def test_the_fingerprint_is_a_constant_of_the_data_and_not_of_the_codec(source):
  codecs = [patches.Patches(digits.SHAPE, patch=n, levels=digits.LEVELS) for n in (1, 2)]
  assert {source.coded(codec).fingerprint for codec in codecs} == {source.fingerprint}
  assert len(source.fingerprint) == 16


def test_an_unknown_split_is_answered_with_the_names(source):
  with pytest.raises(ValueError, match='train, test'):
    source.size('valid')
