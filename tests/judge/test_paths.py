"""Importance-weighted bounds, against the model's own value: all orders, and a chain in closed
form."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.judge import likelihood, paths
from adiff.learn import optim
from adiff.process import gaussian
from adiff.run import build, evaluate
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import copies

PATHS = 64


def tightens(nats, own):
  """The rows of a summary of nats [n, PATHS, K], own [n] the model's value: every doubling gains by
  more than its 95% interval, over the same paths, and all are within 1% of what they bound."""
  found = paths.summary(nats, dims=1)
  rows = found['rows']
  assert [row['paths'] for row in rows] == [1, 2, 4, 8, 16, 32, 64]
  for row in rows[1:]:
    assert row['gain'] > row['gain_ci95'] > 0, row
  over, ci95 = likelihood.interval(paths.importance(nats)[PATHS] - own)
  print(f'one path {rows[0]["nats"]:.4f}, all {rows[-1]["nats"]:.4f}, own {own.mean():.4f}; '
        f'all - own {over:.4f} +- {ci95:.4f}')  # what the soak is read for
  assert abs(over) < 0.01 * abs(own.mean()) and over > -2 * ci95, (over, ci95, own.mean())
  return rows


# ---- Orders of masked tokens ---------------------------------------------------------------------


def small(steps=200, batch=128):
  """(denoise, parts, x0 to judge) of two layers that have learnt a chain."""
  parts = build.build(tiny.config('full-masked'))
  data = jnp.asarray(parts.source.sample((steps + 1) * batch, seed=3)).reshape(-1, batch, 6)
  tx, _ = optim.make(learning_rate=0.03, warmup=10, total_steps=steps)

  def denoise(params):
    def out(ask):
      shown = jax.nn.one_hot(ask.x, 4).reshape(len(ask.x), -1)
      h = jax.nn.relu(shown @ params['in'] + params['bias'][None])
      return (h @ params['out']).reshape(*ask.x.shape, 3)

    return ask_lib.from_outputs(out)

  def update(carry, now):
    (params, moments), (x0, key) = carry, now
    grad = jax.grad(lambda params: jnp.mean(likelihood.bound(
      denoise(params), key, x0, blocks=parts.blocks, process=parts.process,
      coords=parts.spec.coords)[0]))(params)
    updates, moments = tx.update(grad, moments, params)
    return (jax.tree.map(jnp.add, params, updates), moments), None

  def run(key):
    keys = jax.random.split(key, 3)
    params = {
      'in': jax.random.normal(keys[0], (24, 32)) / 5, 'bias': jnp.zeros(32),
      'out': jax.random.normal(keys[1], (32, 18)) / 6,
    }
    told = data[:-1], jax.random.split(keys[2], steps)
    return jax.lax.scan(update, (params, tx.init(params)), told)[0][0]

  return denoise(jax.jit(run)(jax.random.key(0))), parts, data[-1]


def denoiser(steps=300, batch=128):
  """As `small`, of the network and the recipe of a config."""
  config = tiny.config('full-masked')
  config.train.steps, config.optim.learning_rate, config.train.ema = steps, 1e-2, 0.9
  parts = build.build(config)
  data = jnp.asarray(parts.source.sample((steps + 1) * batch, seed=3)).reshape(-1, batch, 6)

  def update(state, now):
    x0, key = now
    told = {'tokens': x0, 'label': jnp.full(batch, -1, jnp.int32)}
    return parts.recipe.update(state, told, key)[0], None

  def run(key):
    key_init, key_steps = jax.random.split(key)
    told = data[:-1], jax.random.split(key_steps, steps)
    return parts.recipe.served(jax.lax.scan(update, parts.recipe.init(key_init), told)[0])

  return parts.recipe.network(jax.jit(run)(jax.random.key(0))), parts, data[-1]


def own_value(given, x0):
  """-log of the mean over all orders of the product of the `conditionals` [n]."""
  num = x0.shape[1]
  total = []
  for order in itertools.permutations(range(num)):
    known = np.zeros(num, bool)
    log_p = 0.0
    for token in order:
      log_p = log_p + given[tuple(known)][:, token]
      known[token] = True
    total.append(log_p)
  return -(np.logaddexp.reduce(total, 0) - np.log(len(total)))


def conditionals(denoise, parts, x0):
  """{which tokens are known: log p of each token given those, float64 [n, N]}, for all subsets."""
  blocks, (batch, num) = parts.blocks, x0.shape
  every = np.array(list(itertools.product([False, True], repeat=num)))
  xt = jnp.where(jnp.asarray(every)[:, None], x0[None], parts.process.mask_id).reshape(-1, num)
  t = jnp.asarray(~every.repeat(batch, 0), jnp.float32).mean(1, keepdims=True)
  out = jax.jit(lambda: denoise(ask_lib.Ask(xt, t, blocks.slots(parts.spec.coords))).out)()
  log_p = np.float64(jax.nn.log_softmax(out)).reshape(len(every), batch, num, -1)
  log_p = np.take_along_axis(log_p, np.asarray(x0)[None, :, :, None], -1)[..., 0]
  return dict(zip(map(tuple, every), log_p, strict=True))


@pytest.mark.parametrize('network', [small, pytest.param(denoiser, marks=pytest.mark.soak)])
def test_of_a_trained_network_orders_tighten_to_the_mean_over_all_of_them(network):
  denoise, parts, x0 = network()
  own = own_value(conditionals(denoise, parts, x0), x0)
  nats = jax.jit(lambda key: paths.nats(
    denoise, key, jnp.repeat(x0, PATHS, axis=0), blocks=parts.blocks, process=parts.process,
    coords=parts.spec.coords, steps=0))(jax.random.key(1))
  rows = tightens(np.asarray(nats).reshape(len(x0), PATHS, -1), own)
  exact = -parts.source.log_prob(np.asarray(x0)).mean()
  assert own.mean() < 1.1 * exact, (own.mean(), exact, rows)  # it has learnt something


# ---- Trajectories of the gaussian chain ----------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Linear:
  """The exact denoiser of N(mean, cov), block by block, and the law of the chain that it drives.

  Given the blocks before it a block is normal and x0_hat is linear in xt, so the chain is a product
  of normals along the eigenvectors of the block's covariance; their moments are recursions.
  """

  mean: np.ndarray  # [N]
  cov: np.ndarray  # [N, N]
  blocks: blocks_lib.Blocks
  process: gaussian.Gaussian  # that predicts x0

  def given(self, k, x0):
    """(mean along the eigenvectors [n, b], eigenvalues [1, b], eigenvectors [b, b]) of block k,
    given those before it in x0 [n, N]."""
    past, own = slice(0, self.blocks.first_token[k]), slice(*self.blocks.first_token[k:k + 2])
    lead = self.cov[own, past] @ np.linalg.inv(self.cov[past, past])
    values, vectors = np.linalg.eigh(self.cov[own, own] - lead @ self.cov[past, own])
    shift = self.mean[own] - lead @ self.mean[past]
    one = lambda array: array.astype(x0.dtype)
    mean = x0[:, past] @ one(lead.T @ vectors) + one(shift @ vectors)[None]
    return mean, one(values)[None], one(vectors)

  def denoise(self, ask):
    num = self.blocks.num_tokens
    work, t = ask.x[:, :num, 0], copies.levels(ask.t, ask.slots)
    past = jnp.concatenate([ask.x[:, num:, 0], work[:, ask.x.shape[1] - num:]], axis=1)
    out = []
    for k, (first, end) in enumerate(itertools.pairwise(self.blocks.first_token)):
      mean, values, vectors = self.given(k, past)
      alpha, sigma = self.process.scales(t[:, first])
      gain = alpha * values / (alpha**2 * values + sigma**2)
      out.append((mean + gain * (work[:, first:end] @ vectors - alpha * mean)) @ vectors.T)
    return jnp.concatenate(out, axis=1)[..., None]

  def own_value(self, x0, steps):
    """-log p(x0) [n] of the chain of so many steps, x0 [n, N] in float64."""
    t = np.asarray(self.process.levels(steps + 1)[::-1])
    alpha, sigma = (np.float64(scale[:, 0]) for scale in self.process.scales(t))
    total = 0.0
    for k, (first, end) in enumerate(itertools.pairwise(self.blocks.first_token)):
      mean, values, vectors = self.given(k, x0)
      at, var = np.zeros_like(mean), np.ones_like(values)
      for a, s, a_next, s_next in zip(alpha[:-1], sigma[:-1], alpha[1:], sigma[1:], strict=True):
        gain, keep = a * values / (a**2 * values + s**2), a * s_next / (a_next * s)
        slope = a_next * gain + s_next * keep * (1 - a * gain) / s
        x0_hat = mean + gain * (at - a * mean)
        at = a_next * x0_hat + s_next * keep * (at - a * x0_hat) / s
        var = slope**2 * var + s_next**2 * (1 - keep**2)
      at, var = at / alpha[-1], (var + sigma[-1] ** 2) / alpha[-1] ** 2
      error = x0[:, first:end] @ vectors - at
      total += 0.5 * np.sum(error**2 / var + np.log(2 * np.pi * var), axis=1)
    return total


MEAN = np.array([0.3, -0.2, 0.1, 0.5])
ROOT = np.random.default_rng(0).normal(size=(4, 4)) + np.eye(4)


@pytest.mark.parametrize('believed, size, schedule, num', [
  (0.8, 2, 'cosine', 24),
  *(pytest.param(*row, 256, marks=pytest.mark.soak) for row in (
    (0.8, 4, 'flow'), (1.0, 1, 'linear'), (1.0, 4, 'cosine'), (1.3, 2, 'flow'),
  )),
])
def test_trajectories_tighten_to_the_closed_form_of_the_chain(believed, size, schedule, num):
  """N(MEAN, ROOT ROOT^T), of whose covariance the network believes so much."""
  blocks = blocks_lib.equal(4, size)
  process = gaussian.Gaussian(1, schedule=schedule, prediction='x0', clip=0.0)
  model = Linear(MEAN, believed * ROOT @ ROOT.T, blocks, process)
  x0 = MEAN + np.random.default_rng(1).normal(size=(num, 4)) @ ROOT.T
  many = jnp.asarray(x0.repeat(PATHS, 0)[..., None], jnp.float32)
  nats = jax.jit(lambda key: paths.nats(
    ask_lib.from_outputs(model.denoise), key, many, blocks=blocks, process=process,
    coords=np.arange(4)[:, None], steps=1000))(jax.random.key(2))
  nats, own = np.float64(nats).reshape(num, PATHS, -1), model.own_value(x0, 1000)
  tightens(nats, own)
  weight = np.exp(own[:, None] - nats.sum(2)).mean(1)
  assert abs(weight.mean() - 1) < 3 * weight.std(ddof=1) / num**0.5  # unbiased


# ---- Numbers -------------------------------------------------------------------------------------


def test_the_bound_of_twice_as_many_paths_never_lies_above():
  nats = np.random.default_rng(0).normal(3, 2, (16, 8, 2))
  bounds = paths.importance(nats)
  assert list(bounds) == [1, 2, 4, 8]
  np.testing.assert_allclose(bounds[1], nats.mean(1).sum(1))
  np.testing.assert_allclose(bounds[8], -np.log(np.exp(-nats).mean(1)).sum(1))
  assert np.all(np.diff(np.stack(list(bounds.values())), axis=0) <= 1e-9)
  with pytest.raises(ValueError, match='3 paths do not form nested groups'):
    paths.importance(nats[:, :3])


@pytest.mark.parametrize('row, changes, words', [
  ('block-uniform', {'orders': 64}, 'orders=64 weights orders of masked tokens'),
  ('ar-masked', {'orders': 2}, 'exact already; leave orders'),
  ('scales-masked', {'orders': 2}, 'exact already'),
  ('block-masked', {'ode': 8}, 'eval.ode=8 follows the probability-flow ODE of gaussian noise'),
  ('block-masked', {'orders': 3}, 'eval.orders=3 must be a power of two, or 0'),
  ('block-masked', {'orders': 2**17}, 'eval.orders=131072 must lie in'),
  ('block-gaussian', {'ode': -1}, 'eval.ode=-1 must lie in'),
  ('block-gaussian', {'chain': 0}, 'eval.chain=0 must lie in'),
])
def test_what_a_model_has_no_paths_for_is_refused_in_a_sentence(row, changes, words):
  config = tiny.config(row)
  config.eval.update(changes)
  with pytest.raises(ValueError, match=words):
    evaluate.check(build.build(config))
