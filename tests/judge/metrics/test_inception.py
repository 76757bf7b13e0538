"""The FID Inception network with random weights: sizes, pinned features, and the reference's."""

import numpy as np
import pytest
import random_weights

from adiff.judge.metrics import inception
from adiff.nn import inception as network

# What torch-fidelity 0.4.0 finds with these weights and pictures: mean and deviation of all
# features, and the first ones of either picture.
MEAN, DEVIATION = 5.958824, 8.258023
FIRST = [[2.138715, 34.32945, 19.87029], [2.094845, 33.97099, 19.98725]]


@pytest.fixture(scope='module')
def weights():
  return random_weights.of(network.shapes())


@pytest.fixture(scope='module')
def pictures():
  return np.random.default_rng(1).integers(0, 256, (2, 40, 33, 3)).astype(np.uint8)


@pytest.fixture(scope='module')
def eyes(weights):
  return inception.of(weights, 256)


def test_the_network_has_the_parameters_of_the_published_one(weights):
  learnt = {name: one for name, one in weights.items() if 'running' not in name}
  assert sum(one.size for one in learnt.values()) == 21_785_568  # that of torch without its classes
  assert len(learnt) == 3 * 94


@pytest.mark.soak
def test_features_are_those_that_were_pinned(eyes, pictures):
  found = eyes.features(pictures)
  assert found.shape == (2, 2048) and found.dtype == np.float64
  np.testing.assert_allclose((found.mean(), found.std()), (MEAN, DEVIATION), rtol=1e-5)
  np.testing.assert_allclose(found[:, :3], FIRST, rtol=1e-4)


def test_features_are_those_of_torch_fidelity(weights, pictures, eyes, tmp_path):
  peer = pytest.importorskip(
    'torch_fidelity.feature_extractor_inceptionv3', reason='torch-fidelity is not installed')
  import torch  # which it stands on

  state = {name: torch.tensor(one) for name, one in weights.items()}
  state |= {name.replace('running_var', 'num_batches_tracked'): torch.tensor(0)
            for name in weights if name.endswith('running_var')}
  state |= {'fc.weight': torch.zeros(1008, 2048), 'fc.bias': torch.zeros(1008)}
  torch.save(state, tmp_path / 'weights.pth')
  theirs = peer.FeatureExtractorInceptionV3(
    'inception-v3-compat', ['2048'], feature_extractor_weights_path=tmp_path / 'weights.pth')
  with torch.no_grad():
    expected = theirs(torch.tensor(pictures).permute(0, 3, 1, 2))[0].numpy()
  np.testing.assert_allclose(eyes.features(pictures), expected, atol=2e-4, rtol=1e-4)
  np.testing.assert_allclose((expected.mean(), expected.std()), (MEAN, DEVIATION), rtol=1e-5)
  np.testing.assert_allclose(expected[:, :3], FIRST, rtol=1e-5)


def test_pictures_are_seen_one_by_one_in_colours_of_eight_bits(
  weights, eyes, pictures, monkeypatch
):
  monkeypatch.setattr(network, 'params', lambda weights: ())
  monkeypatch.setattr(inception, '_run', lambda params, shown: shown.reshape(len(shown), -1))
  monkeypatch.setattr(inception.Inception, 'batch', 2)
  shown = np.concatenate([pictures, pictures[:1]])
  np.testing.assert_array_equal(eyes.features(shown), shown.reshape(3, -1))
  grey = inception.of(weights, 17).features(np.full((1, 2, 2, 1), 16))
  np.testing.assert_array_equal(grey, np.full((1, 12), 255))


def test_pictures_are_enlarged_from_their_first_corner():
  row = np.asarray(network.enlarged(np.float32([[[[0.0], [3.0]]]]), 6))[0, 0, :, 0]
  np.testing.assert_allclose(row, [0, 1, 2, 3, 3, 3], atol=1e-6)


def test_features_come_back_from_their_arrays_and_the_classes_are_no_part_of_them(weights):
  eyes = inception.of({**weights, 'fc.weight': np.zeros((1008, 2048))}, 256)
  again = inception.Inception.from_arrays(eyes.name, None, eyes.arrays())
  assert again.digest == eyes.digest and again.weights.keys() == weights.keys()


def test_other_weights_and_other_pictures_are_refused(weights, eyes, pictures):
  with pytest.raises(ValueError, match='lack Conv2d_1a_3x3.conv.weight'):
    inception.of({'conv.weight': np.zeros(3)}, 256)
  with pytest.raises(ValueError, match=r'have \[4\] as Mixed_7c.branch_pool.bn.bias'):
    inception.of({**weights, 'Mixed_7c.branch_pool.bn.bias': np.zeros(4)}, 256)
  with pytest.raises(ValueError, match='1 or 3'):
    eyes.features(pictures[..., :2])
