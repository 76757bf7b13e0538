"""PixelCNN: what it reads, that it is a law, and samples that are made place by place."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.judge import likelihood
from adiff.nn import network, pixelcnn
from adiff.nn.heads import logistics
from adiff.process import masked
from adiff.run import build
from adiff.sample import guidance, session, walk
from adiff.sample.solvers import first_order
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import conditions
from adiff.sequence import plan as plan_lib
from configs import base

VOCAB, GRID = 2, (3, 3)
NUM = GRID[0] * GRID[1]
MODEL = pixelcnn.PixelCNN(
  VOCAB + 1, VOCAB, GRID, {'label': conditions.Label(3)},
  head=logistics.Logistics(vocab=VOCAB, components=2), width=8, depth=2,
)
BLOCKS, PROCESS = blocks_lib.tokens(NUM), masked.Masked(VOCAB)
COORDS = np.stack(np.divmod(np.arange(NUM), GRID[1]), -1)
HOW = dict(blocks=BLOCKS, process=PROCESS, coords=COORDS)


@functools.cache
def params():
  """Parameters without zeros."""
  return tiny.random_params(MODEL, PROCESS, BLOCKS, COORDS)


def bound_to(params, label, scale=None, model=MODEL):
  denoise = model.denoise(params)
  if scale is not None:
    denoise = guidance.guide(denoise, scale=np.full(NUM, scale, np.float32))
  return network.condition(denoise, {'label': jnp.asarray(label)}, history_cond=True)


@jax.jit
def logits(params, x, label):
  """[B, N, V] of all tokens x [B, N] in one call."""
  ask = ask_lib.Ask(x, jnp.ones((len(x), NUM)), BLOCKS.token_slots(COORDS))
  return bound_to(params, label)(ask).out


def test_a_tokens_law_is_a_matter_of_the_tokens_before_it_and_of_all_of_them():
  x = jnp.zeros((NUM + 1, NUM), jnp.int32).at[jnp.arange(NUM), jnp.arange(NUM)].set(1)
  out = np.asarray(logits(params(), x, jnp.zeros(NUM + 1, jnp.int32)))
  moved = np.abs(out[:NUM] - out[NUM]).max(-1) > 1e-6  # [of token, at token]
  np.testing.assert_array_equal(moved, np.triu(np.ones((NUM, NUM), bool), 1))


def test_its_likelihoods_sum_to_one_over_all_pictures():
  x = jnp.asarray(list(itertools.product(range(VOCAB), repeat=NUM)), jnp.int32)
  label = jnp.ones(len(x), jnp.int32)

  @jax.jit
  def nats(params, x):
    return likelihood.bound(bound_to(params, label), jax.random.key(0), x, **HOW)[0].sum(1)

  found = nats(params(), x)
  np.testing.assert_allclose(np.exp(-np.asarray(found, np.float64)).sum(), 1, rtol=1e-5)
  law = jax.nn.log_softmax(logits(params(), x, label))
  chain = -jnp.take_along_axis(law, x[..., None], axis=-1).sum((1, 2))
  np.testing.assert_allclose(found, chain, rtol=1e-5)


@pytest.mark.parametrize('given', [0, pytest.param(4, marks=pytest.mark.soak)])
def test_samples_made_place_by_place_are_those_of_the_whole_convolution(given):
  plan = plan_lib.Plan(NUM, (1,) * NUM, given=given)
  solver, label = first_order.FirstOrder(), np.array([0, 1, -1, 2])
  x = jax.random.randint(jax.random.key(5), (4, NUM), 0, VOCAB)
  mask = jnp.broadcast_to(jnp.arange(NUM) < given, x.shape)
  tokens = dict(given=x, given_mask=mask) if given else {}

  @jax.jit
  def both(params, keys):
    bind = functools.partial(bound_to, label=label, scale=1.5)
    walked = session.Session(MODEL, bind, plan, solver=solver, caches=2, **HOW)
    return (
      walked.finish(params, walked.start(keys, **tokens)).x,
      walk.sample(bind(params), keys, plan, solver=solver, **HOW, **tokens),
    )

  made, plain = both(params(), jax.random.split(jax.random.key(1), 4))
  np.testing.assert_array_equal(made, plain)
  assert len(np.unique(made, axis=0)) > 1


def test_outputs_of_places_are_those_of_the_whole_convolution_in_float64():
  model = dataclasses.replace(MODEL, dtype='float64')
  x = jax.random.randint(jax.random.key(2), (3, NUM), 0, VOCAB)
  label, slots = jnp.array([0, 2, -1]), BLOCKS.token_slots(COORDS)

  def run(params, x, own, **cached):
    ask = ask_lib.Ask(x, jnp.ones(x.shape), own, **cached)
    return bound_to(params, label, model=model)(ask)

  @jax.jit
  def kept(params, cache, x, first):
    own = jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, first, 3), slots)
    x = jax.lax.dynamic_slice_in_dim(x, first, 3, axis=1)
    return run(params, x, own, cache=cache, keep=2)

  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    wide = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params())
    whole, cache = jax.jit(run)(wide, x, slots).out, model.empty_cache(3, 0, 2)
    assert whole.dtype == np.float64
    for first in range(0, NUM - 2, 2):  # two places are kept, the third one is asked for
      out, cache = kept(wide, cache, x, first)
      np.testing.assert_allclose(out[:, 0], whole[:, first + 2], rtol=0, atol=1e-8)


def config(**changes):
  c = base.get_config()
  base.choose(c, 'data', 'digits')
  base.choose(c, 'codec', 'patches', patch=1, discrete=True)
  base.choose(c, 'blocks', 'tokens')
  base.choose(c, 'draw', 'ones')
  base.choose(c, 'model', 'pixelcnn', width=8, depth=1)
  c.plan.steps = 1
  for key, value in changes.items():
    section, _, name = key.partition('__')
    if name == 'name':
      base.choose(c, section, value)
    else:
      c[section][name] = value
  return c


@pytest.mark.parametrize('changes, words', [
  (dict(draw__name='uniform'), 'model pixelcnn shows a token as noise once'),
  (dict(blocks__name='equal'), 'blocks.name=tokens'),
  (dict(data__name='chain', codec__name='none'), 'a grid of rows and columns'),
  (dict(codec__discrete=False, process__name='gaussian', draw__name='uniform'),
   'makes symbols of one kind'),
  (dict(mesh__sequence=2), 'a larger mesh.fsdp'),
])
def test_what_it_cannot_serve_is_refused_in_words(changes, words):
  with pytest.raises(ValueError, match=words):
    build.build(config(**changes))
