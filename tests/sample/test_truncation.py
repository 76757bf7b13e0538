"""Truncated logits against their definition, written out slowly; and in both walks."""

import math

import fakes
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.nn import network
from adiff.sample import cached, capacity, guidance, self_condition, truncation, walk
from adiff.sample.solvers import base, entropy_bound, first_order, scheduled, threshold
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import head as head_lib
from adiff.sequence import plan as plan_lib


def slow(logits, temperature, top_k, top_p):
  """The truncated law of one row of logits [V], in float64."""
  if temperature == 0:
    return np.eye(len(logits))[np.argmax(logits)]
  p = np.exp((logits - logits.max()) / temperature)
  if top_k:
    stay = [np.sum(logits > own) < top_k for own in logits]
    p = np.where(stay, p, 0)
  p /= p.sum()
  stay = [p[logits > own].sum() < top_p for own in logits]
  p = np.where(stay, p, 0)
  return p / p.sum()


SETTINGS = [
  (0.7, 0, 1.0), (1.0, 3, 1.0), (1.0, 0, 0.8), (1.5, 5, 0.6), (0.3, 100, 0.95), (1.0, 1, 1.0),
  (1.0, 0, 1e-9), (0.0, 3, 0.5),
]


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize('temperature, top_k, top_p', SETTINGS)
def test_the_law_is_that_of_the_definition(temperature, top_k, top_p, dtype):
  # bfloat16 rounds, so rows have ties.
  logits = (2 * jax.random.normal(jax.random.key(0), (8, 5, 11))).astype(dtype)
  cut = truncation.shape_logits(logits, temperature=temperature, top_k=top_k, top_p=top_p)
  assert cut.dtype == jnp.float32 and np.all(np.isfinite(cut))
  rows = np.asarray(logits.astype(jnp.float32), np.float64)
  expected = np.apply_along_axis(slow, -1, rows, temperature, top_k, top_p)
  law = np.asarray(jax.nn.softmax(cut))
  np.testing.assert_array_equal(law == 0, expected == 0)
  np.testing.assert_allclose(law, expected, rtol=1e-5)
  np.testing.assert_allclose(np.exp(np.asarray(cut, np.float64)), law, rtol=1e-5)  # normalised


def kept(logits, **settings):
  cut = truncation.shape_logits(jnp.asarray(logits, jnp.float32), **settings)
  return np.flatnonzero(np.asarray(jax.nn.softmax(cut))).tolist()


def test_equals_stay_together_and_the_symbol_that_crosses_stays():
  assert kept([2.0, 1, 1, 1, 0], top_k=2) == [0, 1, 2, 3]
  half, quarter = np.log(0.5), np.log(0.25)
  assert kept([half, quarter, quarter], top_p=0.4) == [0]
  assert kept([half, quarter, quarter], top_p=0.6) == [0, 1, 2]
  assert kept([0.0, 0.0], top_p=0.1) == [0, 1]
  assert kept([0.0, 1, 1], temperature=0) == [1]  # but the most likely symbol is one


def test_extreme_logits_and_temperatures_stay_finite():
  logits = jnp.array([[1e30, -1e30, 0.0], [-jnp.inf, 0.0, -jnp.inf], [3e38, 3e38, -3e38]])
  for settings in ({'temperature': 1e-20}, {'top_p': 0.5}, {'top_k': 2}, {'temperature': 1e20}):
    cut = truncation.shape_logits(logits, **settings)
    assert np.all(np.isfinite(cut)), settings
    np.testing.assert_allclose(jnp.sum(jax.nn.softmax(cut), axis=-1), 1, rtol=1e-6)


def test_a_narrow_is_the_cut_of_these_numbers_and_nothing_to_cut_is_uncut():
  logits = jax.random.normal(jax.random.key(0), (2, 3, 7))
  for settings in ({'top_k': 2}, {'temperature': 0.5}, {'top_p': 0.6, 'temperature': 2.0}):
    np.testing.assert_array_equal(
      truncation.narrow(**settings)(logits), truncation.shape_logits(logits, **settings))
  assert truncation.narrow() is base.uncut
  assert truncation.narrow(temperature=1, top_k=0, top_p=1) is base.uncut


