"""Unmasking: what all solvers that reveal tokens for good share, and the laws that they sample."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.data import chain as chain_lib
from adiff.judge.metrics import chi_square
from adiff.process import base as process_base
from adiff.process import gaussian, masked, uniform
from adiff.sample import cached
from adiff.sample.solvers import (
  base,
  entropy_bound,
  first_hitting,
  first_order,
  scheduled,
  threshold,
  unmasking,
)
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import plan as plan_lib

PROCESS = masked.Masked(3)
MASK = PROCESS.mask_id
SOLVERS = (
  first_hitting.FirstHitting(), threshold.Threshold(), threshold.Threshold(0.5, edit=0.6),
  entropy_bound.EntropyBound(0.5), scheduled.Scheduled(), scheduled.Scheduled('confidence'),
)


def step(solver, x, out=None, *, t=1.0, s=0.5, seed=0):
  """One step of rows x [B, n] whose tokens are all in flight."""
  x = jnp.asarray(x, jnp.int32)
  t, s = (jnp.broadcast_to(jnp.asarray(level, jnp.float32), x.shape) for level in (t, s))
  out = jnp.zeros((*x.shape, 3)) if out is None else jnp.asarray(out, jnp.float32)
  keys = jax.random.split(jax.random.key(seed), x.shape)
  return np.asarray(solver.step(None, out, PROCESS, keys, x, t, s, ())[0])


@pytest.mark.parametrize('process', [gaussian.Gaussian(1, clip=0.0), uniform.Uniform(3)])
@pytest.mark.parametrize('solver', SOLVERS[:2])
def test_noise_without_a_mask_is_refused(solver, process):
  solver.needs(types.SimpleNamespace(process=PROCESS))
  with pytest.raises(ValueError, match='process masked'):
    solver.needs(types.SimpleNamespace(process=process))


def test_the_network_is_told_the_share_of_masked_tokens_of_the_block_in_flight():
  x = jnp.array([[0, 1, MASK, MASK, MASK, 2, MASK, MASK]])
  t = jnp.array([[0.0, 0, 0.7, 0.7, 0.7, 0.7, 1, 1]])
  s = jnp.array([[0.0, 0, 0.2, 0.2, 0.2, 0.2, 1, 1]])
  told = SOLVERS[0].level(PROCESS, x, t, s)
  np.testing.assert_allclose(told, [[0, 0, 0.75, 0.75, 0.75, 0.75, 1, 1]])
  np.testing.assert_array_equal(SOLVERS[0].finished(PROCESS, x), np.asarray(x) != MASK)
  np.testing.assert_array_equal(first_order.FirstOrder().level(PROCESS, x, t, s), t)
  assert not np.any(first_order.FirstOrder().finished(PROCESS, x))


@pytest.mark.parametrize('solver', SOLVERS)
def test_revealed_and_waiting_tokens_stay_and_the_last_step_reveals_the_rest(solver):
  x = np.array([[MASK, 1, MASK, MASK, 2, MASK], [0, 1, 2, 0, 1, MASK], [0, 1, 2, 0, 1, 2]])
  fixed = dataclasses.replace(solver, edit=None) if hasattr(solver, 'edit') else solver
  between = step(fixed, x)
  np.testing.assert_array_equal(between[x != MASK], x[x != MASK])
  waiting = np.array([1.0, 1, 1, 1, 1, 0.5])
  np.testing.assert_array_equal(step(fixed, x, t=1.0, s=waiting)[:, :5], x[:, :5])
  assert np.all(step(fixed, x, s=0.0) != MASK)


@dataclasses.dataclass(frozen=True)
class Spy(unmasking.Unmasking):
  """Records the levels of the plan."""

  def select(self, key, probs, eligible, t, s):
    jax.debug.callback(lambda *levels: SEEN.append([float(level.max()) for level in levels]), t, s)
    return unmasking.first(jnp.zeros_like(t), eligible)


SEEN = []


def test_what_is_selected_may_depend_on_the_levels_of_the_plan():
  def zero_logits(ask):
    jax.debug.callback(lambda t: told.append(float(t.max())), ask.t)
    return jnp.zeros((*ask.x.shape, 3))

  told = []
  plan = plan_lib.Plan(1, 4, spacing=plan_lib.power(2.0))
  keys = jax.random.split(jax.random.key(0), 1)
  cached.sample(
    ask_lib.from_outputs(zero_logits), keys, plan, None, blocks=blocks_lib.whole(4),
    process=PROCESS, solver=Spy(), coords=np.arange(4)[:, None])
  jax.effects_barrier()
  assert sorted(SEEN) == [[0.0625, 0], [0.25, 0.0625], [0.5625, 0.25], [1, 0.5625]]
  assert sorted(told) == [0.25, 0.5, 0.75, 1]


# ---- The law of samples, with the exact denoiser ------------------------------------------------

NUM = 8192


def denoiser(chain):
  """What a perfect network returns where nothing hides behind a cache."""

  def logits(ask):
    return jnp.log(jnp.maximum(chain.posterior(ask.x, MASK), 1e-30))

  return ask_lib.from_outputs(logits)


def sample(chain, solver, plan, num=NUM, **given):
  """Samples of one block that holds the whole chain."""
  run = jax.jit(lambda keys, given: cached.sample(
    denoiser(chain), keys, plan, None, blocks=blocks_lib.whole(chain.num_tokens), process=PROCESS,
    solver=solver, coords=np.arange(chain.num_tokens)[:, None], **given))
  return np.asarray(run(jax.random.split(jax.random.key(5), num), given))


def p_value(solver, plan):
  chain = chain_lib.Chain(num_tokens=3, vocab=3)
  return chain.law_test(sample(chain, solver, plan))['p_value']


def table(*counts):
  return plan_lib.Plan(1, len(counts), spacing=plan_lib.reveals(counts))


@pytest.mark.parametrize('solver, plan', [
  (first_hitting.FirstHitting(), plan_lib.Plan(1, 3)),
  (threshold.Threshold(1.0), plan_lib.Plan(1, 3)),
  (scheduled.Scheduled('confidence'), table(1, 1, 1)),
  *(pytest.param(*one, marks=pytest.mark.soak) for one in (
    (first_order.FirstOrder(), plan_lib.Plan(1, 128)),
    (entropy_bound.EntropyBound(0.0), plan_lib.Plan(1, 3)),
    (scheduled.Scheduled(), table(1, 1, 1)),
  )),
], ids=lambda value: type(value).__name__)
def test_one_token_a_call_samples_the_exact_law(solver, plan):
  assert p_value(solver, plan) > 1e-3


@dataclasses.dataclass(frozen=True)
class Drawn(unmasking.Unmasking):
  """Reveals the token whose *sampled* symbol is the most probable: the mistake."""

  def select(self, key, probs, eligible, t, s):
    raise NotImplementedError

  def step(self, call, out, process, key, x, t, s, memory, narrow=base.uncut):
    probs = process.x0_hat(narrow(out), x, t)
    symbols = process_base.categorical(key, jnp.log(probs))
    confidence = jnp.take_along_axis(probs, symbols[..., None], axis=-1)[..., 0]
    chosen = unmasking.first(confidence, x == process.mask_id)
    return jnp.where(chosen, symbols, x), memory


@pytest.mark.parametrize('solver, plan', [
  (scheduled.Scheduled(), table(1, 2)),  # two of three tokens at once
  (first_hitting.FirstHitting(), plan_lib.Plan(1, 2)),
  (Drawn(), plan_lib.Plan(1, 3)),
], ids=['scheduled', 'too_few_steps', 'drawn'])
def test_the_same_test_finds_two_tokens_at_once_and_confidence_in_what_was_drawn(solver, plan):
  assert p_value(solver, plan) < 1e-6


def test_holes_are_filled_by_the_exact_conditional():
  chain = chain_lib.Chain(num_tokens=4, vocab=3)
  strings = np.indices((3,) * 4).reshape(4, -1).T
  probs = np.exp(chain.log_prob(strings))
  holes = [hole for hole in np.indices((2,) * 4).reshape(4, -1).T.astype(bool)
           if hole.sum() in (1, 2)]
  assert len(holes) == 10
  each, context = 2048, np.array([2, 0, 0, 1])
  mask = np.repeat(holes, each, axis=0)
  given = np.where(mask, -1, context).astype(np.int32)
  samples = sample(
    chain, first_hitting.FirstHitting(), plan_lib.Plan(1, 4), len(mask),
    given=jnp.asarray(given), given_mask=jnp.asarray(~mask)).reshape(10, each, 4)
  values = []
  for hole, found in zip(holes, samples, strict=True):
    np.testing.assert_array_equal(found[:, ~hole], np.broadcast_to(context, (each, 4))[:, ~hole])
    law = np.where(np.all(strings[:, ~hole] == context[~hole], axis=1), probs, 0)
    cells = np.bincount(np.ravel_multi_index(tuple(found.T), (3,) * 4), minlength=81)
    inside = law > 0
    assert cells[~inside].sum() == 0
    values.append(chi_square.verdict(
      *chi_square.goodness_of_fit(cells[inside], law[inside] / law.sum()))['p_value'])
  assert min(values) > 1e-4
  # The power: pairs filled by the product of their conditionals are found out.
  pair = [hole.tolist() for hole in holes].index([False, True, True, False])
  apart = np.stack([np.roll(samples[pair, :, 1], 1), samples[pair, :, 2]])
  law = np.where(np.all(strings[:, [0, 3]] == context[[0, 3]], axis=1), probs, 0)
  law = law.reshape((3,) * 4)[context[0], :, :, context[3]]
  cells = np.bincount(np.ravel_multi_index(tuple(apart), (3, 3)), minlength=9)
  assert chi_square.verdict(
    *chi_square.goodness_of_fit(cells, (law / law.sum()).reshape(-1)))['p_value'] < 1e-6
