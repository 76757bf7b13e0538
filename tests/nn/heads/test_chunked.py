"""Outputs where they carry loss: the same loss, by less work."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.learn import lessons
from adiff.machine import sharding
from adiff.nn.heads import chunked, linear
from adiff.process import base as process_base
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import draw as draw_lib

ROWS, TOKENS = 8, 12
WEIGHT = np.ones((ROWS, TOKENS), np.float32)
WEIGHT[:, :2], WEIGHT[3:, 9:], WEIGHT[5] = 0, 0, 0.5
PACKED = {
  'segment': np.where(np.arange(TOKENS) < 5, 0, np.where(WEIGHT > 0, 1, -1)),
  'position': np.tile(np.arange(TOKENS), (ROWS, 1)), 'weight': WEIGHT,
}


def plain(row='block-masked', *, blocks=(3,), draw=None, model=(), **changes):
  """The row's recipe on TOKENS tokens, with a tiny random network; model: what is changed there."""
  regime = tiny.regime(row)
  history = regime.blocks.history
  sizes = tuple(blocks_lib.equal(TOKENS, size, history=history) for size in blocks)
  return dataclasses.replace(
    regime.parts.recipe, model=dataclasses.replace(regime.model, **dict(model)), blocks=sizes,
    draw=(draw or draw_lib.uniform(),) * len(sizes), coords=np.arange(TOKENS)[:, None], **changes)


def batch(**more):
  tokens = jax.random.randint(jax.random.key(1), (ROWS, TOKENS), 0, 3)
  return {'tokens': tokens, 'label': jnp.arange(ROWS) % 3, **jax.tree.map(jnp.asarray, more)}


def gradient(of, rows, many, row='block-masked', params=None):
  """(gradient, scalars) of a recipe whose network has the chunked head from `many` outputs on."""
  model = dataclasses.replace(of.model, head=chunked.Chunked(least=many))
  of = dataclasses.replace(of, model=model)
  run = jax.jit(lambda params, rows, key: of.gradient(params, rows, key, of.share))
  return run(params or tiny.regime(row).params, rows, jax.random.key(2))


def same(ours, theirs, tolerance=1e-5):
  largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(theirs[0]))
  equal = lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * largest)
  jax.tree.map(equal, *jax.device_get((ours, theirs)))


CASES = {
  'masked': (plain, {}),
  'masked, weights and documents': (plain, PACKED),
  'masked, one block': (functools.partial(plain, blocks=(12,)), {}),
  'masked, several sizes of blocks': (functools.partial(plain, blocks=(4, 2)), PACKED),
  'masked, microbatches': (functools.partial(plain, microbatches=4), {}),
  'masked, random lengths': (
    functools.partial(plain, lessons=(lessons.RandomLength(0.8),)), {}
  ),
  'masked, complementary': (functools.partial(plain, complementary=True), {}),
  'all wanted': (functools.partial(plain, draw=draw_lib.ones()), {}),
  'none wanted': (plain, {'weight': 0 * WEIGHT}),
}
OFTEN = ('masked, weights and documents', 'masked, several sizes of blocks')


@pytest.mark.parametrize('name', [
  pytest.param(name, marks=() if name in OFTEN else pytest.mark.soak) for name in CASES
])
def test_loss_curves_and_gradients_are_those_of_all_outputs(name):
  make, more = CASES[name]
  ours, theirs = (gradient(make(), batch(**more), many) for many in (1, 100))
  assert name == 'none wanted' or float(theirs[1]['loss']) > 0
  same(ours, theirs)


@pytest.mark.soak
def test_low_precision_is_rounded_where_it_was():
  with jax.numpy_dtype_promotion('standard'):  # flax and jax promote bfloat16 themselves
    ours, theirs = (
      gradient(plain(model={'dtype': 'bfloat16'}), batch(**PACKED), many) for many in (1, 100)
    )
  same(ours, theirs, 1e-2)


