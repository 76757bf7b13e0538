"""Resampling around given tokens: its law on normal data is known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.process import gaussian, masked
from adiff.sample import repaint
from adiff.sample.solvers import first_order
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import copies, started
from adiff.sequence import plan as plan_lib

SIGMA = np.array([[1, 0.8, 0.5], [0.8, 1, 0.7], [0.5, 0.7, 1]])  # of three tokens of mean 0
KNOWN, DATA = np.array([True, False, False]), np.array([1.5, 0, 0])
PROCESS = gaussian.Gaussian(1, prediction='x0', clip=0.0)
BLOCKS = blocks_lib.whole(3, history=None)
NUM = 16384


def exact(ask):
  """E[x0 | xt] = alpha Sigma (alpha^2 Sigma + sigma^2)^-1 xt of tokens at one level."""
  t = copies.levels(ask.t, ask.slots)[0, 0]
  alpha, sigma = (scale[0, 0] for scale in PROCESS.scales(t[None]))
  law = jnp.asarray(SIGMA, ask.x.dtype)
  gain = alpha * law @ jnp.linalg.inv(alpha**2 * law + sigma**2 * jnp.eye(3))
  return jnp.einsum('ij,bjd->bid', gain, ask.x)


def law(plan):
  """(mean [3], covariance [3, 3]) before given tokens are put back: every step of a round is affine
  in x, and its noise is normal."""
  scales = lambda t: (np.cos(np.pi / 2 * t), np.sin(np.pi / 2 * t))
  mean, covariance, levels = np.zeros(3), np.eye(3), plan.matrix[:, 0].astype(float)
  for t, s in zip(levels[:-1], levels[1:], strict=True):
    (a_t, s_t), (a_s, s_s) = scales(t), scales(s)
    gain = a_t * SIGMA @ np.linalg.inv(a_t**2 * SIGMA + s_t**2 * np.eye(3))
    step = s_s / s_t * np.eye(3) + (a_s - a_t * s_s / s_t) * gain
    for left in reversed(range(1 + plan.resamples)):
      mean, covariance = step @ mean, step @ covariance @ step.T
      mean = np.where(KNOWN, a_s * DATA, mean)
      covariance = covariance * np.outer(~KNOWN, ~KNOWN) + np.diag(np.where(KNOWN, s_s**2, 0))
      if left:
        ratio = a_t / a_s
        fresh = s_t**2 - (ratio * s_s) ** 2
        mean, covariance = ratio * mean, ratio**2 * covariance + fresh * np.eye(3)
  return mean, covariance


def conditional():
  """(mean, covariance) of the unknown tokens given the known one."""
  weights = SIGMA[~KNOWN][:, KNOWN] / SIGMA[KNOWN][:, KNOWN]
  return weights @ DATA[KNOWN], SIGMA[~KNOWN][:, ~KNOWN] - weights @ SIGMA[KNOWN][:, ~KNOWN]


def nats(plan):
  """KL of the law of a plan from the conditional one."""
  (mean, covariance), (wanted, true) = law(plan), conditional()
  own, inverse = covariance[~KNOWN][:, ~KNOWN], np.linalg.inv(true)
  off = mean[~KNOWN] - wanted
  logs = np.linalg.slogdet(true)[1] - np.linalg.slogdet(own)[1]
  return 0.5 * (np.trace(inverse @ own) + off @ inverse @ off - len(off) + logs)


def plan_of(steps, resamples):
  return started.Started(1, steps, spacing=plan_lib.power(2.0), resamples=resamples)


def test_samples_follow_the_law_and_given_tokens_are_bit_for_bit_what_they_are():
  plan = plan_of(4, 2)
  given = jnp.broadcast_to(jnp.asarray(DATA, jnp.float32)[None, :, None], (NUM, 3, 1))
  known = jnp.broadcast_to(jnp.asarray(KNOWN)[None], (NUM, 3))

  @jax.jit
  def run(keys):
    return repaint.sample(
      ask_lib.from_outputs(exact), keys, plan, given, known, blocks=BLOCKS, process=PROCESS,
      solver=first_order.FirstOrder(), coords=np.arange(3)[:, None])

  x = np.asarray(run(jax.random.split(jax.random.key(3), NUM)))[..., 0]
  np.testing.assert_array_equal(x[:, KNOWN], DATA[None, KNOWN].astype(np.float32).repeat(NUM, 0))
  mean, covariance = (np.asarray(one)[~KNOWN] for one in law(plan))
  covariance, own = covariance[:, ~KNOWN], x[:, ~KNOWN].astype(float)
  spread = np.sqrt(np.diag(covariance) / NUM)
  assert np.all(np.abs(own.mean(0) - mean) < 4 * spread)
  error = np.sqrt((np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / NUM)
  assert np.all(np.abs(np.cov(own.T) - covariance) < 4 * error)


def test_the_law_tends_to_the_conditional_one_as_steps_and_resamples_grow_together():
  far = [nats(plan_of(*one)) for one in ((32, 0), (8, 10), (32, 10), (128, 100))]
  np.testing.assert_allclose(far, [0.782, 0.085, 0.028, 0.0013], atol=1e-3)
  # More steps alone change nothing; to resample large steps narrows the law.
  assert nats(plan_of(128, 0)) > 0.75 and nats(plan_of(8, 100)) > nats(plan_of(8, 10))


@pytest.mark.parametrize('blocks, process, words', [
  (blocks_lib.equal(4, 2), PROCESS, 'these are 2 of floats'),
  (BLOCKS, masked.Masked(3), 'these are 1 of symbols; write resamples=0'),
])
def test_what_cannot_be_resampled_is_refused(blocks, process, words):
  with pytest.raises(ValueError, match=words):
    repaint.check(blocks, process)
