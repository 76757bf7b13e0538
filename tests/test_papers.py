"""Ours against what was published: networks, trajectories, losses and judges, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import papers
import pytest
import qwen

from adiff.judge.metrics import coverage, frechet
from adiff.process import base, gaussian, masked, mixed, uniform
from adiff.sample.solvers import first_order, multistep

# ---- The network ---------------------------------------------------------------------------------

@pytest.mark.parametrize('documents, kv_heads', [
  ((8,), 4), ((4, 6), 1), *(
    pytest.param(*case, marks=pytest.mark.soak)
    for case in (((8,), 2), ((8,), 1), ((4, 6), 4), ((4, 6), 2))
  ),
])
def test_two_streams_are_qwen3_under_the_mask_of_sdar(documents, kv_heads):
  rng = np.random.default_rng(kv_heads)
  weights = papers.qwen3_weights(rng, kv_heads=kv_heads, **qwen.SIZE)
  noisy, clean = rng.integers(0, 11, (2, 1, sum(documents)))
  ids, positions, mask, places = qwen.sdar_row(documents, noisy, clean)
  theirs = papers.qwen3(weights, ids, positions, mask, heads=4, kv_heads=kv_heads, base=qwen.BASE)
  found = qwen.two_streams(documents)(qwen.params(weights), noisy, clean)
  np.testing.assert_allclose(found[0], theirs[places], rtol=1e-4, atol=2e-5)
  assert np.abs(theirs).max() > 0.5


# ---- Trajectories --------------------------------------------------------------------------------

GRID = np.append(np.linspace(0.98, 0.02, 9), 0)
X = np.random.default_rng(0).normal(size=(1, 3, 2))


def scales(schedule, t):
  """(alpha, sigma) of a schedule in float64."""
  if schedule == 'flow':
    return 1 - t, t
  if schedule == 'cosine':
    return np.cos(np.pi / 2 * t), np.sin(np.pi / 2 * t)
  kept = np.exp(-0.1 * t - 9.95 * t**2)
  return np.sqrt(kept), np.sqrt(1 - kept)


def curve(x, t):
  """Something a network may say."""
  return (np if isinstance(x, np.ndarray) else jnp).tanh(x) * (1 - t / 2) + 0.2 * (2 * t - 1) ** 2


def keys(row):
  return jax.random.split(jax.random.key(row), X.shape[:2])


def noises():
  """What the steps of `walked` add, [R, *X.shape]."""
  with jax.enable_x64(True):
    return np.array([
      base.sampled(jax.random.normal, keys(row), X.shape) for row in range(len(GRID) - 1)
    ])


def walked(process, solver):
  """x after every step of the grid, in float64; the network says `curve`."""
  with jax.enable_x64(True):

    def row(carry, now):
      x, memory = carry
      number, t, s = now
      t, s = (jnp.full(X.shape[:2], level) for level in (t, s))
      out = curve(x, t[..., None])
      x, memory = solver.step(None, out, process, keys(number), x, t, s, memory)
      return (x, memory), x

    x, levels, numbers = jnp.asarray(X), jnp.asarray(GRID), jnp.arange(len(GRID) - 1)
    return jax.lax.scan(row, (x, solver.init(x)), (numbers, levels[:-1], levels[1:]))[1]


@pytest.mark.parametrize('eta', [0.0, 0.5, 1.0])
def test_a_trajectory_of_first_order_is_ddims(eta):
  alpha, _ = scales('linear', GRID)
  expected = papers.ddim(X, lambda x, i: curve(x, GRID[i]), alpha**2, noises(), eta)
  process = gaussian.Gaussian(2, schedule='linear', prediction='eps', eta=eta, clip=0.0)
  found = walked(process, first_order.FirstOrder())
  np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
  if eta == 1:
    ddpm = papers.ddpm(X, lambda x, i: curve(x, GRID[i]), alpha**2, noises())
    np.testing.assert_allclose(found, ddpm, rtol=1e-9, atol=1e-9)


def test_a_trajectory_of_first_order_with_v_is_ddims_too():
  alpha, sigma = scales('cosine', GRID)

  def eps(x, i):  # Salimans and Ho 2022 (arXiv:2202.00512), appendix D
    return sigma[i] * x + alpha[i] * curve(x, GRID[i])

  expected = papers.ddim(X, eps, alpha**2, np.zeros((len(GRID) - 1, 1)), 0.0)
  process = gaussian.Gaussian(2, schedule='cosine', prediction='v', clip=0.0)
  found = walked(process, first_order.FirstOrder())
  np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('schedule', gaussian.SCHEDULES)
def test_a_trajectory_of_multistep_is_dpm_solver_plus_plus(schedule):
  alpha, sigma = scales(schedule, GRID)
  expected = papers.dpm_solver_plus_plus(X, lambda x, i: curve(x, GRID[i]), alpha, sigma)
  process = gaussian.Gaussian(2, schedule=schedule, prediction='x0', clip=0.0)
  np.testing.assert_allclose(
    walked(process, multistep.Multistep()), expected, rtol=1e-9, atol=1e-9
  )


# ---- Losses --------------------------------------------------------------------------------------

VOCAB = 4
LEVELS = np.array([0.05, 0.3, 0.7, 0.95])


def tokens(num_inputs):
  """(out [1, n, V], its softmax [n, V] in float64, x0, xt, t [1, n]): all pairs at all levels."""
  met = np.meshgrid(np.arange(VOCAB), np.arange(num_inputs), LEVELS, indexing='ij')
  x0, xt, t = (axis.reshape(1, -1) for axis in met)
  out = np.random.default_rng(1).normal(size=(*x0.shape, VOCAB)).astype(np.float32)
  p = np.exp(out[0].astype(np.float64))
  return out, p / p.sum(-1, keepdims=True), x0, xt, t.astype(np.float32)


def test_the_masked_loss_is_mdlms_and_sedds():
  out, p, x0, xt, t = tokens(VOCAB + 1)
  found = np.asarray(jax.jit(masked.Masked(VOCAB).loss)(out, x0, xt, t))[0]
  as_mixed = np.asarray(jax.jit(mixed.Mixed(VOCAB, 0.0, 'bound').loss)(out, x0, xt, t))[0]
  for i in range(len(found)):
    if xt[0, i] < VOCAB:
      assert found[i] == 0
      continue
    level = np.float64(t[0, i])
    np.testing.assert_allclose(found[i], papers.mdlm(p[i], x0[0, i], level), rtol=2e-6)
    # SEDD, absorbing: sigma = -log(1 - t), scores p (1 - t) / t, jumps from the mask at sigma'.
    ratio = np.eye(VOCAB)[x0[0, i]] * (1 - level) / level
    rates = np.full(VOCAB, 1 / (1 - level))
    entropy = papers.score_entropy(rates, p[i] * (1 - level) / level, ratio)
    np.testing.assert_allclose([found[i], as_mixed[i]], entropy, rtol=1e-5)


def test_the_bound_of_masked_tokens_is_lladas():
  # Nie et al. 2025 (arXiv:2502.09992), eq. 14: l of L tokens masked, weight L / l.
  out, p, *_ = tokens(1)
  x0 = np.array([[2, 0, 3, 3]])
  for mask in papers.masks(4):
    xt, t = np.where(mask, VOCAB, x0), np.full((1, 4), mask.sum() / 4, np.float32)
    found = np.asarray(masked.Masked(VOCAB).bound(out[:, :4], x0, xt, t)).sum()
    nats = -np.log(p[np.arange(4), x0[0]])
    np.testing.assert_allclose(found, 4 / mask.sum() * nats[mask].sum(), rtol=2e-6)


def test_the_bound_of_uniform_noise_is_udlms_and_sedds():
  out, p, x0, xt, t = tokens(VOCAB)
  process = uniform.Uniform(VOCAB, 'bound')
  found = np.asarray(jax.jit(process.loss)(out, x0, xt, t))[0]
  for i in range(len(found)):
    level, here = np.float64(t[0, i]), xt[0, i]
    expected = papers.udlm(p[i], x0[0, i], here, level)
    np.testing.assert_allclose(found[i], expected, rtol=1e-5)
    model = (1 - level) * p[i] + level / VOCAB
    truth = (1 - level) * np.eye(VOCAB)[x0[0, i]] + level / VOCAB
    others = np.arange(VOCAB) != here
    entropy = papers.score_entropy(
      np.full(VOCAB - 1, 1 / (VOCAB * (1 - level))), (model / model[here])[others],
      (truth / truth[here])[others],
    )
    np.testing.assert_allclose(found[i], entropy, rtol=1e-5)


@pytest.mark.parametrize('process, random', [
  (uniform.Uniform(VOCAB), 1.0), (mixed.Mixed(VOCAB, 0.3), 0.3),
])
def test_the_cross_entropy_under_noise_is_d3pms(process, random):
  # Austin et al. 2021 (arXiv:2107.03006), eq. 5: -log p(x0 | xt), here by Bayes' rule.
  out, p, x0, xt, t = tokens(process.num_inputs)
  found = np.asarray(jax.jit(process.loss)(out, x0, xt, t))[0]
  pi = np.append(np.full(VOCAB, random / VOCAB), 1 - random)
  for i in range(len(found)):
    level = np.float64(t[0, i])
    joint = p[i] * ((1 - level) * np.eye(VOCAB + 1)[:VOCAB, xt[0, i]] + level * pi[xt[0, i]])
    np.testing.assert_allclose(found[i], -np.log(joint[x0[0, i]] / joint.sum()), rtol=1e-5)


# ---- Judges --------------------------------------------------------------------------------------


def clouds(num, other, dims=5):
  """Two sets of features that overlap."""
  rng = np.random.default_rng(2)
  return rng.normal(size=(num, dims)), rng.normal(size=(other, dims)) + 0.5


def test_the_frechet_distance_is_heusels():
  real, fake = clouds(300, 200)
  np.testing.assert_allclose(frechet.frechet(real, fake), papers.frechet(real, fake), rtol=1e-6)
  mixed_up = real @ np.random.default_rng(3).normal(size=(5, 5))
  np.testing.assert_allclose(
    frechet.frechet(real, mixed_up), papers.frechet(real, mixed_up), rtol=1e-6)


def test_the_inception_score_is_salimans():
  p = np.random.default_rng(4).dirichlet(np.full(10, 0.1), size=200)
  p[:3] = np.eye(10)[:3]
  np.testing.assert_allclose(frechet.inception_score(p), papers.inception_score(p), rtol=1e-6)


@pytest.mark.parametrize('k', [1, 5])
def test_precision_recall_density_and_coverage_are_as_published(k):
  tied = (np.round(part) for part in clouds(60, 80, 2))
  for real, fake in (clouds(80, 60), tied):
    density, covered = papers.density_and_coverage(real, fake, k)
    expected = {
      'precision': papers.precision(real, fake, k), 'recall': papers.precision(fake, real, k),
      'density': density, 'coverage': covered,
    }
    found = coverage.scores(real, fake, k=k)
    assert {name: pytest.approx(value) for name, value in expected.items()} == found
