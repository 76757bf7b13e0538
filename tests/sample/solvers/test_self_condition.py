"""The last estimate is shown where a token is in flight, and nowhere else; both samplers agree."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.learn import plain as plain_lib
from adiff.sample import capacity, walk
from adiff.sample.solvers import first_order, self_condition, threshold
from adiff.sequence import blocks as blocks_lib


@functools.cache
def hinted(name):
  """A tiny regime's parts, its model made to read hints, and random parameters."""
  one = tiny.regime(name)
  model = one.model.clone(self_condition=True)
  params = tiny.random_params(model, one.process, one.blocks, one.coords)
  return one, model, params


def draw(name, inner, *, cached):
  one, model, params = hinted(name)
  solver = self_condition.SelfCondition(inner, one.process.num_outputs)
  denoise = plain_lib.conditioned(
    plain_lib.network(model, params, history_cond=one.parts.recipe.history_cond),
    {'label': jnp.full(3, -1)})
  plan = one.parts.plan
  how = dict(blocks=one.blocks, process=one.process, solver=solver, coords=one.coords)
  keys = jax.random.split(jax.random.key(1), 3)
  if not cached:
    return jax.jit(lambda: walk.sample(denoise, keys, plan, **how))()
  cache = model.empty_cache(3, capacity.rows(plan, one.blocks), one.coords.shape[1])
  return jax.jit(lambda: walk.sample_cached(denoise, keys, plan, cache, **how))()


@pytest.mark.parametrize('name, inner', [
  ('block-masked', threshold.Threshold(0.5)),
  pytest.param('block-gaussian', first_order.FirstOrder(), marks=pytest.mark.soak),
  pytest.param('forcing-uniform', first_order.FirstOrder(), marks=pytest.mark.soak)])
def test_cached_and_plain_agree_with_a_memory_of_the_last_estimate(name, inner):
  plain, cached = (draw(name, inner, cached=flag) for flag in (False, True))
  if plain.dtype == jnp.int32:
    np.testing.assert_array_equal(plain, cached)
  else:
    np.testing.assert_allclose(plain, cached, atol=2e-4)


def test_the_hint_matters_and_none_is_zero():
  one, model, params = hinted('block-masked')
  x, t = one.process.prior(jax.random.key(0), (2, 6)), jnp.ones((2, 6))
  slots = one.blocks.token_slots(one.coords)
  label = {'label': jnp.full((2, 6), -1)}
  run = lambda x: model.apply({'params': params}, x, t, t, slots, label)[0]
  hint = jax.random.uniform(jax.random.key(1), (2, 6, one.process.num_outputs))
  np.testing.assert_array_equal(run(x), run(blocks_lib.Hinted(x, 0 * hint)))
  assert np.abs(run(x) - run(blocks_lib.Hinted(x, hint))).max() > 1e-3


def test_only_tokens_in_flight_are_shown_their_estimate():
  solver = self_condition.SelfCondition(first_order.FirstOrder(), 2)
  x = jnp.zeros((1, 3), jnp.int32)
  carry = (solver.init(x)[0], jnp.ones((1, 3, 2)))
  shown = solver.shown(x, carry, jnp.array([[1.0, 0.5, 0.0]]), jnp.array([[1.0, 0.2, 0.0]]))
  np.testing.assert_array_equal(shown.hint[0, :, 0], [0, 1, 0])


def test_training_shows_half_of_the_examples_their_own_estimate_without_its_gradient():
  one, model, params = hinted('block-masked')
  batch = {'tokens': one.data(64), 'label': jnp.full(64, -1, jnp.int32)}
  of = dataclasses.replace(one.parts.recipe, model=model, self_condition=True)
  grads, scalars = jax.jit(jax.grad(of.objective, has_aux=True))(params, batch, jax.random.key(0))
  assert np.isfinite(scalars['loss'])
  assert float(jnp.abs(grads['hint']['kernel']).max()) > 0
  seen = []

  def denoise(x, t, s, slots):
    seen.append(x)
    return jnp.ones((*t.shape, one.process.num_outputs)), None

  slots = one.blocks.slots(one.coords)
  t = jnp.broadcast_to((slots.stream == 0).astype(float)[None], (64, one.blocks.num_slots))
  x = jnp.full(t.shape, one.process.mask_id)
  plain_lib.hinted(denoise, denoise, one.process, jax.random.key(0))(x, t, t, slots)
  hint = np.asarray(seen[1].hint)
  work = np.asarray(slots.stream) == 0
  assert 0.3 < (hint[:, work] > 0).all((1, 2)).mean() < 0.7
  assert ((hint[:, work] > 0).all((1, 2)) | (hint[:, work] == 0).all((1, 2))).all()
  assert (hint[:, ~work] == 0).all()
