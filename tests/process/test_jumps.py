"""The bound of noise on symbols in float32, against its formula term by term in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.process import mixed, uniform

# Up to the largest level below 1 in float32.
LEVELS = np.array(
  [1e-5, 1e-3, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1 - 1e-5, 1 - 1e-6, 1 - 6e-8], np.float32
)
PROCESSES = {
  'uniform': uniform.Uniform(5, 'bound'),
  'mixed, symbols alone': mixed.Mixed(5, 1.0, 'bound'),
  'mixed': mixed.Mixed(5, 0.1, 'bound'),
  'mixed, masks alone': mixed.Mixed(5, 0.0, 'bound'),
}
EVERY = pytest.mark.parametrize('process', PROCESSES.values(), ids=PROCESSES.keys())


def law(process):
  """pi [V + 1] of a process, the mask last."""
  random = getattr(process, 'random', 1.0)
  return np.append(np.full(process.vocab, random / process.vocab), 1 - random)


def integrand(process, logits, x0, xt, t):
  """The path KL's integrand of one token in float64: the sum over all jumps, as UDLM's (16)."""
  pi, t = law(process), np.float64(t)
  p = np.exp(logits.astype(np.float64))
  model = (1 - t) * np.append(p / p.sum(), 0) + t * pi
  truth = (1 - t) * np.eye(len(pi))[x0] + t * pi
  ratio, r = model / model[xt], truth / truth[xt]
  jumps = np.where(r > 0, r, 1) / np.where(r > 0, ratio, 1)
  return pi[xt] / (1 - t) * np.sum(ratio - r + r * np.log(jumps))


def places(process):
  """(x0, xt, t) [1, n] of everything that can be met."""
  pi = law(process)
  met = [(a, x, t) for a in range(process.vocab) for x in range(process.num_inputs)
         for t in LEVELS if pi[x] > 0]
  x0, xt, t = zip(*met, strict=True)
  return np.array([x0]), np.array([xt]), np.array([t], np.float32)


@functools.cache
def graded(process):
  """(logits, x0, xt, t) -> (nats [1, n], their gradient)."""

  def total(out, x0, xt, t):
    nats = process.loss(out, x0, xt, t)
    return jnp.sum(nats), nats

  def run(*token):
    (_, nats), slope = jax.value_and_grad(total, has_aux=True)(*token)
    return nats, slope

  return jax.jit(run)


@EVERY
def test_the_integrand_is_that_of_float64_at_every_level(process):
  x0, xt, t = places(process)
  for scale in (0.1, 1.0, 6.0):
    out = scale * np.random.default_rng(0).normal(size=(*x0.shape, process.vocab))
    out = out.astype(np.float32)
    found = np.asarray(graded(process)(out, x0, xt, t)[0])[0]
    tokens = zip(out[0], x0[0], xt[0], t[0], strict=True)
    expected = [integrand(process, *token) for token in tokens]
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-8)


@EVERY
def test_its_gradient_is_that_of_float64_near_pure_noise(process):
  x0, xt, t = places(process)
  out = np.random.default_rng(1).normal(size=(*x0.shape, process.vocab)).astype(np.float32)
  found = np.asarray(graded(process)(out, x0, xt, t)[1])[0]
  near = np.flatnonzero((t[0] > 0.5) & (t[0] < 0.99999))  # differences tell no slope above it
  for token in near[::3]:
    at = lambda move, i=token: integrand(process, out[0, i] + move, x0[0, i], xt[0, i], t[0, i])
    slope = [(at(move) - at(-move)) / 2e-4 for move in 1e-4 * np.eye(process.vocab)]
    np.testing.assert_allclose(found[token], slope, rtol=2e-4, atol=1e-6)


@EVERY
def test_a_network_that_is_wrong_for_sure_costs_something_finite(process):
  x0, xt, t = places(process)
  nats, slope = graded(process)(-80.0 * np.eye(process.vocab, dtype=np.float32)[x0], x0, xt, t)
  assert np.all(np.isfinite(nats)) and np.sum(nats) > 0 and np.all(np.isfinite(slope))


@EVERY
def test_pure_noise_costs_what_the_level_below_it_does(process):
  x0, xt, t = places(process)
  out = np.random.default_rng(2).normal(size=(*x0.shape, process.vocab)).astype(np.float32)
  one, below = (graded(process)(out, x0, xt, np.full_like(t, level)) for level in (1, LEVELS[-1]))
  for found, expected in zip(one, below, strict=True):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
