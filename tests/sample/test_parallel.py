"""Walks that are made in parallel come to the sequential one, and are counted."""

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from exact import Cacheless, mixture

from adiff.nn import network
from adiff.process import masked
from adiff.sample import guidance, parallel, sweeps, walk
from adiff.sample.solvers import base as solvers_base
from adiff.sample.solvers import first_order, multistep
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import plan as plan_lib

HOW = parallel.Parallel('picard', 'data', 0, 1, 3, 2, 1e-2)
DDIM = first_order.FirstOrder()


def measured(
  denoise, process, how, *, num_blocks, steps, examples, solver=DDIM, tolerance=0.1
):
  """(mean calls, mean work, mismatches): each example alone, against the sequential walk."""
  blocks, plan = blocks_lib.tokens(num_blocks), plan_lib.Plan(num_blocks, steps)
  coords, keys = np.arange(num_blocks)[:, None], jax.random.split(jax.random.key(1), examples)
  made = parallel.Session(
    Cacheless(), lambda params: denoise, plan, blocks, process, solver, coords, how)

  def run(key):
    at = made.finish(None, made.start(key[None]))
    return at.x[0], at.calls, at.counts.work

  with jax.debug_key_reuse(False):  # it takes the two sides of a branch for two uses
    x, calls, work = jax.jit(jax.vmap(run))(keys)
  sequential = jax.jit(lambda keys: walk.sample(
    denoise, keys, plan, blocks=blocks, process=process, solver=solver, coords=coords))(keys)
  wrong = parallel.mismatches(x, sequential, tolerance)
  return calls.mean(), work.mean(), int(wrong.sum())


@pytest.mark.soak
@pytest.mark.parametrize('method, coordinate, rounds, most', [
  ('anderson', 'data', 6, 4.5), ('picard', 'data', 9, 4.5), ('picard', 'x', 9, 4.7),
  ('anderson', 'x', 7, 4.5), ('picard', 'noise', 16, 10.7),
])
def test_a_hundred_steps_take_a_few_rounds(method, coordinate, rounds, most):
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    process, denoise = mixture(1, 64, 10, turn=0.0)
    how = dataclasses.replace(HOW, method=method, coordinate=coordinate)
    took, work, wrong = measured(
      denoise, process, how, num_blocks=1, steps=100, examples=20)
  assert took <= rounds and wrong == 0
  assert work <= most * 100


@pytest.mark.soak
@pytest.mark.parametrize('turn', [0.5, 0.9])
def test_two_blocks_in_flight_take_a_seventh_of_the_calls(turn):
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    process, denoise = mixture(8, 16, 4, turn=turn)
    how = dataclasses.replace(HOW, method='anderson', blocks=2)
    took, work, wrong = measured(
      denoise, process, how, num_blocks=8, steps=32, examples=12)
  assert took <= 8 * 32 / 7 and work <= 6 * 8 * 32 and wrong == 0


def test_a_cascade_makes_every_step_once_and_other_samples():
  process, denoise = mixture(4, 8, 4, turn=0.9)
  how = dataclasses.replace(HOW, method='cascade', blocks=4, start=1)
  took, work, wrong = measured(denoise, process, how, num_blocks=4, steps=12, examples=40)
  assert took == 12 + 3 and work == 4 * 12
  assert wrong > 0  # nobody may take it for the sequential walk
  assert 'another one' in how.law and not HOW.law


@pytest.mark.soak
def test_a_cascade_whose_blocks_wait_for_all_steps_is_the_walk():
  process, denoise = mixture(3, 4, 2, turn=0.9)
  how = dataclasses.replace(HOW, method='cascade', blocks=2, start=5)
  took, work, wrong = measured(
    denoise, process, how, num_blocks=3, steps=5, examples=4, tolerance=1e-6)
  assert took == work == 3 * 5 and wrong == 0


@functools.cache
def tiny_rows():
  return tiny.regime('block-gaussian')


@pytest.mark.parametrize('method, blocks, solver, eta, history, window', [
  ('picard', 3, first_order.FirstOrder(), 1.0, 0.1, 2),
  *(pytest.param(*row, marks=pytest.mark.soak) for row in [
    ('anderson', 2, multistep.Multistep(), 0.0, 0.0, 0),
    ('picard', 1, first_order.FirstOrder(), 0.0, None, 0),
    ('anderson', 2, first_order.FirstOrder(), 0.5, None, 3),
    ('cascade', 3, multistep.Multistep(), 0.0, 0.1, 0),
  ])])
