"""One training step: what it averages, what it asks, and that devices do not matter."""

import dataclasses
import functools
import types
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

from adiff.learn import base, lessons
from adiff.learn import state as state_lib
from adiff.machine import sharding
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import copies
from adiff.sequence import draw as draw_lib

KEY = 11


@functools.cache
def plain(draw=None, tx=None, **changes):
  regime = tiny.regime('ar-masked')
  changes = dict(model=regime.model, microbatches=1, cond_dropout=0.0) | changes
  return dataclasses.replace(
    regime.parts.recipe, tx=tx or optax.sgd(1.0),
    draw=draw if isinstance(draw, tuple) else (draw or draw_lib.ones(),), **changes,
  )


def state(of, name='ar-masked'):
  params = {base.DENOISER: tiny.regime(name).params}
  opt = {base.DENOISER: of.tx.init(params[base.DENOISER])}
  return state_lib.State(jnp.int32(0), params, params, opt, {})


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

  def moved(new, old):
    pairs = zip(jax.tree.leaves(new), jax.tree.leaves(old), strict=True)
    return sum(float(jnp.sum(jnp.abs(a - b))) for a, b in pairs)

  assert 0 < moved(now.ema, before.params) < moved(now.params, before.params)


def test_the_averaged_denoiser_is_what_is_served():
  of = plain()
  now, _ = step(of)(state(of), batch(), jax.random.key(KEY))
  assert of.served(now) is now.ema[base.DENOISER]


def test_microbatches_are_averaged():
  # With every token masked the loss has no noise: one batch and two halves agree.
  whole, halves = plain(), plain(microbatches=2)
  results = [step(of)(state(of), batch(), jax.random.key(KEY)) for of in (whole, halves)]
  same(results[0][0].params, results[1][0].params)
  same(results[0][1]['loss'], results[1][1]['loss'])


def spy(seen):
  """A draw that notes the key of every call."""

  def draw(key, shape):
    jax.debug.callback(lambda data: seen.append(tuple(data.tolist())), jax.random.key_data(key))
    return jnp.ones(shape)

  return draw


@dataclasses.dataclass(frozen=True, eq=False)
class Fake:
  """As a nn.network.Network: what a recipe needs of one, and outputs that are made by hand."""

  out_of: Callable  # (params, ask) -> out
  num_hints = 0
  conds = types.MappingProxyType({})

  def denoise(self, params, *, key=None, loops=False):
    return ask_lib.from_outputs(lambda ask: self.out_of(params, ask))


def silent(seen):
  """A network that says nothing and notes its labels."""

  def out_of(params, ask):
    jax.debug.callback(lambda label: seen.append(np.asarray(label)), ask.cond['label'])
    return jnp.zeros((*ask.x.shape[:2], 3)) + 0 * params['out']['bias'][None, None]

  return Fake(out_of)


def test_no_two_microbatches_and_no_two_steps_share_noise():
  seen = []
  of = plain(draw=spy(seen), microbatches=4, model=silent([]))
  update = jax.jit(of.update)
  for i in range(2):
    jax.block_until_ready(update(state(of), batch(), jax.random.key(i)))
  jax.effects_barrier()
  assert len(seen) == 8 and len(set(seen)) == 8


def test_labels_are_hidden_for_whole_examples_at_their_rate():
  seen = []
  of = plain(cond_dropout=0.25, model=silent(seen))
  rows = {'tokens': jnp.zeros((4000, 6), jnp.int32), 'label': jnp.ones(4000, jnp.int32)}
  jax.block_until_ready(jax.jit(of.update)(state(of), rows, jax.random.key(KEY)))
  jax.effects_barrier()
  label = seen[0][:, :6]  # of the working copy
  assert label.shape == (4000, 6)
  np.testing.assert_array_equal(label, np.repeat(label[:, :1], 6, 1))
  np.testing.assert_allclose(np.mean(label[:, 0] == -1), 0.25, atol=0.03)


def test_a_step_on_eight_devices_is_the_step_on_one():
  regime = tiny.regime('block-gaussian')
  of = dataclasses.replace(
    regime.parts.recipe, model=regime.model, microbatches=2, tx=optax.sgd(0.1)
  )
  before = state(of, 'block-gaussian')
  rows = {'tokens': regime.data(16), 'label': jnp.arange(16) % 3}
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


class Met(NamedTuple):
  """What a network met."""

  x: np.ndarray
  t: np.ndarray
  segment: np.ndarray
  label: np.ndarray


