"""The nearest vector, its loss and its gradients."""

import cases
import jax
import numpy as np
import pytest

from adiff.nn.quantisers import vq


def unit(z):
  return z / np.linalg.norm(z, axis=-1, keepdims=True)


def test_codes_are_the_nearest_vectors_and_the_losses_those_of_the_papers():
  of, _, extra, z, made, *_ = cases.case('vq')
  vectors = np.asarray(extra['vectors'], np.float64)
  rows = np.asarray(z, np.float64).reshape(-1, 3)
  squared = ((rows[:, None] - vectors[None]) ** 2).sum(-1)
  codes = squared.argmin(-1)
  np.testing.assert_array_equal(made.codes.reshape(-1), codes)
  expected = of.commitment * ((rows - vectors[codes]) ** 2).mean()
  np.testing.assert_allclose(made.losses['commitment'], expected, rtol=1e-5)
  p = np.exp(-squared / of.temperature)
  p /= p.sum(-1, keepdims=True)
  each, mean = -(p * np.log(p)).sum(-1).mean(), -(p.mean(0) * np.log(p.mean(0))).sum()
  np.testing.assert_allclose(made.losses['entropy'], of.entropy * (each - mean), rtol=1e-4)


def test_with_cosine_the_direction_alone_counts():
  of, params, extra, z, made, *_ = cases.case('vq, cosine')
  np.testing.assert_allclose(np.linalg.norm(extra['vectors'], axis=-1), 1, rtol=1e-5)
  directions = unit(np.asarray(z, np.float64)).reshape(-1, 3)
  codes = (directions @ np.asarray(extra['vectors'], np.float64).T).argmax(-1)
  np.testing.assert_array_equal(made.codes.reshape(-1), codes)
  again, *_ = cases.everything('vq, cosine')(params, extra, 7 * z, jax.random.key(13))
  np.testing.assert_array_equal(again.codes, made.codes)
  error = ((directions - np.asarray(extra['vectors'])[codes]) ** 2).mean()
  np.testing.assert_allclose(made.losses['commitment'], of.commitment * error, rtol=1e-5)


@pytest.mark.parametrize('name', ['vq', 'vq, cosine'])
def test_every_code_is_that_of_its_own_vector(name):
  of, _, extra, *_ = cases.case(name)
  every = np.arange(of.vocab, dtype=np.int32)[None]
  back = lambda codes: of.codes_of({}, extra, of.dequantise({}, extra, codes, (of.vocab,)))
  np.testing.assert_array_equal(jax.jit(back)(every), every)


def test_the_rotated_gradient_is_turned_and_scaled_as_z_is_on_its_way_to_the_code():
  z, e, gradient = np.random.default_rng(0).normal(size=(3, 5, 4))
  @jax.jit
  def run(z, e, gradient):
    found, pull_back = jax.vjp(lambda z: vq.rotated(z, e), z)
    return found, *pull_back(gradient)

  found, passed = run(*map(np.float32, (z, e, gradient)))
  np.testing.assert_allclose(found, e, atol=1e-5)
  for row in range(5):
    start, end = unit(z[row]), unit(e[row])
    w = unit(start + end)
    rotation = np.eye(4) - 2 * np.outer(w, w) + 2 * np.outer(end, start)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(4), atol=1e-12)
    scaled = rotation * np.linalg.norm(e[row]) / np.linalg.norm(z[row])
    np.testing.assert_allclose(passed[row], scaled.T @ gradient[row], rtol=1e-4, atol=1e-5)
