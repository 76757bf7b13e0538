"""LPIPS is its formula, and takes the weights of the package lpips."""

import jax
import numpy as np
import pytest
import vgg

from adiff.nn import lpips


def defined(weights, x, y):
  """The distance of two pictures [H, W, 3], as the paper has it."""
  def stages(picture):
    h = (picture - [-0.030, -0.088, -0.188]) / [0.458, 0.448, 0.450]
    for number, places in enumerate(lpips.STAGES):
      if number:
        h = h.reshape(len(h) // 2, 2, -1, 2, h.shape[-1]).max((1, 3))
      for place in places:
        name, size = f'net.slice{number + 1}.{place}', len(h)
        padded = np.pad(h, ((1, 1), (1, 1), (0, 0)))
        h = sum(
          padded[i:i + size, j:j + size] @ weights[f'{name}.weight'][:, :, i, j].T
          for i in range(3) for j in range(3)
        )
        h = np.maximum(h + weights[f'{name}.bias'], 0)
      yield h / (np.sqrt(np.sum(h**2, -1, keepdims=True)) + 1e-10)

  return sum(
    np.mean((one - other) ** 2 @ weights[f'lin{number}.model.1.weight'].ravel())
    for number, (one, other) in enumerate(zip(stages(x), stages(y), strict=True))
  )


def test_it_is_the_formula_of_the_paper_and_has_a_gradient():
  weights, (x, y) = vgg.published(), np.random.default_rng(1).uniform(-1, 1, (2, 1, 16, 16, 3))
  wanted = defined(weights, x[0], y[0])
  x, y = np.float32(x), np.float32(y)
  pull = jax.jit(jax.value_and_grad(lambda y: lpips.distance(lpips.of(weights), x, y)))
  found, slope = pull(y)
  assert wanted > 0.01
  np.testing.assert_allclose(found, wanted, rtol=1e-4)
  assert np.all(np.isfinite(slope)) and np.any(slope)


@pytest.mark.parametrize('name, array, words', [
  ('net.slice1.0.bias', None, 'lack net.slice1.0.bias of 1 axes'),
  ('net.slice2.5.weight', np.zeros((3, 3, 3, 3)), r'is \[3, 3, 3, 3\], not \[3, 2, 3, 3\]'),
  ('lin4.model.1.weight', np.zeros((1, 9, 1, 1)), r'is \[1, 9, 1, 1\], not \[1, 2, 1, 1\]'),
])
def test_weights_of_another_network_are_refused(name, array, words):
  weights = {key: one for key, one in vgg.published().items() if key != name or array is not None}
  if array is not None:
    weights[name] = array
  with pytest.raises(ValueError, match=words):
    lpips.of(weights)