def objective(of, rows, key=KEY):
  """(loss, Met) of a network that says nothing."""
  met = []

  def out_of(params, ask):
    t = np.asarray(copies.levels(ask.t, ask.slots))
    met.append(Met(np.asarray(ask.x), t, np.asarray(ask.slots.segment), ask.cond['label']))
    return jnp.zeros((*ask.x.shape[:2], 3))

  of = dataclasses.replace(of, model=Fake(out_of))
  value, _ = of.objective({}, rows, jax.random.key(key))
  return value, met[0]


def test_a_complementary_step_shows_every_token_once_and_hides_it_once():
  of, rows = plain(draw_lib.uniform(), complementary=True), batch()
  _, met = objective(of, rows)
  first, second = np.split(met.x[:, :6], 2)
  np.testing.assert_array_equal(first == 3, second != 3)
  np.testing.assert_array_equal(np.minimum(first, second), rows['tokens'])
  np.testing.assert_allclose(met.t[:8, :6] + met.t[8:, :6], 1, rtol=1e-6)
  twice = np.tile(rows['label'], 2)[:, None]
  np.testing.assert_array_equal(met.label[:, :6], np.repeat(twice, 6, 1))


def test_a_share_of_rows_ends_at_a_random_token_and_the_others_are_whole():
  rows = {'tokens': jnp.zeros((4000, 6), jnp.int32), 'label': jnp.zeros(4000, jnp.int32)}
  value, met = objective(plain(lessons=(lessons.RandomLength(0.6),)), rows)
  np.testing.assert_allclose(value, np.log(3), rtol=1e-5)  # averaged over what is left
  work = met.segment[:, :6]
  ends = np.sum(work == 0, axis=1)
  np.testing.assert_array_equal(work, np.where(np.arange(6) < ends[:, None], 0, -1))
  np.testing.assert_array_equal(met.segment[:, 6:], work[:, :5])  # the history copy too
  share = np.bincount(ends, minlength=7) / 4000
  np.testing.assert_allclose(share, [0, *[0.1] * 5, 0.5], atol=0.03)


def test_tokens_behind_the_end_are_neither_seen_nor_paid_for():
  of, rows = plain(lessons=(lessons.RandomLength(1.0),)), batch()
  behind = objective(of, rows)[1].segment[:, :6] == -1
  assert 0 < behind.sum() < behind.size
  params = state(of).params[base.DENOISER]

  @jax.jit
  def value(tokens):
    return of.objective(params, {**rows, 'tokens': tokens}, jax.random.key(KEY))[0]

  def changed(mask):
    return jnp.where(mask, (rows['tokens'] + 1) % 3, rows['tokens'])

  assert value(changed(behind)) == value(rows['tokens']) != value(changed(~behind))


def test_a_batch_is_dealt_out_among_block_sizes_and_their_gradients_are_averaged():
  def out_of(params, ask):
    place = jnp.asarray(1.0 + ask.slots.block[:, None], float)
    wave = jnp.sin(place * (1 + jnp.arange(3.0))[None])
    out = wave[None] * params['out']['bias'][None, None]
    return jnp.broadcast_to(out, (*ask.x.shape, 3))

  blocks = tuple(blocks_lib.equal(6, size) for size in (2, 1))
  draw = (draw_lib.ones(), draw_lib.ones())  # no noise in the loss
  fake = Fake(out_of)
  both, rows = plain(draw, blocks=blocks, model=fake), batch()
  now, scalars = jax.jit(both.update)(state(both), rows, jax.random.key(KEY))
  params, losses = [], []
  for kind in range(2):
    of = plain(blocks=blocks[kind:kind + 1], model=fake)
    mine = jax.tree.map(lambda leaf, k=kind: leaf[k::2], rows)
    alone, alone_scalars = jax.jit(of.update)(state(of), mine, jax.random.key(KEY))
    params.append(alone.params[base.DENOISER])
    losses.append(alone_scalars['loss'])
  # One step of sgd with rate 1: the mean of the parameters is the mean of the gradients.
  same(now.params[base.DENOISER], jax.tree.map(lambda a, b: (a + b) / 2, *params))
  same((scalars['loss_block2'], scalars['loss_block1']), losses)
  same(scalars['loss'], sum(losses) / 2)
  assert not np.allclose(*losses, atol=1e-3)
  assert np.any(params[0]['out']['bias'] != params[1]['out']['bias'])


# ---- Rows that hold unequal numbers of tokens ----------------------------------------------------


CAUSAL = (dataclasses.replace(blocks_lib.equal(6, 2), causal=True),)


class Ends:
  """A lesson: a row ends behind as many tokens as its label says."""

  def __call__(self, key, rows):
    kept = jnp.arange(6)[None] < rows['label'][:, None]
    return {**rows, 'segment': jnp.where(kept, 0, -1), 'weight': kept.astype(jnp.float32)}


