"""Drafted steps: what stands follows the sequential walk's law, as often as any coupling allows."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
import tiny
from exact import Cacheless, mixture

from adiff.nn import network
from adiff.process import gaussian, masked
from adiff.sample import drafted_steps, walk
from adiff.sample.solvers import first_order, multistep
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import plan as plan_lib

DDPM = first_order.FirstOrder()


def test_two_normals_are_coupled_as_often_as_may_be():
  num, deviation, p, q = 20_000, 0.5, np.array([0.3, -0.2, 0.1]), np.array([0.5, 0.2, -0.3])
  distance = np.linalg.norm(p - q) / deviation
  keys = jax.random.split(jax.random.key(0))
  z, u = jax.random.normal(keys[0], (num, 1, 3)), jax.random.uniform(keys[1], (num,))
  wide = (jnp.broadcast_to(jnp.asarray(mean)[None, None], z.shape) for mean in (p, q))
  ends, accepted = drafted_steps.coupled(*wide, jnp.full((num, 1, 1), deviation), z, u)
  share = 2 * scipy.stats.norm.cdf(-distance / 2)
  assert abs(accepted.mean() - share) < 4 * np.sqrt(share * (1 - share) / num)
  white = (np.asarray(ends)[:, 0] - p) / deviation
  along = white @ (p - q) / np.linalg.norm(p - q)
  across = white @ np.cross(p - q, [1, 0, 0]) / np.linalg.norm(np.cross(p - q, [1, 0, 0]))
  for numbers in (along, across, *white.T):
    assert scipy.stats.kstest(numbers, 'norm').pvalue > 1e-3
  assert abs(np.corrcoef(along, across)[0, 1]) < 4 / num**0.5


def test_a_step_without_noise_ends_at_the_mean_of_the_target():
  p, q, z = jnp.ones((2, 1, 2)), jnp.zeros((2, 1, 2)), jnp.full((2, 1, 2), 3.0)
  ends, accepted = drafted_steps.coupled(p, q, jnp.zeros((2, 1, 1)), z, jnp.array([0.0, 0.5]))
  np.testing.assert_array_equal(ends, p)
  assert not accepted.any()


@pytest.mark.parametrize('seed', [
  0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 10))
])
def test_samples_follow_the_law_of_the_sequential_walk(seed):
  process, denoise = mixture(2, 2, 3, turn=0.8, std=0.3, eta=1.0)
  blocks, plan, num = blocks_lib.tokens(2), plan_lib.Plan(2, 16), 2000
  coords = np.arange(2)[:, None]
  made = drafted_steps.Session(
    Cacheless(), lambda params: denoise, plan, blocks, process, DDPM, coords, 4)
  keys = jax.random.split(jax.random.key(seed), 2 * num)

  @jax.jit
  def both(keys):
    at = made.finish(None, made.start(keys[:num]))
    sequential = walk.sample(
      denoise, keys[num:], plan, blocks=blocks, process=process, solver=DDPM, coords=coords)
    return at.x, sequential, at.calls, at.accepted

  with jax.debug_key_reuse(False):  # it takes the two sides of a branch for two uses
    x, sequential, calls, accepted = jax.tree.map(np.asarray, both(keys))
  ways = np.random.default_rng(seed).normal(size=(4, 6))
  ways = np.concatenate([np.eye(4), ways], axis=1)  # of both blocks together
  for way in ways.T:
    found = scipy.stats.ks_2samp(x.reshape(num, 4) @ way, sequential.reshape(num, 4) @ way)
    assert found.pvalue > 1e-3
  assert np.all(calls + accepted >= 2 * 16) and np.all(calls <= 2 * 16)
  assert calls.mean() < 0.75 * 2 * 16


@pytest.mark.soak
def test_with_little_noise_samples_are_those_of_the_deterministic_walk():
  regime = tiny.regime('block-gaussian')
  plan, blocks = plan_lib.Plan(regime.blocks.num_blocks, 4), regime.blocks
  labels, keys = jnp.asarray(tiny.LABELS), jax.random.split(jax.random.key(2), 4)

  def bind(params):
    return network.condition(regime.model.denoise(params, loops=True), {'label': labels})

  little = dataclasses.replace(regime.process, eta=1e-5)
  made = drafted_steps.Session(
    regime.model, bind, plan, blocks, little, DDPM, regime.coords, 3)

  @jax.jit
  def both(params):
    at = made.finish(params, made.start(keys))
    sequential = walk.sample(
      bind(params), keys, plan, blocks=blocks, process=regime.process, solver=DDPM,
      coords=regime.coords)
    return at.x, sequential, at.calls

  with jax.debug_key_reuse(False):
    x, sequential, calls = both(regime.params)
  np.testing.assert_allclose(x, sequential, atol=1e-3)
  np.testing.assert_array_equal(calls, plan.num_rows)  # nothing that was drafted stands


@pytest.mark.parametrize('changes, message', [
  (dict(solver=multistep.Multistep()), 'process.eta=1.0'),
  (dict(process=gaussian.Gaussian(1)), 'process.eta=1.0'),
  (dict(process=masked.Masked(3)), 'needs process gaussian'),
  (dict(parallel=types.SimpleNamespace(method='picard')), 'two ways'),
])
def test_what_is_not_served_is_refused_in_words(changes, message):
  parts = tiny.regime('block-gaussian').parts
  named = {name: getattr(parts, name) for name in ('blocks', 'plan', 'model', 'spec', 'parallel')}
  noisy = dataclasses.replace(parts.process, eta=1.0)
  named |= dict(process=noisy, solver=DDPM, hints=None)
  named['speculative'] = types.SimpleNamespace(steps=4)
  drafted_steps.needs(types.SimpleNamespace(**named))
  with pytest.raises(ValueError, match=message):
    drafted_steps.needs(types.SimpleNamespace(**{**named, **changes}))


def test_nothing_can_be_given():
  process, denoise = mixture(2, 2, 1, turn=0.5, eta=1.0)
  made = drafted_steps.Session(
    Cacheless(), lambda params: denoise, plan_lib.Plan(2, 4), blocks_lib.tokens(2), process, DDPM,
    np.arange(2)[:, None], 2)
  with pytest.raises(ValueError, match='without prompts'):
    made.start(jax.random.split(jax.random.key(0), 1), jnp.zeros((1, 2, 2)))
