"""Mixed noise: Bayes' rule worked out, its two limits, and the exact law of a chain."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.data import chain as chain_lib
from adiff.judge import likelihood
from adiff.process import masked, mixed, uniform
from adiff.sample import walk
from adiff.sample.solvers import first_order
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import copies
from adiff.sequence import plan as plan_lib

PROCESS = mixed.Mixed(3, random=0.3)
PI = np.array([0.1, 0.1, 0.1, 0.7])
PRIOR = np.array([0.2, 0.3, 0.5])
LEVELS = jnp.array([2e-3, 0.1, 0.5, 0.9, 0.9999, 1.0])
CHAIN = chain_lib.Chain(num_tokens=3)
COORDS = np.arange(3)[:, None]
STRINGS = np.indices((3,) * 3).reshape(3, -1).T  # every string of the chain, and its probability
WEIGHTS = np.exp(CHAIN.log_prob(STRINGS)).astype(np.float32)


def channel(t):
  """q(xt = y | x0 = x) [x, y], the mask included."""
  return (1 - t) * np.eye(4) + t * PI[None]


def many(value, num=20_000):
  return jnp.full((num, 1), value)


def network(num=20_000):
  return jnp.broadcast_to(jnp.log(jnp.asarray(PRIOR, jnp.float32)), (num, 1, 3))


def shares(x):
  return np.bincount(np.asarray(x).reshape(-1), minlength=4) / x.size


def grid(process, t):
  """(out, x0, xt, t): every clean and every noisy symbol that the process knows, at every level."""
  x0, xt, level = np.meshgrid(np.arange(3), np.arange(process.num_inputs), t, indexing='ij')
  pairs = [jnp.asarray(axis.reshape(1, -1)) for axis in (x0, xt, level)]
  out = jax.random.normal(jax.random.key(4), (*pairs[0].shape, 3))
  return (out, *pairs)


def test_the_prior_is_the_mixture_and_noise_is_the_channel():
  np.testing.assert_allclose(shares(PROCESS.prior(jax.random.key(0), (20_000, 1))), PI, atol=0.015)
  xt = PROCESS.add_noise(jax.random.key(1), many(1), many(0.6))
  np.testing.assert_allclose(shares(xt), channel(0.6)[1], atol=0.015)


@pytest.mark.parametrize('seen', range(4))
def test_the_estimate_adds_the_evidence_of_the_token_itself_and_a_mask_has_none(seen):
  estimate = PROCESS.x0_hat(network(1), jnp.array([[seen]]), jnp.array([[0.4]]))[0, 0]
  joint = PRIOR * channel(0.4)[:3, seen]
  np.testing.assert_allclose(estimate, joint / joint.sum(), rtol=1e-5)


@pytest.mark.parametrize('seen', [0, 3])
@pytest.mark.parametrize('t, s', [(0.9, 0.35), (1.0, 0.6), (0.5, 0.0)])
def test_a_step_of_the_exact_network_follows_the_exact_posterior(seen, t, s):
  xs = PROCESS.step(jax.random.key(0), network(), many(seen), many(t), many(s))
  between = channel(1 - (1 - t) / (1 - s))
  posterior = PRIOR @ channel(s)[:3] * between[:, seen]
  np.testing.assert_allclose(shares(xs), posterior / posterior.sum(), atol=0.015)


def test_nothing_moves_without_a_change_of_level():
  x = jnp.tile(jnp.arange(4), (50, 1))
  out = jax.random.normal(jax.random.key(0), (50, 4, 3))
  for level in (0.0, 0.4, 1.0):
    t = jnp.full(x.shape, level)
    np.testing.assert_array_equal(PROCESS.step(jax.random.key(1), out, x, t, t), x)
  np.testing.assert_array_equal(PROCESS.add_noise(jax.random.key(2), x, jnp.zeros(x.shape)), x)


def test_the_integrand_is_the_path_kl_of_two_jump_processes_term_by_term():
  out, x0, xt, t = grid(PROCESS, LEVELS[:-2])
  cost = mixed.Mixed(3, random=0.3, objective='bound').loss(out, x0, xt, t)[0]
  p = np.asarray(jax.nn.softmax(out), np.float64)[0]
  for i, (a, x, level) in enumerate(zip(*(np.asarray(v)[0].tolist() for v in (x0, xt, t)))):
    model = (1 - level) * np.append(p[i], 0) + level * PI
    ratio, r = model / model[x], channel(level)[a] / channel(level)[a, x]
    terms = ratio - r + r * np.log(r / ratio)
    np.testing.assert_allclose(cost[i], PI[x] / (1 - level) * terms.sum(), rtol=2e-3, atol=1e-4)


def test_without_random_symbols_it_is_masking():
  out, x0, xt, t = grid(PROCESS, LEVELS)
  legal = (xt == x0) & (t < 1) | (xt == 3)
  both = mixed.Mixed(3, random=0.0, objective='bound'), masked.Masked(3)
  np.testing.assert_allclose(*(jnp.where(legal, p.loss(out, x0, xt, t), 0) for p in both),
                             rtol=1e-3, atol=1e-5)
  np.testing.assert_allclose(
    *(jnp.where(legal[..., None], p.x0_hat(out, xt, t), 0) for p in both), rtol=1e-5)
  known = jnp.full((1, 3), 0.5)
  sure = jnp.array([[[-300.0, 0, 0]] * 3])  # a network that excludes what is there
  x = jnp.zeros((1, 3), jnp.int32)
  cost = lambda out: jnp.sum(both[0].loss(out, x, x, known))
  value, grads = jax.value_and_grad(cost)(sure)
  assert value == 0 and np.all(np.asarray(grads) == 0)
  np.testing.assert_array_equal(both[0].step(jax.random.key(0), sure, x, known, known / 2), x)


def test_with_random_symbols_alone_it_is_uniform_noise():
  out, x0, xt, t = grid(uniform.Uniform(3), LEVELS[:-2])
  for objective in ('cross_entropy', 'bound'):
    both = mixed.Mixed(3, 1.0, objective), uniform.Uniform(3, objective)
    np.testing.assert_allclose(*(p.loss(out, x0, xt, t) for p in both), rtol=2e-3, atol=1e-4)
    np.testing.assert_allclose(*(p.bound(out, x0, xt, t) for p in both), rtol=2e-3, atol=1e-4)
    np.testing.assert_allclose(*(p.x0_hat(out, xt, t) for p in both), rtol=1e-5)
  assert shares(both[0].prior(jax.random.key(0), (1000, 1)))[3] == 0


@pytest.mark.parametrize('objective', ['cross_entropy', 'bound'])
def test_losses_are_finite_at_both_ends(objective):
  process = mixed.Mixed(3, 0.1, objective)
  out, x0, xt, t = grid(process, jnp.array([0.0, 1e-6, 1 - 1e-7, 1.0]))
  cost = lambda out: jnp.sum(process.loss(out, x0, xt, t))
  value, grads = jax.value_and_grad(cost)(30 * out)
  assert np.isfinite(value) and np.all(np.isfinite(grads))
  assert np.all(np.asarray(process.loss(out, x0, xt, t))[np.asarray(t) == 0] == 0)


@pytest.mark.parametrize('objective', ['cross_entropy', 'bound'])
def test_both_objectives_are_least_at_the_true_law(objective):
  process = mixed.Mixed(3, 0.3, objective)
  law = jnp.asarray(PRIOR, jnp.float32)

  def expected(logits, level):
    _, x0, xt, t = grid(process, [level])
    weight = (law[:, None] * jnp.asarray(channel(level)[:3], jnp.float32)).reshape(1, -1)
    out = jnp.broadcast_to(logits, (*x0.shape, 3))
    return jnp.sum(weight * process.loss(out, x0, xt, t.astype(jnp.float32)))

  for level in (0.1, 0.5, 0.9):
    np.testing.assert_allclose(jax.grad(expected)(jnp.log(law), level), 0, atol=2e-6)
    assert expected(jnp.log(law), level) < expected(jnp.zeros(3), level)


def exact(random):
  """The exact network on one block: log p(x0_i | the other noisy tokens), by enumeration."""

  def out_of(ask):
    t = copies.levels(ask.t, ask.slots)
    jump = t[..., None] * jnp.where(ask.x == 3, 1 - random, random / 3)[..., None]
    keep = (1 - t)[..., None] * jax.nn.one_hot(ask.x, 3)
    evidence = keep + jump  # [B, N, V]
    mass = []
    for i in range(3):
      joint = WEIGHTS[None]
      for j in set(range(3)) - {i}:
        joint = joint * evidence[:, j, STRINGS[:, j]]
      mass.append(jnp.matmul(joint, jax.nn.one_hot(STRINGS[:, i], 3), precision='highest'))
    mass = jnp.stack(mass, axis=1)
    return jnp.log(jnp.maximum(mass / mass.sum(-1, keepdims=True), 1e-30))

  return ask_lib.from_outputs(out_of)


@pytest.mark.parametrize('random', [0.0, 0.2, 1.0])
def test_the_bound_with_the_exact_network_is_the_entropy(random):
  num, samples = 2048, 64
  x0 = jnp.asarray(CHAIN.sample(num, seed=3))
  sample = jax.jit(lambda key: likelihood.bound(
    exact(random), key, x0, blocks=blocks_lib.whole(3), process=mixed.Mixed(3, random),
    coords=COORDS)[0][:, 0])
  nats = np.mean([sample(jax.random.key(i)) for i in range(samples)], axis=0)
  excess, half = likelihood.interval(nats + CHAIN.log_prob(np.asarray(x0)))
  assert abs(excess) < 1.5 * half  # three standard errors
  assert half < 0.04


@pytest.mark.soak
@pytest.mark.parametrize('random', [0.2, 0.5, 0.8])
def test_a_fine_walk_with_the_exact_network_samples_the_law(random):
  run = jax.jit(lambda keys: walk.sample(
    exact(random), keys, plan_lib.Plan(1, steps=100), blocks=blocks_lib.whole(3),
    process=mixed.Mixed(3, random), solver=first_order.FirstOrder(), coords=COORDS))
  x = np.asarray(run(jax.random.split(jax.random.key(0), 8192)))
  assert x.max() < 3
  assert CHAIN.law_test(x)['p_value'] > 1e-3


@pytest.mark.parametrize('random', [-0.1, 1.1, math.nan])
def test_a_share_outside_the_unit_interval_is_refused(random):
  with pytest.raises(ValueError, match='process.random=.* (in|finite)'):
    mixed.Mixed(3, random)


def test_an_unknown_objective_is_refused():
  with pytest.raises(ValueError, match='choose one of cross_entropy, bound'):
    mixed.Mixed(3, objective='nats')