def test_at_a_small_tolerance_samples_are_those_of_the_walk(
  method, blocks, solver, eta, history, window
):
  regime = tiny_rows()
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    model = dataclasses.replace(regime.model, dtype='float64', told='difference')
    geometry = dataclasses.replace(regime.blocks, history=history)
    process = dataclasses.replace(regime.process, eta=eta)
    params = tiny.random_params(model, process, geometry, regime.coords)
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
    plan, coords = plan_lib.Plan(geometry.num_blocks, 6), regime.coords
    apart = history is None
    given = jnp.zeros((4, geometry.num_tokens), bool).at[1, 3].set(True)
    told = dict(given=jnp.full((4, geometry.num_tokens, process.dim), 0.3), given_mask=given)
    how = dataclasses.replace(
      HOW, method=method, blocks=blocks, window=window, tolerance=1e-9,
      start=plan.num_rows if method == 'cascade' else 1)

    def bind(params):
      denoise = guidance.guide(model.denoise(params, loops=True), scale=1.5)
      return network.condition(
        denoise, {'label': jnp.asarray(tiny.LABELS)}, history_cond=apart)

    made = parallel.Session(
      model, bind, plan, geometry, process, solver, coords, how, caches=1 + apart)
    keys = jax.random.split(jax.random.key(2), 4)
    at = jax.jit(lambda params: made.finish(params, made.start(keys, *told.values())))(params)
    sequential = jax.jit(lambda params: walk.sample(
      bind(params), keys, plan, blocks=geometry, process=process, solver=solver, coords=coords,
      **told))(params)
  np.testing.assert_allclose(at.x, sequential, atol=1e-6)
  assert not parallel.mismatches(at.x, sequential, 1e-6).any()
  assert int(at.counts.work.min()) >= 6 * geometry.num_blocks


def test_steps_settle_by_answers_to_the_past_that_is_there_alone():
  regime, num = tiny_rows(), 4
  fixed = walk.Fixed(regime.blocks, regime.process, DDIM, solvers_base.uncut)
  plan = plan_lib.Plan(regime.blocks.num_blocks, num)
  steps = sweeps.steps_of(plan, regime.process, 'x')
  way = sweeps.begin(jnp.ones((2, 3, regime.process.dim)), num, regime.process.num_outputs, 0)
  keys = walk.token_keys(jax.random.split(jax.random.key(0)), 0, 3)
  known = jnp.zeros((2, 3), bool)

  def asked(way, width):
    index, real = sweeps.window(way, width)
    out = jnp.zeros((width, 2, 3, regime.process.num_outputs))
    way = sweeps.answered(way, index, real, way.x[index, jnp.arange(2)[None]], out)
    return sweeps.sweep(fixed, keys, known, steps, way, 1e3)

  way = asked(way, num)
  assert way.settled.tolist() == [num, num]
  moved = asked(sweeps.again(way, jnp.array([True, False])), 2)
  assert moved.settled.tolist() == [2, num]


def parts_of(**changes):
  """What `needs` reads."""
  parts = tiny_rows().parts
  names = 'blocks', 'plan', 'process', 'model'
  named = {name: getattr(parts, name) for name in names} | {'solver': DDIM}
  return types.SimpleNamespace(spec=parts.spec, hints=None, **{**named, **changes})


@pytest.mark.parametrize('changes, message', [
  (dict(process=masked.Masked(3)), 'needs process gaussian'),
  (dict(solver=types.SimpleNamespace(calls=2)), 'first_order or multistep'),
  (dict(blocks=blocks_lib.scales((1, 2))), 'equal blocks'),
  (dict(plan=plan_lib.Plan(3, 4, delay=2)), 'plan.delay=None'),
  (dict(plan=plan_lib.Plan(3, (5, 4, 4))), 'plan.first=0'),
])
def test_what_is_not_served_is_refused_in_words(changes, message):
  with pytest.raises(ValueError, match=message):
    HOW.needs(parts_of(**changes))
  dataclasses.replace(HOW, method='none').needs(parts_of(**changes))
