"""What others may ask of a network, and what stands between it and an Ask."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.machine import sharding
from adiff.nn import cache as cache_lib
from adiff.nn import denoiser, network
from adiff.process import gaussian, masked
from adiff.sample import cached as cached_lib
from adiff.sample import capacity, walk
from adiff.sample.solvers import first_order
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import plan as plan_lib

BLOCKS = blocks_lib.equal(6, 2)
COORDS = np.arange(6)[:, None]
SLOTS = BLOCKS.slots(COORDS)  # six of the working copy, four of the history copy
PROCESS = gaussian.Gaussian(2, prediction='x0', clip=0.0)
EXAMPLES = 40


def asked(**more):
  """An Ask of both streams, in which the second block of the working copy is clean."""
  x = jax.random.normal(jax.random.key(0), (EXAMPLES, 10, 2))
  t = jnp.full((EXAMPLES, 10), 0.7).at[:, 2:4].set(0).at[:, 6:].set(0)
  return ask_lib.Ask(x, t, SLOTS, **more)


def recording(asks, out=lambda ask: ask.x):
  """A Denoise that notes what it was asked."""

  def function(ask):
    asks.append(ask)
    return out(ask)

  return ask_lib.from_outputs(function)


# ---- What stands before a network ---------------------------------------------------------------


@pytest.mark.parametrize('history_cond', [False, True])
def test_conditions_are_spread_over_slots_and_stand_beside_those_that_are_there(history_cond):
  asks, label = [], jnp.arange(EXAMPLES) % 3
  denoise = network.condition(recording(asks), {'label': label}, history_cond=history_cond)
  other = jnp.ones((EXAMPLES, 10), jnp.int32)
  denoise(asked(cond={'other': other}, cache='cache', keep=2))
  (ask,) = asks
  np.testing.assert_array_equal(ask.cond['label'][:, :6], np.repeat(label[:, None], 6, 1))
  past = np.repeat(label[:, None], 4, 1) if history_cond else np.full((EXAMPLES, 4), -1)
  np.testing.assert_array_equal(ask.cond['label'][:, 6:], past)
  assert ask.cond['other'] is other and (ask.cache, ask.keep) == ('cache', 2)


def test_a_condition_may_be_one_a_block():
  asks, label = [], jnp.arange(3 * EXAMPLES).reshape(EXAMPLES, 3)
  network.condition(recording(asks), {'label': label}, history_cond=True)(asked())
  slot_labels = np.asarray(label)[:, SLOTS.block]
  np.testing.assert_array_equal(asks[0].cond['label'], slot_labels)


def estimated(asks, scale=3.0):
  """Self-conditioning on an estimate of scale * x, of the working copy alone."""
  estimate = ask_lib.from_outputs(lambda ask: scale * ask.x[:, :6])
  return network.self_condition(recording(asks), estimate, PROCESS, jax.random.key(1))


def test_half_of_the_examples_are_shown_the_estimate_where_a_working_token_is_noisy():
  asks, ask = [], asked(hint={'other': jnp.zeros((EXAMPLES, 10, 1))})
  estimated(asks)(ask)
  hint = np.asarray(asks[0].hint[network.ESTIMATE])
  assert set(asks[0].hint) == {network.ESTIMATE, 'other'} and hint.shape == ask.x.shape
  shown = np.any(hint != 0, axis=(1, 2))
  assert 10 < shown.sum() < 30
  noisy = [0, 1, 4, 5]
  np.testing.assert_allclose(hint[shown][:, noisy], 3 * ask.x[shown][:, noisy], rtol=1e-6)
  assert not hint[:, [2, 3, 6, 7, 8, 9]].any()  # clean tokens, and the history copy


def test_levels_one_a_copy_show_the_same_estimate():
  asks, ask = [], asked()
  for t in (ask.t, ask.t[:, ::2]):
    estimated(asks)(dataclasses.replace(ask, t=t))
  slow, fast = (ask.hint[network.ESTIMATE] for ask in asks)
  np.testing.assert_array_equal(slow, fast)


def test_no_gradient_flows_through_the_estimate():

  def total(scale):
    asks = []
    estimated(asks, scale)(asked())
    return jnp.sum(asks[0].hint[network.ESTIMATE])

  value, slope = jax.value_and_grad(total)(3.0)
  assert float(value) != 0 and float(slope) == 0


def test_a_network_reads_its_estimate_and_none_is_a_zero():
  model, params = made(self_condition=True)
  ask = dataclasses.replace(asked(), x=jnp.zeros((EXAMPLES, 10), jnp.int32))
  assert model.num_hints == 3

  @jax.jit
  def call(hint):
    return model.denoise(params)(dataclasses.replace(ask, hint=hint)).out

  zeros, nothing = jnp.zeros((EXAMPLES, 10, 3)), call({})
  np.testing.assert_allclose(call({network.ESTIMATE: zeros}), nothing, atol=1e-6)
  assert float(jnp.max(jnp.abs(call({network.ESTIMATE: zeros + 1}) - nothing))) > 1e-3


# ---- What is asked of a network -----------------------------------------------------------------


@functools.cache
def made(**arguments):
  """(a tiny network on masked symbols, random parameters)."""
  model = denoiser.Denoiser(4, 3, width=16, depth=2, heads=2, **arguments)
  return model, tiny.random_params(model, masked.Masked(3), BLOCKS, COORDS)


def test_every_name_that_the_mesh_may_split_is_in_the_parameter_tree():
  model, params = made()
  shapes = {}
  jax.tree_util.tree_map_with_path(
    lambda path, leaf: shapes.update({sharding.path_name(path): leaf.shape}), params
  )
  split = model.tensor_axes()
  for name, axis in split.items():
    ends = [shape for path, shape in shapes.items() if path.endswith(name)]
    assert len(ends) == 2, name  # of the stacked layers, and of the last one
    assert all(-len(shape) <= axis < 0 and shape[axis] > 1 for shape in ends), name
  heads = {shape[split[name]] for name in ('qkv/kernel', 'attention_out/kernel')
           for path, shape in shapes.items() if path.endswith(name)}
  assert heads == {model.heads}
  assert set(params) >= {network.HEAD, network.STACK}


def test_the_bytes_of_a_cache_are_those_of_its_keys_and_values():
  for dtype in ('float32', 'bfloat16'):
    model = dataclasses.replace(made()[0], dtype=dtype)
    (cache,) = model.empty_cache(3, 5, 1)
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in (*cache.k, *cache.v))
    assert model.cache_bytes(3, 5) == size


def test_a_cache_grows_to_what_is_asked_and_never_shrinks():
  model, _ = made()
  cache = model.grow(model.empty_cache(3, 2, 1), 6)
  assert cache_lib.num_places(cache[0]) == 6
  assert model.grow(cache, 6) is cache and model.grow(cache, 3) is cache


def test_a_cache_with_too_few_places_for_revision_is_refused_in_words():
  model, _ = made()
  cache = model.empty_cache(3, 4, 1)
  assert int(model.shorten(cache, 2, least=4)[0].length) == 0
  with pytest.raises(ValueError, match='4 places, and revision needs all 5'):
    model.shorten(cache, 2, least=5)


def test_recomputing_changes_the_backward_pass_alone():
  model, _ = made()
  assert model.recomputing('layers') == dataclasses.replace(model, remat='layers')


BY_GROUP = ((1, None), (1, 0)), (0, 0)


@pytest.mark.parametrize('reach, sinks', [(0, 0), (0, 1), (1, 0), (None, 0), BY_GROUP])
def test_the_cached_walk_is_the_plain_one_however_far_a_block_reads(reach, sinks):
  model, params = made(reach=reach, sinks=sinks)
  plan, process = plan_lib.Plan(3, 3), masked.Masked(3)
  how = dict(blocks=BLOCKS, process=process, solver=first_order.FirstOrder(), coords=COORDS)
  places = capacity.each(plan, BLOCKS, model.reads)

  @functools.partial(jax.jit, static_argnums=1)
  def run(keys, cached):
    denoise = model.denoise(params)
    if not cached:
      return walk.sample(denoise, keys, plan, **how)
    return cached_lib.sample(denoise, keys, plan, model.empty_cache(len(keys), places, 1), **how)

  keys = jax.random.split(jax.random.key(2), 16)
  np.testing.assert_array_equal(run(keys, True), run(jax.random.clone(keys), False))
  expected = {(0, 0): (), (0, 1): (4,), (1, 0): (2,), (None, 0): (4,), BY_GROUP: (4,)}
  assert places == expected[reach, sinks]


def test_groups_of_layers_have_a_cache_each_and_those_that_reach_nothing_none():
  model = denoiser.Denoiser(
    4, 3, width=16, depth=6, heads=2, reach=((1, None), (2, 0), (2, 1), (1, 0)), sinks=(0, 0, 0, 1)
  )
  assert model.reads == ((None, 0), (1, 0), (0, 1))
  plan = plan_lib.Plan(3, 3)
  places = capacity.each(plan, BLOCKS, model.reads)
  assert places == (4, 2, 4)
  caches = model.grow(model.empty_cache(3, (0, 2, 4), 1), places)
  assert [len(cache.k) for cache in caches] == [1, 2, 1]
  assert tuple(map(cache_lib.num_places, caches)) == places
  size = sum(leaf.size * leaf.dtype.itemsize for cache in caches for leaf in (*cache.k, *cache.v))
  assert model.cache_bytes(3, places) == size
  assert capacity.rooms(plan, BLOCKS, model.reads)[-1].places == places


def test_one_group_of_layers_costs_what_one_reach_does_and_makes_the_same():

  def of(reach):
    model, params = made(reach=reach)
    cache = model.empty_cache(2, 2, 1)
    slots = jax.tree.map(lambda leaf: leaf[:4], BLOCKS.token_slots(COORDS))
    ask = ask_lib.Ask(jnp.zeros((2, 4), jnp.int32), jnp.ones((2, 2)), slots, cache=cache, keep=2)
    return jax.make_jaxpr(lambda params: model.denoise(params)(ask))(params)

  assert str(of(1)) == str(of(((2, 1),)))
  assert str(of(1)) != str(of(((1, 1), (1, 0))))


@pytest.mark.parametrize(('reach', 'sinks'), [
  (((1, None),), 0), (((1, None), (2, 0)), 0), (None, (0, 0)), ((), ()),
])
def test_groups_that_are_not_all_layers_are_refused_in_words(reach, sinks):
  with pytest.raises(ValueError, match='of all model.depth=2 layers'):
    denoiser.Denoiser(4, 3, width=16, depth=2, heads=2, reach=reach, sinks=sinks)


def test_with_reach_zero_a_block_is_made_as_if_it_were_alone_whatever_is_cached():
  x = jax.random.randint(jax.random.key(3), (2, 4), 0, 3)
  slots = jax.tree.map(jnp.asarray, BLOCKS.token_slots(COORDS))
  first, second = (jax.tree.map(lambda leaf, i=i: leaf[i:i + 2], slots) for i in (0, 2))
  t = jnp.full((2, 2), 0.5)

  @functools.partial(jax.jit, static_argnums=0)
  def outputs(reach):
    """(out of the second block behind the first one, out of it alone, the cache)."""
    model, params = made(reach=reach)
    denoise = model.denoise(params)
    cache = model.empty_cache(2, 2, 1)
    _, cache = denoise(ask_lib.Ask(x[:, :2], t, first, cache=cache, keep=2))
    with_past = denoise(ask_lib.Ask(x[:, 2:], t, second, cache=cache)).out
    return with_past, denoise(ask_lib.Ask(x[:, 2:], t, second)).out, cache

  with_past, alone, cache = outputs(0)
  assert cache == ()
  np.testing.assert_allclose(with_past, alone, atol=1e-6)
  with_past, alone, _ = outputs(1)
  assert float(jnp.max(jnp.abs(with_past - alone))) > 1e-3