@pytest.mark.parametrize('settings', [
  *({'temperature': value} for value in (-1, math.inf, math.nan)),
  *({'top_k': value} for value in (-1, 2.5, True)),
  *({'top_p': value} for value in (0, 1.1, math.nan)),
])
def test_nonsense_is_refused(settings):
  with pytest.raises(ValueError, match=next(iter(settings))):
    truncation.narrow(**settings)
  with pytest.raises(ValueError, match=next(iter(settings))):
    truncation.shape_logits(jnp.zeros(3), **settings)


# ---- In a walk -----------------------------------------------------------------------------------


def narrowed(denoise, narrow):
  """The Denoise whose outputs are cut: what a walk with `narrow` is to come to."""

  def trunk(ask):
    out, cache = denoise(ask)
    return narrow(out), cache

  return ask_lib.Denoise(trunk, head_lib.Outputs())


def walks(name, solver, narrow):
  """Samples (of the definition, of the cached walk, of the definition with a network whose outputs
  are cut instead, without a cut) of a tiny regime, guided."""
  regime = tiny.regime(name)
  plan, model, apart = regime.parts.plan, regime.model, regime.parts.history_cond
  keys, label = regime.arguments()[:2]
  places = (1 + apart) * len(label), capacity.places(plan, regime.blocks)
  how = dict(blocks=regime.blocks, process=regime.process, solver=solver, coords=regime.coords)

  @jax.jit
  def run(params):
    denoise = network.condition(
      guidance.guide(model.denoise(params), scale=2.0), {'label': label}, history_cond=apart)
    cache = model.empty_cache(*places, regime.coords.shape[1])
    return (
      walk.sample(denoise, keys, plan, narrow=narrow, **how),
      cached.sample(denoise, keys, plan, cache, narrow=narrow, **how),
      walk.sample(narrowed(denoise, narrow), keys, plan, **how),
      walk.sample(denoise, keys, plan, **how),
    )

  return run(regime.params)


TOP_TWO = truncation.narrow(temperature=0.7, top_k=2)


@pytest.mark.parametrize('name, solver', [
  ('block-masked', first_order.FirstOrder()),
  pytest.param('forcing-uniform', first_order.FirstOrder(), marks=pytest.mark.soak),
])
def test_both_walks_cut_as_a_network_with_cut_outputs_would(name, solver):
  plain, fast, wrapped, uncut = walks(name, solver, TOP_TWO)
  np.testing.assert_array_equal(plain, wrapped)
  np.testing.assert_array_equal(fast, plain)
  assert np.any(plain != uncut)


@pytest.mark.soak
@pytest.mark.parametrize('solver', [
  threshold.Threshold(0.6), threshold.Threshold(0.5, edit=0.5), scheduled.Scheduled('confidence'),
  entropy_bound.EntropyBound(0.5), self_condition.SelfCondition(first_order.FirstOrder(), 3),
])
def test_both_walks_cut_the_draw_alone_of_solvers_that_decide_or_remember(solver):
  plain, fast, _, uncut = walks('block-masked', solver, TOP_TWO)
  np.testing.assert_array_equal(fast, plain)
  assert np.any(plain != uncut)


def test_at_temperature_zero_autoregression_takes_the_most_likely_symbols():
  logits = jax.random.normal(jax.random.key(0), (6, 3))
  greedy = truncation.narrow(temperature=0.0)
  denoise = ask_lib.from_outputs(
    lambda ask: jnp.broadcast_to(logits[ask.slots.coords[:, 0]][None], (*ask.x.shape, 3)))
  state = fakes.walk(
    denoise, plan_lib.Plan(6, 1), blocks_lib.tokens(6), first_order.FirstOrder(), narrow=greedy)
  np.testing.assert_array_equal(
    state.x, np.broadcast_to(np.argmax(logits, axis=-1), (4, 6)))
