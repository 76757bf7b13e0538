"""The last estimate is shown where a token is in flight, and nowhere else; both walks agree."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.nn import network
from adiff.sample import cached as cached_lib
from adiff.sample import capacity, self_condition, walk
from adiff.sample.solvers import first_order, threshold
from adiff.sequence import ask as ask_lib


@functools.cache
def hinted(name):
  """A tiny regime, its model made to read hints, and random parameters."""
  regime = tiny.regime(name)
  model = dataclasses.replace(regime.model, self_condition=True)
  params = tiny.random_params(model, regime.process, regime.blocks, regime.coords)
  return regime, model, params


def sample(name, inner, *, cached):
  regime, model, params = hinted(name)
  solver = self_condition.SelfCondition(inner, regime.process.num_outputs)
  denoise = network.condition(
    model.denoise(params), {'label': jnp.full(3, -1)}, history_cond=regime.parts.history_cond)
  plan = regime.parts.plan
  how = dict(blocks=regime.blocks, process=regime.process, solver=solver, coords=regime.coords)
  keys = jax.random.split(jax.random.key(1), 3)
  if not cached:
    return jax.jit(lambda: walk.sample(denoise, keys, plan, **how))()
  cache = model.empty_cache(3, capacity.places(plan, regime.blocks), regime.coords.shape[1])
  return jax.jit(lambda: cached_lib.sample(denoise, keys, plan, cache, **how))()


@pytest.mark.parametrize('name, inner', [
  ('block-masked', threshold.Threshold(0.5)),
  pytest.param('block-gaussian', first_order.FirstOrder(), marks=pytest.mark.soak),
  pytest.param('forcing-uniform', first_order.FirstOrder(), marks=pytest.mark.soak)])
def test_cached_and_plain_agree_with_a_memory_of_the_last_estimate(name, inner):
  plain, cached = (sample(name, inner, cached=flag) for flag in (False, True))
  if plain.dtype == jnp.int32:
    np.testing.assert_array_equal(plain, cached)
  else:
    np.testing.assert_allclose(plain, cached, atol=2e-4)


def test_the_hint_matters_and_none_is_zero():
  regime, model, params = hinted('block-masked')
  x, t = regime.process.prior(jax.random.key(0), (2, 6)), jnp.ones((2, 6))
  ask = ask_lib.Ask(
    x, t, regime.blocks.token_slots(regime.coords), cond={'label': jnp.full((2, 6), -1)})

  def out_of(hint):
    return model.denoise(params)(dataclasses.replace(ask, hint=hint)).out

  hint = jax.random.uniform(jax.random.key(1), (2, 6, regime.process.num_outputs))
  np.testing.assert_array_equal(out_of({}), out_of({network.ESTIMATE: 0 * hint}))
  assert np.abs(out_of({}) - out_of({network.ESTIMATE: hint})).max() > 1e-3


def test_only_tokens_in_flight_are_shown_their_estimate():
  solver = self_condition.SelfCondition(first_order.FirstOrder(), 2)
  x = jnp.zeros((1, 3), jnp.int32)
  memory = solver.init(x)._replace(estimate=jnp.ones((1, 3, 2)))
  t, s = jnp.array([[1.0, 0.5, 0.0]]), jnp.array([[1.0, 0.2, 0.0]])
  hint = solver.shown(memory, t, s)[network.ESTIMATE]
  np.testing.assert_array_equal(hint[0, :, 0], [0, 1, 0])


def test_training_shows_half_of_the_examples_their_own_estimate_without_its_gradient():
  regime, model, params = hinted('block-masked')
  process = regime.process
  batch = {'tokens': regime.data(64), 'label': jnp.full(64, -1, jnp.int32)}
  recipe = dataclasses.replace(regime.parts.recipe, model=model)
  grads, scalars = jax.jit(jax.grad(recipe.objective, has_aux=True))(
    params, batch, jax.random.key(0))
  assert np.isfinite(scalars['loss'])
  assert float(jnp.abs(grads['hint']['kernel']).max()) > 0
  asks = []

  def spy(ask):
    asks.append(ask)
    return jnp.ones((*ask.t.shape, process.num_outputs))

  slots = regime.blocks.slots(regime.coords)
  t = jnp.broadcast_to((slots.stream == 0).astype(float)[None], (64, regime.blocks.num_slots))
  x = jnp.full(t.shape, process.mask_id)
  denoise = ask_lib.from_outputs(spy)
  shown = network.self_condition(denoise, denoise, process, jax.random.key(0))
  shown(ask_lib.Ask(x, t, slots))
  hint = np.asarray(asks[1].hint[network.ESTIMATE])
  work = np.asarray(slots.stream) == 0
  assert 0.3 < (hint[:, work] > 0).all((1, 2)).mean() < 0.7
  assert ((hint[:, work] > 0).all((1, 2)) | (hint[:, work] == 0).all((1, 2))).all()
  assert (hint[:, ~work] == 0).all()
