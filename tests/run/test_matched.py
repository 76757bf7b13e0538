"""A run with three roles: resumed, on several devices, and its sampler of one step exported."""

import contextlib
import functools

import jax
import numpy as np
import pytest
import tiny

from adiff.learn import base
from adiff.machine import checkpoint, cost, sharding
from adiff.run import begin, build, exported, generate, train

BATCH = 8


@functools.cache
def parts():
  """A student and its untrained teacher; one step a block."""
  config = tiny.config('block-gaussian')
  config.model.depth, config.plan.steps, config.train.batch_size = 1, 1, BATCH
  with config.unlocked():
    config.recipe = dict(name='matching', teacher='untrained', every=2)
    config.solver = dict(name='consistency')
  return build.build(config.lock())


def state():
  """Before the first step, the roles' parameters as if they had been trained."""
  of = parts()
  state = of.recipe.init(jax.random.key(0))
  params = {
    role: tiny.random_params(of.model, of.process, of.blocks, of.spec.coords, seed=seed)
    for seed, role in enumerate(sorted(state.params))
  }
  average = {base.DENOISER: jax.tree.map(np.array, params[base.DENOISER])}
  return state.replace(params=params, ema=average)


def rows(seed):
  tokens = tiny.regime('block-gaussian').data(BATCH, seed=seed)
  return {'tokens': np.asarray(tokens), 'label': np.full(BATCH, -1, np.int32)}


@functools.cache
def update(num_devices):
  """(state, batch) -> (state, scalars), and where the state lies."""
  mesh = build.build_mesh(parts(), jax.devices()[:num_devices])
  shardings = build.state_shardings(parts(), mesh, cost.state(parts()))
  step = train.make_update(parts(), mesh, shardings)

  def run(state, batch):
    with jax.set_mesh(mesh):
      return step(jax.device_put(state, shardings), sharding.put_batch(mesh, batch, BATCH))

  return run


@pytest.mark.soak
def test_three_roles_resume_bit_for_bit(tmp_path):
  one, _ = update(1)(state(), rows(0))
  with contextlib.closing(checkpoint.Checkpoints(tmp_path, best='nats')) as keeper:
    keeper.save(1, one)
    keeper.wait()
    _, restored = keeper.restore(cost.state(parts()))
  before = jax.device_get(one.params[base.DENOISER])  # an update uses its state up
  (one, scalars), (again, _) = (update(1)(now, rows(1)) for now in (one, restored))
  assert bool(scalars['finite']) and float(scalars['teacher_calls']) == BATCH
  after = jax.device_get(one.params[base.DENOISER])
  assert any(np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (before, after)), strict=True))
  for a, b in zip(*map(jax.tree.leaves, (one, again)), strict=True):
    np.testing.assert_array_equal(a, b)


@pytest.mark.soak
def test_eight_devices_move_three_roles_as_one_does():
  one, eight = (update(num)(update(num)(state(), rows(0))[0], rows(1))[0] for num in (1, 8))
  for a, b in zip(*map(jax.tree.leaves, (one.params, eight.params)), strict=True):
    np.testing.assert_allclose(a, b, atol=2e-4)


def test_a_sampler_of_one_step_is_exported_and_makes_what_the_walk_makes(tmp_path):
  of, params = parts(), state().ema[base.DENOISER]
  place = generate.to_folder(of, params, tmp_path / 'out', batch=4, seed=3, step=1)
  made, labels = exported.Sampler(place).sample(0, 4)
  sampler = generate.make_sampler(of)
  tokens, calls = sampler(params, generate.example_keys(3, 0, 4), labels)
  np.testing.assert_array_equal(calls, of.blocks.num_blocks)
  np.testing.assert_allclose(made, of.blocks.to_raster(np.asarray(tokens)), atol=1e-6)


def test_an_untrained_teacher_is_for_dry_runs():
  with pytest.raises(ValueError, match='name the workdir of a finished run'):
    begin.born(parts(), build.state_shardings(
      parts(), build.build_mesh(parts(), jax.devices()[:1]), cost.state(parts())
    ))


@pytest.mark.parametrize(('change', 'words'), [
  (lambda c: c.recipe.update(teacher=''), 'learns from a teacher'),
  (lambda c: c.recipe.update(levels=(0.5, 0.2)), '0 < low < high'),
  (lambda c: c.recipe.update(states='data', through_cache=True), "write recipe.states='self'"),
  (lambda c: c.train.update(block_sizes=(3,)), r'train.block_sizes=\(\)'),
  (lambda c: c.solver.update(name='multistep'), 'remembers steps'),
])
def test_what_cannot_be_matched_is_said_in_a_sentence(change, words):
  config = parts().config.copy_and_resolve_references().unlock()
  change(config)
  with pytest.raises(ValueError, match=words):
    build.build(config.lock())
