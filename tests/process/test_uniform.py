"""Uniform noise on symbols against Bayes' rule, worked out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.process import uniform

PROCESS = uniform.Uniform(3)
PRIOR = np.array([0.2, 0.3, 0.5])


def channel(t):
  """q(xt = y | x0 = x) [x, y]."""
  return (1 - t) * np.eye(3) + t / 3


def many(value, num=20_000):
  return jnp.full((num, 1), value)


def test_noise_is_the_channel():
  x0 = many(1)
  xt = np.asarray(PROCESS.add_noise(jax.random.key(0), x0, many(0.6)))
  share = np.bincount(xt.reshape(-1), minlength=3) / len(xt)
  np.testing.assert_allclose(share, channel(0.6)[1], atol=0.015)


def test_the_estimate_adds_the_evidence_of_the_token_itself():
  out = jnp.log(jnp.asarray(PRIOR, jnp.float32))[None, None]
  estimate = PROCESS.x0_hat(out, jnp.array([[2]]), jnp.array([[0.4]]))[0, 0]
  joint = PRIOR * channel(0.4)[:, 2]
  np.testing.assert_allclose(estimate, joint / joint.sum(), rtol=1e-5)


def test_a_step_of_the_exact_network_follows_the_exact_posterior():
  t, s = 0.9, 0.35
  out = jnp.broadcast_to(jnp.log(jnp.asarray(PRIOR, jnp.float32)), (20_000, 1, 3))
  xs = np.asarray(PROCESS.step(jax.random.key(0), out, many(0), many(t), many(s)))
  between = channel(1 - (1 - t) / (1 - s))
  posterior = PRIOR @ channel(s) * between[:, 0]
  share = np.bincount(xs.reshape(-1), minlength=3) / len(xs)
  np.testing.assert_allclose(share, posterior / posterior.sum(), atol=0.015)


def test_a_step_from_one_to_zero_samples_the_law_of_the_network():
  out = jnp.broadcast_to(jnp.log(jnp.asarray(PRIOR, jnp.float32)), (20_000, 1, 3))
  xs = np.asarray(PROCESS.step(jax.random.key(0), out, many(0), many(1.0), many(0.0)))
  share = np.bincount(xs.reshape(-1), minlength=3) / len(xs)
  np.testing.assert_allclose(share, PRIOR, atol=0.015)


def test_the_loss_is_zero_for_the_right_answer_and_positive_for_others():
  xt, t = jnp.array([[0, 1]]), jnp.array([[0.3, 0.8]])
  x0 = jnp.array([[0, 2]])
  sure = 50 * jax.nn.one_hot(x0, 3)
  np.testing.assert_allclose(PROCESS.loss(sure, x0, xt, t), 0, atol=1e-5)
  assert np.all(np.asarray(PROCESS.loss(jnp.zeros((1, 2, 3)), x0, xt, t)) > 0.01)


def test_losses_are_finite_at_both_ends():
  ends = jnp.array([[0.0, 1e-6, 1.0, 1.0 - 1e-7]])
  x0, out = jnp.array([[0, 1, 2, 0]]), jnp.ones((1, 4, 3))
  cost = lambda out: jnp.sum(PROCESS.loss(out, x0, jnp.array([[0, 1, 2, 1]]), ends))
  value, grads = jax.value_and_grad(cost)(out)
  assert np.isfinite(value) and np.all(np.isfinite(grads))


@pytest.mark.parametrize('objective', ['cross_entropy', 'bound'])
def test_both_objectives_are_least_at_the_true_law(objective):
  process = uniform.Uniform(3, objective=objective)
  law = np.array([0.6, 0.3, 0.1], np.float32)
  x0, xt = (jnp.asarray(axis.reshape(1, -1)) for axis in np.mgrid[:3, :3].astype(np.int32))

  def expected(logits, level):
    """The mean over x0 ~ law and xt ~ q(xt | x0)."""
    t = jnp.full(x0.shape, level)
    weight = law[x0] * jnp.where(x0 == xt, 1 - 2 * level / 3, level / 3)
    out = jnp.broadcast_to(logits, (*x0.shape, 3))
    return jnp.sum(weight * process.loss(out, x0, xt, t))

  for level in (0.1, 0.5, 0.9):
    slope = jax.grad(expected)(jnp.log(law), level)
    np.testing.assert_allclose(slope, 0, atol=2e-6)
    assert expected(jnp.log(law), level) < expected(jnp.zeros(3), level)
