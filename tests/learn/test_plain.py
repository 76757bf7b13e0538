"""One training step: what it averages, what it draws, and that devices do not matter."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tiny

from adiff.learn import plain as plain_lib
from adiff.learn import state as state_lib
from adiff.machine import sharding
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import copies
from adiff.sequence import plan as plan_lib

KEY = 11


@functools.cache
def plain(draw=None, tx=None, **changes):
  parts = tiny.regime('ar-masked').parts
  changes = dict(microbatches=1, cond_dropout=0.0) | changes
  return dataclasses.replace(
    parts.recipe, model=tiny.regime('ar-masked').model, tx=tx or optax.sgd(1.0),
    draw=draw if isinstance(draw, tuple) else (draw or plan_lib.ones(),), **changes)


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
  monkeypatch.setattr(plain_lib, 'network', network([]))
  seen = []
  of = plain(draw=spy(seen), microbatches=4)
  update = jax.jit(of.update)
  for i in range(2):
    jax.block_until_ready(update(state(of), batch(), jax.random.key(i)))
  jax.effects_barrier()
  assert len(seen) == 8 and len(set(seen)) == 8


def test_labels_are_hidden_for_whole_examples_at_their_rate(monkeypatch):
  seen = []
  monkeypatch.setattr(plain_lib, 'network', network(seen))
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
  spread = jax.device_put(before, shardings), sharding.put_batch(mesh, rows, len(rows['label']))
  single = jax.jit(of.update)(before, rows, jax.random.key(KEY))
  several = jax.jit(of.update, out_shardings=(shardings, None))(*spread, jax.random.key(KEY))
  same(single[0].params, several[0].params)
  same(single[1]['loss'], several[1]['loss'])
  same(single[1]['loss_per_level'], several[1]['loss_per_level'], atol=1e-4)


# ---- Complementary masks, rows of random length, several blocks ---------------------------------


def objective(monkeypatch, of, rows, key=KEY):
  """(loss, what the network met) of a network that says nothing."""
  met = {}

  def made(model, params, *, history_cond, key):
    def apply(x, t, s, slots, cond, cache=None, commit=0):
      t = np.asarray(copies.levels(t, slots))
      met.update(x=np.asarray(x), t=t, segment=slots.segment, label=cond['label'])
      return jnp.zeros((*x.shape[:2], 3)), None
    return apply

  with monkeypatch.context() as patch:
    patch.setattr(plain_lib, 'network', made)
    return of.objective({}, rows, jax.random.key(key))[0], met


def test_a_complementary_step_shows_every_token_once_and_hides_it_once(monkeypatch):
  of, rows = plain(plan_lib.uniform(), complementary=True), batch()
  _, met = objective(monkeypatch, of, rows)
  first, second = np.split(met['x'][:, :6], 2)
  np.testing.assert_array_equal(first == 3, second != 3)
  np.testing.assert_array_equal(np.minimum(first, second), rows['tokens'])
  np.testing.assert_allclose(met['t'][:8, :6] + met['t'][8:, :6], 1, rtol=1e-6)
  np.testing.assert_array_equal(met['label'], np.tile(rows['label'], 2))


def test_a_share_of_rows_ends_at_a_random_token_and_the_others_are_whole(monkeypatch):
  rows = {'tokens': jnp.zeros((4000, 6), jnp.int32), 'label': jnp.zeros(4000, jnp.int32)}
  value, met = objective(monkeypatch, plain(random_length=0.6), rows)
  np.testing.assert_allclose(value, np.log(3), rtol=1e-5)  # averaged over what is left
  work = np.asarray(met['segment'][:, :6])
  ends = np.sum(work == 0, axis=1)
  np.testing.assert_array_equal(work, np.where(np.arange(6) < ends[:, None], 0, -1))
  np.testing.assert_array_equal(met['segment'][:, 6:], work[:, :5])  # the history copy too
  share = np.bincount(ends, minlength=7) / 4000
  np.testing.assert_allclose(share, [0, *[0.1] * 5, 0.5], atol=0.03)


def test_tokens_behind_the_end_are_neither_seen_nor_paid_for(monkeypatch):
  of, rows = plain(random_length=1.0), batch()
  behind = np.asarray(objective(monkeypatch, of, rows)[1]['segment'][:, :6]) == -1
  assert 0 < behind.sum() < behind.size
  value = jax.jit(lambda tokens: of.objective(
    state(of).params, {**rows, 'tokens': tokens}, jax.random.key(KEY))[0])
  other = lambda mask: jnp.where(mask, (rows['tokens'] + 1) % 3, rows['tokens'])
  assert value(other(behind)) == value(rows['tokens']) != value(other(~behind))


def test_a_batch_is_dealt_out_among_block_sizes_and_their_gradients_are_averaged(monkeypatch):
  def made(model, params, *, history_cond, key):
    def apply(x, t, s, slots, cond, cache=None, commit=0):
      place = jnp.asarray(1.0 + slots.block[:, None], float)
      wave = jnp.sin(place * (1 + jnp.arange(3.0))[None])
      out = wave[None] * params['out']['bias'][None, None]
      return jnp.broadcast_to(out, (*x.shape, 3)), None
    return apply

  monkeypatch.setattr(plain_lib, 'network', made)
  blocks = tuple(blocks_lib.equal(6, size) for size in (2, 1))
  draw = (plan_lib.ones(), plan_lib.ones())  # no noise in the loss
  both, rows = plain(draw, blocks=blocks), batch()
  now, scalars = jax.jit(both.update)(state(both), rows, jax.random.key(KEY))
  params, losses = [], []
  for kind in range(2):
    of = plain(blocks=blocks[kind:kind + 1])
    mine = jax.tree.map(lambda leaf, k=kind: leaf[k::2], rows)
    alone, found = jax.jit(of.update)(state(of), mine, jax.random.key(KEY))
    params.append(alone.params)
    losses.append(found['loss'])
  # One step of sgd with rate 1: the mean of the parameters is the mean of the gradients.
  same(now.params, jax.tree.map(lambda a, b: (a + b) / 2, *params))
  same((scalars['loss_block2'], scalars['loss_block1']), losses)
  same(scalars['loss'], sum(losses) / 2)
  assert not np.allclose(*losses, atol=1e-3)
  assert np.any(params[0]['out']['bias'] != params[1]['out']['bias'])
