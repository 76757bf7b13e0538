"""Recipes of few steps: each is right where the flow map is known, and finds it."""

import dataclasses

import flows
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adiff.learn import (
  consistency,
  continuous_consistency,
  loss,
  meanflow,
  plain,
  progressive,
  setting,
  shortcut,
)
from adiff.sample.solvers import consistency as consistency_solver
from adiff.sample.solvers import flow_map
from adiff.sequence import draw as draw_lib

SCHEDULES = (
  ('cosine', 'v'), ('flow', 'flow'), pytest.param('linear', 'eps', marks=pytest.mark.soak),
)
KINDS = {
  'progressive': (progressive.Progressive, dict(first=4, last=1, stage=10)),
  'consistency': (consistency.Consistency, dict(first=4, last=8)),
  'shortcut': (shortcut.Shortcut, dict(finest=8, flow=0.0)),
  'meanflow': (meanflow.Meanflow, dict(flow=0.0)),
  'continuous': (continuous_consistency.ContinuousConsistency, dict(warmup=1)),
}


def error_of(of, *, num=64):
  """The mean error of a recipe's first step, its parameters those of `init`."""
  rows, state = flows.batch(jax.random.key(2), num), of.init(jax.random.key(0))
  error, _ = jax.jit(of.share)(state, state.params['denoiser'], rows, jax.random.key(3))
  return float(error)


@pytest.fixture
def doubled():
  """64 bits, whatever is mixed."""
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    yield


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize(('schedule', 'prediction'), SCHEDULES)
@pytest.mark.usefixtures('doubled')
def test_taught_by_the_exact_map_the_exact_map_has_no_error(kind, schedule, prediction):
  if (kind == 'continuous' and schedule != 'cosine') or (
    kind == 'consistency' and prediction == 'eps'
  ):
    pytest.skip('refused')
  exact = flows.Exact(flows.gaussian_of(schedule, prediction))
  make, own = KINDS[kind]
  assert error_of(flows.recipe(make, exact, exact, **own)) < 1e-16


@pytest.mark.usefixtures('doubled')
def test_it_has_an_error_where_the_map_is_another_one():
  exact = flows.Exact(flows.gaussian_of())
  other = dataclasses.replace(exact, maps=False)  # the denoiser: a first-order step
  for kind in ('progressive', 'meanflow'):
    make, own = KINDS[kind]
    assert error_of(flows.recipe(make, other, exact, **own)) > 1e-4


@pytest.mark.parametrize('make', [
  pytest.param(
    lambda model: flows.recipe(meanflow.Meanflow, model, flow=1.0), marks=pytest.mark.soak),
  lambda model: flows.recipe(shortcut.Shortcut, model, flow=1.0),
], ids=['meanflow', 'shortcut'])
@pytest.mark.usefixtures('doubled')
def test_blocks_that_learn_the_flow_have_the_plain_loss(make):
  model = flows.Small(flows.gaussian_of())
  of, level = make(model), 0.37
  of = dataclasses.replace(of, plain=dataclasses.replace(of.plain, draw=(_at(level),)))
  rows, state = flows.batch(jax.random.key(2), 16), of.init(jax.random.key(0))
  met = []

  def noised(self, key, t):
    met.append(self.process.add_noise(key, self.x0, self.blocks.per_token(t)))
    return met[-1]

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(setting.Setting, 'noised', noised)
    found, _ = of.share(state, state.params['denoiser'], rows, jax.random.key(3))
  levels = jnp.full((16, 1), level)
  usual, _ = loss.loss(
    of.network(state.params['denoiser']), jax.random.key(0), rows['tokens'], blocks=flows.BLOCKS,
    process=of.plain.process, draw=None, coords=of.plain.coords,
    corrupt=lambda *_: (levels, met[0]),
  )
  np.testing.assert_array_equal(found, usual)


def _at(level):
  return draw_lib.Draw(lambda key, shape: jnp.full(shape, level, float))


SOLVERS = dict(consistency=consistency_solver.Consistency(),
               continuous=consistency_solver.Consistency())


LONG = {
  # kind: (arguments, with a teacher?, schedule, updates)
  'progressive': (dict(first=16, last=1, stage=600), True, 'cosine', 3600),
  'consistency': (dict(first=16, last=64, double=400), True, 'cosine', 8000),
  'consistency_training': (dict(first=8, last=128, double=800), False, 'cosine', 8000),
  'shortcut': (dict(finest=64, flow=0.5), False, 'cosine', 6000),
  'shortcut_taught': (dict(finest=32, flow=0.5), True, 'cosine', 4000),
  'meanflow': (dict(flow=0.25, draw=flows.CORNER), False, 'flow', 8000),
  'meanflow_taught': (dict(flow=0.5), True, 'flow', 4000),
  'continuous': (dict(warmup=500), True, 'cosine', 4000),
  # of one float a token the norm of a tangent is its size: what is learnt is a median, unless the
  # offset outweighs it
  'continuous_training': (dict(warmup=500, offset=10.0), False, 'cosine', 8000),
}


@pytest.mark.soak
@pytest.mark.parametrize('law', ['normal', 'mixture'])
@pytest.mark.parametrize('name', LONG)
def test_it_finds_the_map_of_either_law(name, law):
  own, with_teacher, schedule, steps = LONG[name]
  kind = name.partition('_')[0]
  process = flows.gaussian_of(schedule, 'v' if schedule == 'cosine' else 'flow')
  exact = flows.Exact if law == 'normal' else flows.Mixture
  taught = exact(process, maps=False) if with_teacher else None
  tx = optax.adam(optax.cosine_decay_schedule(5e-3, steps))
  of = flows.recipe(KINDS[kind][0], flows.Small(process), taught, tx=tx, **own)
  state, _ = flows.trained(of, steps, num=512, law=law)
  solver = SOLVERS.get(kind, flow_map.FlowMap())
  assert flows.missed(of, state, solver, law=law) < 0.05


def test_a_plain_recipe_is_held_and_no_part_of_it_is_made_again():
  model = flows.Small(flows.gaussian_of())
  of = flows.recipe(meanflow.Meanflow, model)
  state = of.init(jax.random.key(0))
  assert of.microbatches == 1 and of.network(of.served(state)) is not None
  other = flows.recipe(plain.Plain, model).init(jax.random.key(0))
  for own, usual in zip(jax.tree.leaves(state), jax.tree.leaves(other), strict=True):
    np.testing.assert_array_equal(own, usual)


def test_teacher_calls_are_counted_and_the_teacher_stays_as_it_is():
  exact = flows.Exact(flows.gaussian_of(), maps=False)
  of = flows.recipe(
    progressive.Progressive, flows.Small(flows.gaussian_of()), exact, first=2, last=1, stage=2,
    tx=optax.sgd(0.1),
  )
  state = of.init(jax.random.key(0))
  calls, before = [], []
  for index in range(4):
    rows = flows.batch(jax.random.key(index), 8)
    state, scalars = of.update(state, rows, jax.random.key(index))
    calls.append(float(scalars['teacher_calls']))
    before.append(np.asarray(state.params['before']['layer0']['kernel']))
    assert float(state.params['teacher']['unused']) == 0 and 'teacher' not in state.ema
  assert calls == [16, 32, 32, 32]  # two an example, in the first stage alone
  np.testing.assert_array_equal(before[0], before[1])
  assert np.any(before[2] != before[1])
  np.testing.assert_array_equal(before[2], before[3])
