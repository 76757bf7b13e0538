"""Teachers are workdirs: read, checked, kept in the state, and never moved."""

import contextlib
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.learn import base
from adiff.machine import checkpoint, cost
from adiff.nn import network
from adiff.run import begin, build, few_steps, generate, kept, teachers, train
from adiff.run import workdir as workdir_lib
from adiff.sequence import ask as ask_lib


def opened(config):
  """(parts, mesh, shardings of the state)."""
  parts = build.build(config)
  mesh = build.build_mesh(parts, jax.devices()[:1])
  return parts, mesh, build.state_shardings(parts, mesh, cost.state(parts))


def saved(folder, config):
  """The state before the first step, saved in a workdir."""
  parts, mesh, shardings = opened(config)
  with jax.set_mesh(mesh), workdir_lib.lock(folder):
    workdir_lib.claim(folder, parts.config, parts.contract)
    kept.write(folder, parts)
    state = begin.born(parts, shardings)
    with contextlib.closing(checkpoint.Checkpoints(folder, best='nats')) as keeper:
      keeper.save(1, state)
  return state


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
  """A workdir."""
  folder = tmp_path_factory.mktemp('teacher') / 'run'
  config = tiny.config('block-gaussian')
  config.seed, config.model.depth = 1, 1
  state = saved(folder, config.lock())
  return str(folder), state.ema[base.DENOISER]


def student(place, name='progressive', **own):
  """The config of its student."""
  config = tiny.config('block-gaussian')
  own = own if own else dict(first=2, last=1, stage=1)
  with config.unlocked():
    config.recipe = dict(name=name, teacher=place, **own)
  config.model.told, config.model.depth, config.train.batch_size = 'difference', 1, 8
  return config


def same(one, other):
  for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
    np.testing.assert_array_equal(a, b)


def rows():
  """A batch."""
  tokens = tiny.regime('block-gaussian').data(8)
  return {'tokens': np.asarray(tokens), 'label': np.full(8, -1, np.int32)}


def test_a_student_starts_as_its_teacher_who_never_moves_and_resumes_bit_for_bit(teacher, tmp_path):
  place, params = teacher
  config = student(place, 'consistency', first=2, last=2, double=1).lock()
  parts, mesh, shardings = opened(config)
  with jax.set_mesh(mesh):
    state = begin.born(parts, shardings)
    same(state.params[base.TEACHER], params)
    own = state.params[base.DENOISER]
    level = {**own['level']}
    assert np.any(level.pop('ahead')['hidden']['kernel'])
    same({**own, 'level': level}, params)
    update, batch = train.make_update(parts, mesh, shardings), rows()
    state, scalars = update(state, batch)
    assert float(scalars['teacher_calls']) == 8
    with contextlib.closing(checkpoint.Checkpoints(tmp_path, best='nats')) as keeper:
      keeper.save(1, state)
      keeper.wait()
      _, restored = keeper.restore(cost.state(parts))
    same(restored, state)
    state, restored = (update(one, batch)[0] for one in (state, restored))
    same(restored, state)
    same(state.params[base.TEACHER], params)


def test_a_student_of_another_size_starts_anew(teacher, capfd):
  config = student(teacher[0])
  config.model.width = 8
  parts = build.build(config.lock())
  state = jax.tree.map(lambda leaf: jax.numpy.zeros(leaf.shape, leaf.dtype), cost.state(parts))
  state = teachers.seated(parts, state, lambda place: None)
  assert not np.any(state.params[base.DENOISER]['level']['hidden']['kernel'])
  assert state.params[base.DENOISER]['out']['kernel'].shape[0] == 8
  assert 'starts anew' in capfd.readouterr().out


def test_sampling_needs_no_teacher(teacher):
  parts = build.build(student('/nowhere/run').lock())
  assert cost.params(parts)['level']['ahead']
  with pytest.raises(ValueError, match='nowhere'):
    cost.state(parts)


def test_a_page_says_where_the_teacher_of_a_student_is_gone(monkeypatch):
  parts = build.build(student('/nowhere/run').lock())
  monkeypatch.setattr(few_steps, 'shown', lambda parts: True)
  (told,) = few_steps.sections(parts, None, None, rows=[], flops=0.0)
  assert 'The teacher /nowhere/run is not there' in told.parts[0].words


def test_a_student_that_is_told_its_guidance_is_its_teacher_at_first_and_needs_one_call(teacher):
  config = student(teacher[0])
  config.model.guided, config.guidance.scale = 'interval', 3.0
  parts, mesh, shardings = opened(config.lock())
  assert parts.branches == 1 and generate.caches(parts) == 1
  with jax.set_mesh(mesh):
    own = begin.born(parts, shardings).params[base.DENOISER]
  assert np.any(own['guidance']['hidden']['kernel'])
  labels, slots = jnp.arange(8) % 3, parts.blocks.token_slots(parts.spec.coords)
  ask = ask_lib.Ask(jnp.asarray(rows()['tokens']), jnp.full((8, 6), 0.5), slots)
  told = jnp.asarray(generate.told_guidance(parts, 8))
  at_one = told.at[..., 0].set(1.0)

  @jax.jit
  def outs(own):
    learnt = jax.tree.map(lambda leaf: leaf + 0.1, own)
    plain = dataclasses.replace(parts.model, guided='none')
    usual = plain.denoise({name: leaf for name, leaf in learnt.items() if name != 'guidance'})
    first = parts.model.denoise({**learnt, 'guidance': own['guidance']})
    learnt = parts.model.denoise(learnt)
    return [
      network.condition(denoise, {'label': labels, **more})(ask).out for denoise, more in (
        (usual, {}), (first, {'guidance': told}), (learnt, {}), (learnt, {'guidance': at_one}),
        (learnt, {'guidance': told}),
      )
    ] + [generate.guided(parts, learnt, {'label': labels})(ask).out]

  usual, *same_as, told, sampled = outs(own)
  for other in same_as:
    np.testing.assert_array_equal(other, usual)
  np.testing.assert_array_equal(sampled, told)
  assert np.abs(np.asarray(told) - usual).max() > 1e-3


