"""Walks over vectors that a head samples: token by token with a cache, and a few a call (MAR)."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.judge import likelihood
from adiff.run import build
from adiff.sequence import ask as ask_lib
from adiff.sequence import conditions
from configs import base, toy


def config(blocks, **arguments):
  """Six vectors of two floats; a head of two small steps."""
  c = base.get_config()
  base.choose(c, 'data', 'mixture', num_tokens=6, dim=2, size=64)
  base.choose(c, 'blocks', blocks, **arguments)
  base.choose(c, 'process', 'masked_vectors', clip=0.0)
  base.choose(c, 'head', 'diffusion', width=8, depth=1, multiply=2, steps=2)
  c.model.width, c.model.depth, c.model.heads = 16, 1, 2
  c.plan.steps = 1
  return c


def causal(size=1, shifted=False):
  """Tokens in a random order, `size` a block."""
  c = config('shuffled', size=size, seed=1)
  base.choose(c, 'draw', 'ones')
  c.model.shifted = shifted
  return c


def symbols_and_vectors():
  """Blocks of symbols, then a vector at a time."""
  c = toy.get_config('joint')
  base.of_kind(c, 'floats', process='masked_vectors', draw='ones', blocks='tokens', steps=1,
               head='diffusion', solver='first_order')
  c.kinds.floats.process.clip, c.kinds.symbols.steps, c.data.size = 0.0, 2, 64
  c.kinds.floats.head.update(dict(width=8, depth=1, multiply=2, steps=2))
  c.model.width, c.model.depth, c.model.heads = 16, 1, 2
  return c


def together():
  """All tokens in one block; three calls reveal 1, 2 and 3 of them."""
  c = config('whole')
  base.choose(c, 'solver', 'scheduled')
  base.choose(c, 'spacing', 'cosine')
  c.plan.steps = 3
  return c


@functools.cache
def regime(make, **how) -> tiny.Regime:
  parts = build.build(make(**how).lock())
  model = dataclasses.replace(parts.model, conds={'label': conditions.Label(tiny.NUM_CLASSES)})
  params = tiny.random_params(model, parts.process, parts.blocks, parts.spec.coords)
  return tiny.Regime(make.__name__, parts, model, params)


@pytest.mark.parametrize('how', [
  dict(), *(pytest.param(one, marks=pytest.mark.soak) for one in (dict(size=2), dict(shifted=True)))
], ids=str)
def test_the_cached_walk_is_the_plain_one_guided_and_to_the_last_small_step(how):
  of = regime(causal, **how)
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    of = dataclasses.replace(of, model=dataclasses.replace(of.model, dtype='float64'))
    keys, label, given, none = of.arguments()
    given = given.astype(jnp.float64)
    plain, cached = (
      np.asarray(of.sampler(is_cached)(of.arguments()[0], label, given, none))
      for is_cached in (False, True)
    )
  assert np.all(np.isfinite(plain)) and plain.dtype == np.float64
  np.testing.assert_allclose(cached, plain, rtol=0, atol=1e-8 * np.abs(plain).max())


def test_tokens_of_one_block_are_revealed_by_the_spacing_and_neighbours_change_nothing():
  of = regime(together)
  turn = np.array([2, 0, 3, 1])
  keys, label, given, _ = of.arguments()
  known = jnp.zeros((tiny.BATCH, 6), bool).at[1, :2].set(True)
  sample = of.sampler(True, guided=False)
  made = np.asarray(sample(keys, label, given, known))
  turned = sample(of.arguments()[0][turn], label[turn], given[turn], known[turn])
  np.testing.assert_allclose(turned, made[turn], atol=1e-5)
  assert np.all(np.isfinite(made)) and len(np.unique(made[:, 5, 0])) == tiny.BATCH
  np.testing.assert_array_equal(made[1, :2], given[1, :2])


def test_the_bound_is_that_of_the_head_at_each_token_given_those_before():
  of = regime(causal)
  x0, label, key = of.data(), jnp.asarray(tiny.LABELS), jax.random.key(2)
  how = dict(blocks=of.blocks, process=of.process, coords=of.coords)

  @jax.jit
  def both(key):
    denoise = of.denoise(of.params, label)
    own = jax.random.split(key, 3)[2]
    x, t = of.blocks.pack(of.process.masks(x0.shape[:2]), x0, jnp.ones((tiny.BATCH, 6)))
    ask = ask_lib.Ask(x, t, of.blocks.slots(of.coords))
    h = of.blocks.unpack(denoise.trunk(ask)[0])
    return likelihood.bound(denoise, key, x0, **how)[0], denoise.head.bound(h, own, ask, x0)

  with jax.debug_key_reuse(False):
    nats, expected = both(key)
  np.testing.assert_allclose(nats, expected, rtol=1e-4, atol=1e-4)
  assert not likelihood.is_exact(of.blocks, of.process)


@pytest.mark.soak
def test_symbols_and_vectors_that_a_head_samples_make_one_sequence():
  of = regime(symbols_and_vectors)
  plain, cached = (of.sampler(is_cached)(*of.arguments()) for is_cached in (False, True))
  np.testing.assert_array_equal(plain.parts['symbols'], cached.parts['symbols'])
  np.testing.assert_allclose(plain.parts['floats'], cached.parts['floats'], atol=1e-4)
  loss, means = jax.jit(of.parts.recipe.objective)(
    of.parts.recipe.init(jax.random.key(0)).params['denoiser'],
    {'tokens': of.data(), 'label': jnp.zeros(tiny.BATCH, jnp.int32)}, jax.random.key(1))
  assert np.isfinite(loss) and np.all(np.isfinite(means['loss_per_block']))


@pytest.mark.parametrize('apart', [True, pytest.param(False, marks=pytest.mark.soak)])
def test_known_tokens_read_known_ones_alone_where_they_stand_apart(apart):
  of = regime(together)
  of = dataclasses.replace(of, model=dataclasses.replace(of.model, apart=apart))
  x, slots = of.data().at[:, 3:].set(jnp.nan), of.blocks.token_slots(of.coords)
  known = jax.tree.map(lambda leaf: leaf[:3], slots)

  def features(x, slots):
    t = jnp.full((tiny.BATCH, 1), 0.5)
    return of.denoise(of.params, jnp.asarray(tiny.LABELS)).trunk(ask_lib.Ask(x, t, slots))[0]

  whole, alone = (np.asarray(jax.jit(features)(*one)) for one in ((x, slots), (x[:, :3], known)))
  assert np.allclose(whole[:, :3], alone, atol=1e-5) == apart
  assert np.ptp(whole[:, 3], axis=0).max() > 1e-3  # hidden ones read them


@pytest.mark.parametrize('change, words', [
  (dict(process='gaussian'), 'head diffusion .* process masked_vectors'),
  (dict(head='linear'), 'process masked_vectors .* head.name=diffusion'),
  (dict(solver='threshold'), 'Threshold .* solver.name=scheduled'),
  (dict(solver='heun'), 'Heun .* first_order'),
  (dict(), 'model.apart=False'),
])
def test_what_does_not_go_with_vectors_is_refused_with_what_to_write(change, words):
  c = causal()
  for key, name in change.items():
    base.choose(c, key, name)
  base.choose(c, 'draw', 'uniform')
  c.model.apart = not change
  with pytest.raises(ValueError, match=words):
    build.build(c.lock())


def test_a_network_is_not_shown_an_estimate_that_the_process_has_not():
  c = causal()
  c.model.self_condition = True
  with pytest.raises(ValueError, match='self_condition'):
    build.build(c.lock())