def unequal(kind):
  """(rows of very unequal numbers of tokens, those that are paid for, lessons)."""
  rows = batch(16)
  ends = jnp.array([6, 1, 5, 1, 6, 2, 4, 1, 6, 1, 6, 1, 2, 2, 6, 1])
  kept = (jnp.arange(6)[None] < ends[:, None]).astype(jnp.float32)
  rows['tokens'] = jnp.where(kept > 0, rows['tokens'], 0)
  if kind == 'weights':
    return {**rows, 'weight': kept * jnp.linspace(0.1, 3, 16)[:, None]}, ()
  if kind == 'packed':
    second = (jnp.arange(6)[None] >= ends[:, None] // 2).astype(jnp.int32)
    position = jnp.arange(6)[None] - second * (ends[:, None] // 2)
    segment = jnp.where(kept > 0, second, -1)
    return {**rows, 'segment': segment, 'position': position, 'weight': kept}, ()
  return {**rows, 'label': ends.astype(jnp.int32)}, (Ends(),)


def gradient(rows, mesh=None, **changes):
  """(gradient, scalars) where every token is masked, so that nothing is random."""
  draw = (draw_lib.ones(),) * len(changes.get('blocks', (0,)))
  of = plain(draw, **changes)
  if mesh is not None:
    rows = sharding.put_batch(mesh, rows, len(rows['label']))
  params = tiny.regime('ar-masked').params
  return jax.jit(functools.partial(of.gradient, share=of.share))(params, rows, jax.random.key(KEY))


@functools.cache
def in_pieces(kind, next_token, num):
  """The gradient of unequal rows in `num` micro-batches."""
  rows, taught = unequal(kind)
  return gradient(rows, microbatches=num, next_token=next_token, lessons=taught, blocks=CAUSAL)


@pytest.mark.parametrize('kind, next_token, num', [
  ('packed', 0.7, 4), *(pytest.param(*case, marks=pytest.mark.soak) for case in (
    ('lesson', 0.0, 2), ('lesson', 0.7, 4), ('weights', 0.7, 4), ('packed', 0.0, 2),
    ('weights', 0.0, 2),
  )),
])
def test_micro_batches_of_unequal_rows_have_the_gradient_of_the_whole_batch(kind, next_token, num):
  whole, parts = in_pieces(kind, next_token, 1), in_pieces(kind, next_token, num)
  same(whole, parts, atol=2e-6, rtol=2e-5)
  assert ('next_token' in whole[1]) == bool(next_token)


def test_unequal_rows_on_eight_devices_have_the_gradient_of_one():
  rows, _ = unequal('packed')
  several = gradient(
    rows, sharding.make_mesh(8, 1), next_token=0.7, microbatches=2, blocks=CAUSAL)
  same(in_pieces('packed', 0.7, 1), several, atol=2e-6, rtol=2e-5)


def test_block_sizes_that_a_batch_is_dealt_out_among_count_as_many_tokens_as_they_hold():
  rows, _ = unequal('weights')
  blocks = tuple(blocks_lib.equal(6, size) for size in (2, 1))
  both, scalars = gradient(rows, blocks=blocks)
  alone = []
  for kind in range(2):
    mine = jax.tree.map(lambda leaf, k=kind: leaf[k::2], rows)
    count = float(jnp.sum(mine['weight']))
    alone.append((count, *gradient(mine, blocks=blocks[kind:kind + 1])))
  total = sum(count for count, _, _ in alone)
  assert max(count for count, _, _ in alone) > 2 * min(count for count, _, _ in alone)
  same(both, jax.tree.map(
    lambda a, b: (alone[0][0] * a + alone[1][0] * b) / total, alone[0][1], alone[1][1]))
  expected = sum(count * scalar['loss'] for count, _, scalar in alone) / total
  np.testing.assert_allclose(scalars['loss'], expected, rtol=1e-5)
  for size, (_, _, scalar) in zip((2, 1), alone, strict=True):
    np.testing.assert_allclose(scalars[f'loss_block{size}'], scalar['loss'], rtol=1e-5)


def test_a_micro_batch_without_a_token_that_is_paid_for_changes_nothing():
  rows, _ = unequal('weights')
  rows['weight'] = rows['weight'].at[1::2].set(0)  # the second of two micro-batches
  alone = jax.tree.map(lambda leaf: leaf[::2], rows)
  same(gradient(rows, microbatches=2), gradient(alone), atol=2e-6, rtol=2e-5)