@pytest.mark.parametrize(('change', 'words'), [
  (lambda c: c.process.update(schedule='flow'), 'process.schedule=cosine'),
  (lambda c: c.blocks.update(size=3), 'learnt other blocks'),
  (lambda c: c.update(history=0.1), 'learnt other blocks'),
  (lambda c: c.recipe.update(teacher='here'), 'no model of that name'),
])
def test_a_teacher_that_does_not_fit_is_refused_in_a_sentence(teacher, change, words):
  config = student(teacher[0])
  change(config)
  with pytest.raises(ValueError, match=words):
    cost.state(build.build(config.lock()))


@pytest.mark.parametrize(('change', 'words'), [
  (lambda c: c.recipe.update(teacher=''), 'learns from a teacher'),
  (lambda c: c.recipe.update(first=3), 'a power of two'),
  (lambda c: c.recipe.update(stage=10**4), 'leave none'),
  (lambda c: c.model.update(self_condition=True), 'self_condition=False'),
  (lambda c: c.model.update(guided='scale') or c.guidance.update(scale=9.0), 'from 1 to 9'),
  (lambda c: c.model.update(guided='scale') or c.guidance.update(interval=(0.2, 0.8)), 'interval'),
  (lambda c: c.unlock().__setattr__('recipe', dict(name='plain')) or c.model.update(
    guided='scale'), 'teaches no guidance'),
  (lambda c: c.solver.update(name='flow_map') or c.model.update(told='t'), "told='difference'"),
])
def test_what_a_recipe_needs_is_said_before_anything_is_made(teacher, change, words):
  config = student(teacher[0])
  with config.unlocked():
    config.solver = dict(name='first_order')
  change(config)
  with pytest.raises(ValueError, match=words):
    build.build(config.lock())


def test_a_student_is_sampled_at_the_levels_that_it_learnt(tmp_path):
  workdir_lib.claim(tmp_path, student('untrained').lock(), {})
  for override in ('spacing.name=power', 'spacing={}'):
    with pytest.raises(ValueError, match='levels that recipe progressive has not learnt'):
      workdir_lib.load(tmp_path, [override])
  other = workdir_lib.load(tmp_path, ['plan.steps=1']).copy_and_resolve_references().unlock()
  workdir_lib.check(tmp_path, other, {})
  other.spacing = dict(name='power', exponent=2.0)
  with pytest.raises(ValueError, match='spacing.*is absent there and 2.0 here'):
    workdir_lib.check(tmp_path, other.lock(), {})


def test_a_student_of_a_walk_goes_on_with_the_walk_that_it_was_begun_with(tmp_path):
  config = student('untrained', 'matching').lock()
  workdir_lib.claim(tmp_path, config, {})
  other = workdir_lib.load(tmp_path, ['plan.steps=1'])  # to sample from
  with pytest.raises(ValueError, match='plan.steps is .* there and 1 here'):
    workdir_lib.check(tmp_path, other, {})


def test_a_student_that_learnt_all_levels_is_sampled_at_any(tmp_path):
  config = student('untrained', 'meanflow', flow=0.5).lock()
  workdir_lib.claim(tmp_path, config, {})
  other = workdir_lib.load(tmp_path, ['spacing.name=power'])
  assert other.spacing.name == 'power'
  workdir_lib.check(tmp_path, other, {})


# ---- Of symbols ---------------------------------------------------------------------------------

def decoding(place='untrained'):
  """The config of a student that makes the symbols of a chain at once."""
  config = tiny.config('ar')
  with config.unlocked():
    config.blocks, config.draw = dict(name='whole'), dict(name='uniform')
    config.solver = dict(name='decoded')
    config.recipe = dict(name='distilled_decoding', teacher=place, steps=2)
  config.model.hinted, config.cond_dropout, config.train.batch_size = 'beside', 0.0, 8
  return config


def test_a_teacher_of_other_symbols_is_refused_in_a_sentence(tmp_path):
  config = tiny.config('ar')
  config.data.vocab += 1
  saved(tmp_path / 'run', config.lock())
  with pytest.raises(ValueError, match='vocab'):
    cost.state(build.build(decoding(str(tmp_path / 'run')).lock()))


@pytest.mark.parametrize(('change', 'words'), [
  (lambda c: c.recipe.update(teacher=''), 'learns from a teacher'),
  (lambda c: c.plan.update(steps=3), 'not in 3; write plan.steps=2'),
  (lambda c: c.eval.update(steps=(4,)), 'not in 4'),
  (lambda c: c.unlock().__setattr__('solver', dict(name='code_flow')), 'solver.name=decoded'),
  (lambda c: c.train.update(block_sizes=(3,)), r'train.block_sizes=\(\)'),
])
def test_what_decoding_needs_is_said_before_anything_is_made(change, words):
  config = decoding()
  change(config)
  with pytest.raises(ValueError, match=words):
    build.build(config.lock())