@pytest.mark.parametrize('row', [
  'forcing-uniform', pytest.param('block-gaussian', marks=pytest.mark.soak)
])
def test_other_processes_have_their_loss_too(row):
  rows = batch(**PACKED)
  if row == 'block-gaussian':
    dim = tiny.regime(row).process.dim
    rows['tokens'] = jax.random.normal(jax.random.key(1), (ROWS, TOKENS, dim))
  same(*(gradient(plain(row), rows, many, row) for many in (1, 100)))


def test_one_shifted_stream_has_its_loss_too():
  of = plain(model={'shifted': True}, blocks=(1,))
  same(*(gradient(of, batch(**PACKED), many) for many in (1, 100)))


@pytest.mark.soak
def test_the_estimate_of_self_conditioning_is_made_for_all_tokens():
  regime, of = tiny.regime('block-masked'), plain(model={'self_condition': True})
  params = tiny.random_params(of.model, regime.process, regime.blocks, regime.coords)
  same(*(gradient(of, batch(), many, params=params) for many in (1, 100)))


def test_it_works_in_chunks_from_a_vocabulary_on_where_that_is_the_faster_way():
  head = tiny.regime('block-masked').model.head
  assert [head.chunks(num_outputs) for num_outputs in (1023, 1024)] == [1, chunked.CHUNKS]


# ---- What is not computed -----------------------------------------------------------------------

H = jax.random.normal(jax.random.key(3), (4, 8, 5))
X0 = jax.random.randint(jax.random.key(4), (4, 8), 0, 7)
PARAMS = {
  'kernel': jax.random.normal(jax.random.key(5), (5, 7)),
  'bias': jax.random.normal(jax.random.key(6), (7,)),
}


def asked(weight, h=H, calls=None, kind=functools.partial(chunked.Chunked, least=1)):
  """((sum, value), gradients in (PARAMS, h)) of the cross entropy, as the head has them."""

  def objective(out, x0):
    if calls is not None:
      jax.debug.callback(lambda: calls.append(len(x0)))
    return process_base.cross_entropy(out, x0)

  def total(params, h):
    return kind(params, jnp.dtype('float32')).loss(h, None, None, objective, weight, X0)

  result = jax.jit(jax.value_and_grad(total, (0, 1), has_aux=True))(PARAMS, h)
  jax.effects_barrier()
  return result


def near(ours, theirs):
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), ours, theirs)


@pytest.mark.parametrize('share', [0.0, 0.3, 1.0])
def test_sum_values_and_gradients_are_those_of_the_linear_head(share):
  weight = jax.random.uniform(jax.random.key(7), (4, 8))
  weight = jnp.where(jax.random.uniform(jax.random.key(8), (4, 8)) < share, weight, 0)
  (total, value), gradients = asked(weight)
  (all_total, all_value), all_gradients = asked(weight, kind=linear.Linear)
  near((total, gradients), (all_total, all_gradients))
  near(value, jnp.where(weight == 0, 0, all_value))


@pytest.mark.parametrize('wanted', [0, 1, 2, 15, 32])
def test_chunks_without_weight_are_skipped_and_no_other(wanted):
  calls, places = [], jax.random.permutation(jax.random.key(wanted), 32)
  asked((places < wanted).astype(jnp.float32).reshape(4, 8), calls=calls)
  assert calls == [2] * -(-wanted // 2)  # 32 tokens in 16 chunks


def test_tokens_without_weight_are_not_read():
  weight = jnp.ones((4, 8)).at[:, 3:].set(0)  # 20 tokens, whole chunks
  (total, value), (to_params, to_h) = asked(weight, H.at[:, 3:].set(jnp.nan))
  clean = asked(weight)
  jax.tree.map(np.testing.assert_array_equal, ((total, value), (to_params, to_h)), clean)
  assert np.all(value[:, 3:] == 0) and np.all(to_h[:, 3:] == 0) and np.all(value[:, :3] > 0)


def test_every_device_skips_chunks_of_its_own():
  calls, weight = [], jnp.zeros((4, 8)).at[0].set(1).at[1, 0].set(1)
  with jax.set_mesh(sharding.make_mesh(data=4, sequence=2)):
    split = asked(weight, calls=calls)
  near(split, asked(weight))
  assert calls == [1] * 9  # one token a chunk
