"""Schedules, predictions and steps of gaussian noise against closed forms."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.process import gaussian

SCHEDULES = tuple(gaussian.SCHEDULES)
PAIRS = [
  (schedule, prediction)
  for schedule, prediction in itertools.product(SCHEDULES, gaussian.PREDICTIONS)
  if not (prediction == 'eps' and gaussian.SCHEDULES[schedule][2])
]
T = jnp.array([[0.05, 0.3, 0.6, 0.9]])
X0 = jax.random.normal(jax.random.key(0), (1, 4, 2))
XT = jax.random.normal(jax.random.key(1), (1, 4, 2))


@pytest.mark.parametrize('schedule', SCHEDULES)
def test_schedules_run_from_data_to_noise(schedule):
  alpha, sigma = gaussian.SCHEDULES[schedule][0](jnp.array([0.0, 1.0]))
  np.testing.assert_allclose(alpha[0], 1, atol=1e-6)
  np.testing.assert_allclose(sigma, [0, 1], atol=1e-4)
  t = jnp.linspace(0.001, 1, 50)
  assert np.all(np.diff(gaussian.SCHEDULES[schedule][0](t)[0]) < 0)
  assert np.all(np.diff(gaussian.SCHEDULES[schedule][0](t)[1]) > 0)


@pytest.mark.parametrize('schedule', SCHEDULES)
def test_the_log_snr_finds_its_level_again(schedule):
  forward, back, _ = gaussian.SCHEDULES[schedule]
  t = jnp.linspace(0.02, 0.98, 20)
  alpha, sigma = forward(t)
  np.testing.assert_allclose(back(2 * jnp.log(alpha / sigma)), t, atol=2e-4)


@pytest.mark.parametrize('schedule, prediction', PAIRS)
def test_the_right_answer_has_no_loss_and_gives_x0_back(schedule, prediction):
  process = gaussian.Gaussian(2, schedule=schedule, prediction=prediction, clip=0.0)
  alpha, sigma = process.scales(T)
  eps = (XT - alpha * X0) / sigma
  out = {
    'x0': X0,
    'eps': eps,
    'v': alpha * eps - sigma * X0,
    'flow': eps - X0,
  }[prediction]
  if prediction == 'v' and schedule == 'flow':
    pytest.skip('v has its textbook form only where alpha^2 + sigma^2 = 1')
  np.testing.assert_allclose(process.x0_hat(out, XT, T), X0, atol=2e-4)
  np.testing.assert_allclose(process.loss(out, X0, XT, T), 0, atol=1e-6)


@pytest.mark.parametrize('schedule, prediction', PAIRS)
def test_the_error_of_x0_is_the_scaled_error_of_the_prediction(schedule, prediction):
  process = gaussian.Gaussian(2, schedule=schedule, prediction=prediction, clip=0.0)
  out = jax.random.normal(jax.random.key(2), X0.shape)
  scale = process.x0_hat(jnp.ones_like(X0), jnp.zeros_like(X0), T)[..., 0]
  error = jnp.mean((process.x0_hat(out, XT, T) - X0) ** 2, axis=-1)
  np.testing.assert_allclose(error, scale**2 * process.loss(out, X0, XT, T), rtol=1e-3)


@pytest.mark.parametrize('schedule, prediction', PAIRS)
@pytest.mark.parametrize('weight, above', [('min_snr', np.square), ('velocity', np.ones_like)])
def test_the_error_of_x0_is_weighed_by_the_clipped_snr_or_as_that_of_the_velocity(
  schedule, prediction, weight, above
):
  process = gaussian.Gaussian(
    2, schedule=schedule, prediction=prediction, weight=weight, gamma=5.0, clip=0.0
  )
  out = jax.random.normal(jax.random.key(2), X0.shape)
  alpha, sigma = (np.asarray(part[..., 0]) for part in process.scales(T))
  expected = np.minimum(above(alpha) / sigma**2, 5.0)
  error = jnp.mean((process.x0_hat(out, XT, T) - X0) ** 2, axis=-1)
  np.testing.assert_allclose(process.loss(out, X0, XT, T), expected * error, rtol=1e-3)


@pytest.mark.parametrize('schedule, prediction', [('cosine', 'v'), ('flow', 'flow')])
def test_unbounded_the_weight_velocity_is_the_loss_of_those_who_predict_it(schedule, prediction):
  plain = gaussian.Gaussian(2, schedule=schedule, prediction=prediction)
  weighed = gaussian.Gaussian(
    2, schedule=schedule, prediction='x0', weight='velocity', gamma=1e6, clip=0.0
  )
  out = jax.random.normal(jax.random.key(2), X0.shape)
  np.testing.assert_allclose(
    weighed.loss(plain.x0_hat(out, XT, T), X0, XT, T), plain.loss(out, X0, XT, T), rtol=1e-3
  )


@pytest.mark.parametrize('schedule', SCHEDULES)
@pytest.mark.parametrize('eta', [0.0, 0.5, 1.0])
def test_with_x0_known_a_step_lands_on_the_marginal(schedule, eta):
  process = gaussian.Gaussian(1, schedule=schedule, prediction='x0', eta=eta, clip=0.0)
  shape = (40_000, 1)
  x0, t, s = jnp.full((*shape, 1), 0.7), jnp.full(shape, 0.8), jnp.full(shape, 0.3)
  xt = process.add_noise(jax.random.key(0), x0, t)
  xs = np.asarray(process.step(jax.random.key(1), x0, xt, t, s))
  alpha, sigma = (float(part[0, 0, 0]) for part in process.scales(s))
  np.testing.assert_allclose(xs.mean(), alpha * 0.7, atol=0.02)
  np.testing.assert_allclose(xs.std(), sigma, rtol=0.02)


def test_the_deterministic_step_of_flow_is_eulers():
  process = gaussian.Gaussian(2, schedule='flow', prediction='flow', clip=0.0)
  out, s = jax.random.normal(jax.random.key(2), X0.shape), T / 2
  expected = XT + (s - T)[..., None] * out
  np.testing.assert_allclose(
    process.step(jax.random.key(0), out, XT, T, s), expected, atol=1e-5
  )


def test_an_ancestral_step_from_pure_noise_is_finite_and_to_zero_is_the_estimate():
  process = gaussian.Gaussian(2, prediction='x0', eta=1.0, clip=0.0)
  one, zero = jnp.ones((1, 4)), jnp.zeros((1, 4))
  assert np.all(np.isfinite(process.step(jax.random.key(0), X0, XT, one, T)))
  np.testing.assert_allclose(process.step(jax.random.key(0), X0, XT, T, zero), X0, atol=1e-5)


def test_a_temperature_scales_the_noise_that_is_added_and_nothing_else():
  x0, xt = (jax.random.normal(jax.random.key(i), (2, 3, 2)) for i in range(2))
  t, s = jnp.full((2, 3), 0.7), jnp.full((2, 3), 0.4)
  whole, half, none = (
    gaussian.Gaussian(2, clip=0.0, eta=1.0, temperature=value) for value in (1.0, 0.5, 0.0)
  )
  (mean, deviation), (same, smaller) = (one.reverse(x0, xt, t, s) for one in (whole, half))
  np.testing.assert_array_equal(mean, same)
  np.testing.assert_allclose(smaller, 0.5 * deviation, rtol=1e-6)
  made = none.step(jax.random.key(3), xt, xt, t, s)
  np.testing.assert_array_equal(made, none.reverse(none.estimate(xt, xt, t), xt, t, s)[0])


def test_the_estimate_is_clipped_where_asked():
  process = gaussian.Gaussian(2, prediction='x0', clip=0.5)
  assert float(jnp.max(jnp.abs(process.estimate(3 * X0, XT, T)))) == 0.5


@pytest.mark.parametrize('arguments, words', [
  (dict(prediction='eps'), 'prediction=v'),
  (dict(schedule='quadratic'), 'choose one of cosine'),
  (dict(prediction='score'), 'prediction'),
  (dict(weight='snr'), 'weight'),
  (dict(eta=2.0), 'eta'),
])
def test_what_cannot_work_is_refused_in_words(arguments, words):
  with pytest.raises(ValueError, match=words):
    gaussian.Gaussian(2, **arguments, clip=0.0)


def test_on_a_lattice_wide_against_the_noise_the_reconstruction_is_free():
  process = gaussian.Gaussian(2, bin=1.0, log_snr=(-10.0, 9.0), clip=0.0)
  one_by_one = gaussian.Gaussian(2, bin=1e-3, log_snr=(-10.0, 9.0), clip=0.0)
  known = jnp.full((1, 4, 2), 0.0)
  t = jnp.full((1, 4), 0.5)
  # A fine lattice is a density times its step: the two descriptions differ by -log(bin).
  density = gaussian.Gaussian(2, log_snr=(-10.0, 9.0), clip=0.0)
  nats = lambda p: float(jnp.sum(p.bound(jnp.zeros_like(known), known, known, t)))
  np.testing.assert_allclose(nats(one_by_one) - nats(density), 8 * -np.log(1e-3), rtol=1e-4)
  assert nats(process) < nats(one_by_one) and process._reconstruction(np.exp(-4.5)) < 1e-6
