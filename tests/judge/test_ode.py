"""The density by the probability-flow ODE, against laws whose density is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.data import mixture as mixture_lib
from adiff.judge import likelihood, ode
from adiff.process import gaussian
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib

MIXTURE = mixture_lib.Mixture(num_tokens=4, dim=1)
COORDS = np.arange(4)[:, None]


def drawn(size, schedule='cosine', prediction='v', num=192, samples=4):
  """(nats [samples, num] of the exact denoiser, exact nats [num])."""
  process = gaussian.Gaussian(1, schedule=schedule, prediction=prediction, clip=0.0)
  blocks = blocks_lib.equal(4, size)
  x0, _ = MIXTURE.sample(num, seed=3)
  denoise = tiny.exact_gaussian(MIXTURE, blocks, process)

  @jax.jit
  def run(keys):
    return jax.lax.map(lambda key: ode.nats(
      denoise, key, jnp.asarray(x0), blocks=blocks, process=process, coords=COORDS, steps=128,
    ), keys)

  nats = run(jax.random.split(jax.random.key(0), samples))
  return np.asarray(nats, np.float64).sum(-1), -MIXTURE.log_prob(x0)


@pytest.mark.parametrize('size, schedule, prediction', [
  (2, 'flow', 'flow'),
  *(pytest.param(*row, marks=pytest.mark.soak) for row in (
    (1, 'cosine', 'v'), (2, 'cosine', 'v'), (4, 'linear', 'eps'), (4, 'flow', 'x0'),
  )),
])
def test_the_density_of_the_exact_denoiser_is_the_exact_one(size, schedule, prediction):
  nats, exact = drawn(size, schedule, prediction)
  mean, half = likelihood.interval(nats.mean(0) - exact)
  print(f'{size} {schedule}: ODE {nats.mean():.4f}, exact {exact.mean():.4f}; '
        f'ODE - exact {mean:.4f} +- {half:.4f}')  # what the soak is read for
  assert abs(mean) < half + 3e-4, (mean, half)  # the solver has an error, too
  assert np.corrcoef(nats.mean(0), exact)[0, 1] > 0.9  # what is left estimates the divergence
  if size == 1:  # one value: no noise in its divergence
    np.testing.assert_allclose(nats, nats[:1].repeat(len(nats), 0), atol=1e-4)


def normal(process, std):
  """The exact denoiser of N(0, std^2)."""
  def x0_hat(ask):
    t = jnp.broadcast_to(ask.t[:, :1], ask.x.shape[:2])
    alpha, sigma = process.scales(t)
    return alpha * std**2 / (alpha**2 * std**2 + sigma**2) * ask.x

  return ask_lib.from_outputs(x0_hat)


@pytest.mark.soak
def test_a_scaled_law_has_a_scaled_density():
  process, std = gaussian.Gaussian(2, prediction='x0', clip=0.0), 0.37
  x0 = std * jax.random.normal(jax.random.key(1), (16, 3, 2))
  nats = ode.nats(
    normal(process, std), jax.random.key(0), x0, blocks=blocks_lib.equal(3, 3), process=process,
    coords=np.arange(3)[:, None], steps=128)
  exact = -jax.scipy.stats.norm.logpdf(x0, scale=std).sum((1, 2))
  np.testing.assert_allclose(nats[:, 0], exact, atol=0.02)


def lattice(process, points, p):
  """The exact denoiser of independent values: points[i] with probability p[i]."""
  def x0_hat(ask):
    t = jnp.broadcast_to(ask.t[:, :1], ask.x.shape[:2])
    alpha, sigma = process.scales(t)
    log_p = jnp.log(p)[None, None] - 0.5 * ((ask.x - alpha * points[None, None]) / sigma) ** 2
    return jnp.sum(jax.nn.softmax(log_p) * points[None, None], axis=-1, keepdims=True)

  return ask_lib.from_outputs(x0_hat)


@pytest.mark.parametrize('bin', [0.5, pytest.param(0.02, marks=pytest.mark.soak)])
def test_values_on_a_lattice_cost_the_nats_of_their_points(bin):
  process = gaussian.Gaussian(1, prediction='x0', bin=bin, clip=0.0)
  points = jnp.arange(-1, 1 + bin / 2, bin)
  p = jax.nn.softmax(jnp.cos(3 * points) + points)
  index = jax.random.categorical(jax.random.key(1), jnp.log(p), shape=(256, 1))
  nats = jax.jit(lambda key: ode.nats(
    lattice(process, points, p), key, points[index][..., None], blocks=blocks_lib.whole(1),
    process=process, coords=COORDS[:1], steps=96))(jax.random.key(0))
  mean, half = likelihood.interval(np.asarray(nats + jnp.log(p)[index])[:, 0])
  assert -half - 0.01 < mean < half + 0.01, (mean, half)  # a bound, and hardly above
