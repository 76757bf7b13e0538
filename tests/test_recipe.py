"""One training step: what it averages, what it draws, and that devices do not matter."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tiny

from adiff import levels, recipe, sharding
from adiff import state as state_lib

KEY = 11


@functools.cache
def plain(draw=None, tx=None, **changes):
  parts = tiny.regime('ar-masked').parts
  changes = dict(microbatches=1, cond_dropout=0.0) | changes
  return dataclasses.replace(
    parts.recipe, model=tiny.regime('ar-masked').model, tx=tx or optax.sgd(1.0),
    draw=(draw or levels.ones(),), **changes)


def state(of, name='ar-masked'):
  params = tiny.regime(name).params
  return state_lib.State(jnp.int32(0), params, params, of.tx.init(params))


def batch(num=8):
  tokens = tiny.regime('ar-masked').data(num)
  return {'tokens': tokens, 'label': jnp.arange(num, dtype=jnp.int32) % 3}


@functools.cache
def step(of):
  return jax.jit(of.update)


def same(a, b, **tolerance):
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    np.testing.assert_allclose(x, y, **(tolerance or dict(atol=1e-5)))


def test_a_step_goes_downhill_and_counts_itself():
  of = plain(tx=optax.sgd(0.05))
  before = state(of)
  now, first = step(of)(before, batch(), jax.random.key(KEY))
  for _ in range(3):
    now, last = step(of)(now, batch(), jax.random.key(KEY))
  assert float(last['loss']) < float(first['loss']) and int(now.step) == 4
  assert bool(last['finite']) and float(last['grad_norm']) > 0
  moved = lambda new, old: sum(
    float(jnp.sum(jnp.abs(a - b)))
    for a, b in zip(jax.tree.leaves(new), jax.tree.leaves(old), strict=True))
  assert 0 < moved(now.ema, before.params) < moved(now.params, before.params)


def test_microbatches_are_averaged():
  # With every token masked the loss has no noise: one batch and two halves agree.
  one, two = plain(), plain(microbatches=2)
  results = [step(of)(state(of), batch(), jax.random.key(KEY)) for of in (one, two)]
  same(results[0][0].params, results[1][0].params)
  same(results[0][1]['loss'], results[1][1]['loss'])


def spy(seen):
  """A draw that notes the key of every call."""

  def draw(key, shape):
    jax.debug.callback(lambda data: seen.append(tuple(data.tolist())), jax.random.key_data(key))
    return jnp.ones(shape)

  return draw


def network(seen):
  """recipe.network of a model that says nothing and notes its labels."""

  def made(model, params, *, history_cond, key):
    def apply(x, t, s, slots, cond, cache=None, commit=0):
      jax.debug.callback(lambda label: seen.append(np.asarray(label)), cond['label'])
      return jnp.zeros((*x.shape[:2], 3)) + 0 * params['out']['bias'][None, None], None
    return apply

  return made


def test_no_two_microbatches_and_no_two_steps_share_noise(monkeypatch):
  monkeypatch.setattr(recipe, 'network', network([]))
  seen = []
  of = plain(draw=spy(seen), microbatches=4)
  update = jax.jit(of.update)
  for i in range(2):
    jax.block_until_ready(update(state(of), batch(), jax.random.key(i)))
  jax.effects_barrier()
  assert len(seen) == 8 and len(set(seen)) == 8


def test_labels_are_hidden_for_whole_examples_at_their_rate(monkeypatch):
  seen = []
  monkeypatch.setattr(recipe, 'network', network(seen))
  of = plain(cond_dropout=0.25)
  rows = {'tokens': jnp.zeros((4000, 6), jnp.int32), 'label': jnp.ones(4000, jnp.int32)}
  jax.block_until_ready(jax.jit(of.update)(state(of), rows, jax.random.key(KEY)))
  jax.effects_barrier()
  assert seen[0].shape == (4000,)
  np.testing.assert_allclose(np.mean(seen[0] == -1), 0.25, atol=0.03)


def test_a_step_on_eight_devices_is_the_step_on_one():
  of = dataclasses.replace(
    tiny.regime('block-gaussian').parts.recipe, model=tiny.regime('block-gaussian').model,
    microbatches=2, tx=optax.sgd(0.1))
  before = state(of, 'block-gaussian')
  rows = {'tokens': tiny.regime('block-gaussian').data(16), 'label': jnp.arange(16) % 3}
  mesh = sharding.make_mesh(2, 4)
  shardings = sharding.state_shardings(mesh, jax.eval_shape(lambda: before), min_size=64)
  assert any(not leaf.is_fully_replicated for leaf in jax.tree.leaves(shardings))
  spread = jax.device_put(before, shardings), sharding.put_batch(mesh, rows)
  single = jax.jit(of.update)(before, rows, jax.random.key(KEY))
  several = jax.jit(of.update, out_shardings=(shardings, None))(*spread, jax.random.key(KEY))
  same(single[0].params, several[0].params)
  same(single[1]['loss'], several[1]['loss'])
  same(single[1]['loss_per_level'], several[1]['loss_per_level'], atol=1e-4)
