"""A student that reads its own states, from a config: refused, resumed, sampled."""

import contextlib
import dataclasses
import functools

import jax
import numpy as np
import pytest
import tiny

from adiff.machine import checkpoint, cost
from adiff.run import build, generate, roles, train

BATCH = 8


def config():
  """Of a student of one block, and its untrained teacher."""
  c = tiny.config('full-gaussian')
  c.train.batch_size, c.plan.steps, c.eval.steps = BATCH, 2, ()
  with c.unlocked():
    c.recipe = dict(name='trajectory', teacher='untrained', states=2, inner=1)
    c.solver = dict(name='trajectory')
  with c.ignore_type():
    c.model.reach = ((1, None), (1, 0))
  return c


@functools.cache
def parts():
  return build.build(config().lock())


@pytest.mark.soak
def test_it_resumes_bit_for_bit_and_counts_its_teachers_calls(tmp_path):
  of = parts()
  mesh = build.build_mesh(of, jax.devices()[:1])
  update = train.make_update(of, mesh, build.state_shardings(of, mesh, cost.state(of)))
  batch = {
    'tokens': np.asarray(tiny.regime('full-gaussian').data(BATCH)),
    'label': np.full(BATCH, -1, np.int32),
  }
  with jax.set_mesh(mesh):
    state, scalars = update(of.recipe.init(jax.random.key(0)), batch)
    assert float(scalars['teacher_calls']) == BATCH * 2
    with contextlib.closing(checkpoint.Checkpoints(tmp_path, best='nats')) as keeper:
      keeper.save(1, state)
      keeper.wait()
      _, restored = keeper.restore(cost.state(of))
    jax.tree.map(np.testing.assert_array_equal, restored, state)
    state, restored = (update(one, batch)[0] for one in (state, restored))
    jax.tree.map(np.testing.assert_array_equal, restored, state)


def test_it_has_no_likelihood_and_its_sampler_walks_as_the_definition_does():
  of = parts()
  assert roles.measuring(of).BEST == 'energy'
  params = tiny.random_params(of.model, of.process, of.blocks, of.spec.coords)
  keys, labels = generate.example_keys(0, 0, 3), np.full(3, -1, np.int32)
  fast, calls = generate.make_sampler(of)(params, keys, labels)
  plain = generate.make_sampler(of, trace=True)(params, keys, labels)
  np.testing.assert_allclose(fast, plain[-1], atol=1e-5)
  assert np.asarray(calls).tolist() == [2] * 3


def test_reading_earlier_states_costs_their_scores_in_the_layers_that_read_them():
  of = parts()

  def cost_of(lower):
    model = dataclasses.replace(of.model, reach=((lower, None), (2 - lower, 0))[not lower:])
    plain = dataclasses.replace(of.recipe.plain, model=model)
    recipe = dataclasses.replace(of.recipe, plain=plain)
    return generate.rollout(dataclasses.replace(of, model=model, recipe=recipe), 1)

  tokens, steps = of.blocks.num_tokens, 2
  earlier = sum(tokens * step for step in range(steps))
  reading, alone = cost_of(1), cost_of(0)
  assert reading.flops - alone.flops == 2 * 2 * tokens * earlier * of.model.width
  assert reading.cache_bytes == 2 * tokens * of.model.width * 4 and alone.cache_bytes == 0


@pytest.mark.parametrize(('change', 'words'), [
  (lambda c: c.recipe.update(teacher=''), 'learns from a teacher'),
  (lambda c: c.recipe.update(states=3), 'write plan.steps=3'),
  (lambda c: c.eval.update(steps=(1,)), r'eval.steps=\(\)'),
  (lambda c: c.solver.update(name='first_order'), 'solver.name=trajectory'),
  (lambda c: c.recipe.update(name='consistency', first=2, last=2), 'recipe.name=trajectory'),
  (lambda c: c.train.update(random_length=0.5), 'train.random_length=0.0'),
  (lambda c: c.parallel.update(method='picard'), 'parallel.method=none'),
])
def test_what_does_not_suit_it_is_said_before_anything_is_made(change, words):
  c = config()
  with c.unlocked():
    change(c)
    if c.recipe.name != 'trajectory':
      del c.recipe['states'], c.recipe['inner']
  with pytest.raises(ValueError, match=words):
    build.build(c.lock())


def test_several_blocks_are_refused():
  c = config()
  with c.unlocked():
    c.blocks = dict(name='equal', size=2)
  with pytest.raises(ValueError, match='blocks.name=whole'):
    build.build(c.lock())
