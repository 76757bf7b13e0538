"""Cross-attention: against its definition, and itself asked otherwise; peers: test_peers.py."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.nn import attention, cross, denoiser, embed, network
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import conditions

WIDTH, HEADS = 8, 2
BLOCKS = blocks_lib.equal(4, 2)
COORDS = np.arange(4)[:, None]
CONDS = {
  'label': conditions.Label(3), 'style': conditions.Features(2),
  'edges': conditions.Features(1, per_token=True), 'words': conditions.Memory(3, vocab=5),
  'notes': conditions.Memory(2, dim=4),
}
RNG = np.random.default_rng(0)
COND = {
  'label': jnp.array([0, 2]), 'style': jnp.asarray(RNG.normal(size=(2, 2)), jnp.float32),
  'edges': jnp.asarray(RNG.normal(size=(2, 4, 1)), jnp.float32),
  'words': jnp.array([[1, 4, -1], [2, -1, -1]]),
  'notes': jnp.asarray(RNG.normal(size=(2, 2, 4)), jnp.float32),
}


def layer(examples=2, rows=3):
  """(weights, x [2, 5, W], rows' keys and values [P, H, R, D], mask [2, 5, R]), all random."""
  rng = np.random.default_rng(1)
  normal = lambda *shape: rng.normal(size=shape)
  weights = {
    'norm_cross': {'scale': 1 + 0.3 * normal(WIDTH)},
    'cross_q': {'kernel': normal(WIDTH, HEADS, WIDTH // HEADS) / 2},
    'norm_cross_q': {'scale': 1 + 0.3 * normal(WIDTH // HEADS)},
    'cross_out': {'kernel': normal(HEADS, WIDTH // HEADS, WIDTH) / 2},
  }
  keys = normal(2, examples, HEADS, rows, WIDTH // HEADS)
  mask = rng.random((2, 5, rows)) < 0.6
  mask[..., 0] = True
  return weights, normal(2, 5, WIDTH), keys, mask


def ours(weights, x, keys, mask):
  """What the module makes of them."""
  weights, x, keys = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), (weights, x, keys))
  module = cross.Cross(WIDTH, HEADS, jnp.dtype('float32'))
  shown = attention.shown(jnp.asarray(mask), mask.shape[-1])
  return module.apply({'params': weights}, x, tuple(keys), shown)


def test_it_is_a_softmax_over_the_rows_that_a_slot_sees():
  weights, x, (k, v), mask = layer()
  rms = lambda a, scale: a / np.sqrt(np.mean(a**2, -1, keepdims=True) + 1e-6) * scale['scale']
  h = rms(x, weights['norm_cross'])
  expected = np.zeros_like(x)
  for b, s in np.ndindex(2, 5):
    for head in range(HEADS):
      q = rms(h[b, s] @ weights['cross_q']['kernel'][:, head], weights['norm_cross_q'])
      scores = [q @ k[b, head, row] / 2 if mask[b, s, row] else -np.inf for row in range(3)]
      share = np.exp(scores) / np.exp(scores).sum()
      expected[b, s] += share @ v[b, head] @ weights['cross_out']['kernel'][head]
  np.testing.assert_allclose(ours(weights, x, (k, v), mask), expected, atol=1e-5)


def test_keys_of_few_examples_serve_many_in_turn():
  weights, x, keys, mask = layer(examples=1)
  np.testing.assert_allclose(
    ours(weights, x, keys, mask), ours(weights, x, np.repeat(keys, 2, axis=1), mask), atol=1e-6)


# ---- Inside the network --------------------------------------------------------------------------


@functools.cache
def made():
  """(model, parameters), every leaf random."""
  model = denoiser.Denoiser(4, 3, conds=CONDS, width=16, depth=2, heads=2, encoder=1)
  masked = tiny.regime('block-masked').process
  return model, tiny.random_params(model, masked, BLOCKS, COORDS)


@functools.cache
def run(history_cond=False):
  slots = BLOCKS.slots(COORDS)
  x = jnp.array([[0, 3, 3, 1, 0, 2], [3, 2, 3, 3, 1, 2]])

  def call(params, cond):
    ask = ask_lib.Ask(x, jnp.full((2, 6), 0.5), slots)
    denoise = made()[0].denoise(params)
    return network.condition(denoise, cond, history_cond=history_cond)(ask).out

  return jax.jit(call)


def outputs(cond, history_cond=False):
  return np.asarray(run(history_cond)(made()[1], {**COND, **cond}))


@pytest.mark.parametrize('name', CONDS)
def test_every_condition_moves_the_outputs_and_an_example_listens_to_its_own(name):
  changed = COND[name][::-1].at[1].set(COND[name][1])
  found, before = outputs({name: changed}), outputs({})
  assert np.abs(found[0] - before[0]).max() > 1e-3
  np.testing.assert_array_equal(found[1], before[1])


@pytest.mark.parametrize('name', CONDS)
def test_where_nothing_is_given_outputs_are_finite_and_differ_from_those_of_something(name):
  nothing = jnp.asarray(CONDS[name].nothing(2, 4))
  found = outputs({name: nothing})
  assert np.isfinite(found).all() and np.abs(found - outputs({})).max() > 1e-3


def test_a_memory_of_nothing_reads_its_learned_row_alone():
  nothing = {name: jnp.asarray(CONDS[name].nothing(2, 4)) for name in ('words', 'notes')}
  model, params = made()
  null = params['memory']['null_words']
  other = {**params, 'memory': {**params['memory'], 'null_words': null[..., ::-1]}}
  before, after = (run()(own, {**COND, **nothing}) for own in (params, other))
  assert np.isfinite(before).all() and np.abs(after - before).max() > 1e-4
  assert set(model.memories) == {'words', 'notes'}


def test_rows_of_a_memory_that_are_not_given_change_nothing():
  junk = COND['notes'].at[0, 1].set(jnp.nan)
  before = outputs({'notes': junk})
  np.testing.assert_array_equal(before, outputs({'notes': junk.at[0, 1, 1:].set(9.0)}))
  assert np.abs(before - outputs({})).max() > 1e-4


def test_history_reads_no_conditions():
  model, params = made()
  slots = BLOCKS.token_slots(COORDS)._replace(stream=np.array([1, 1, 0, 0]))
  x = jnp.array([[0, 2, 3, 1], [1, 2, 3, 3]])

  @jax.jit
  def keys(cond):
    cache = model.empty_cache(2, 2, 1)
    ask = ask_lib.Ask(x, jnp.zeros((2, 4)), slots, cache=cache, keep=2)
    return network.condition(model.denoise(params), cond)(ask).cache[0].k

  both = [keys(cond) for cond in (COND, jax.tree.map(lambda leaf: leaf[::-1], COND))]
  jax.tree.map(np.testing.assert_array_equal, *both)


def test_keys_made_once_need_no_memory_afterwards():
  model, params = made()
  slots, x = BLOCKS.slots(COORDS), jnp.array([[0, 3, 3, 1, 0, 2], [3, 2, 3, 3, 1, 2]])
  told = jax.jit(lambda params: model.denoise(params).remember(COND))(params)
  bare = {name: leaf for name, leaf in params.items() if name != denoiser.MEMORY}

  @jax.jit
  def call(bare, told):
    told = {name: conditions.over_slots(value, slots) for name, value in told.items()}
    ask = ask_lib.Ask(x, jnp.full((2, 6), 0.5), slots, cond=told)
    return model.denoise(bare)(ask).out

  np.testing.assert_allclose(call(bare, told), outputs({}), atol=1e-5)


def test_features_and_memories_add_nothing_at_first():
  _, x, keys, mask = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), layer())
  module = cross.Cross(WIDTH, HEADS, jnp.dtype('float32'))
  shown = attention.shown(mask > 0, 3)
  assert not np.any(module.init_with_output(jax.random.key(0), x, tuple(keys), shown)[0])
  told = jnp.array([[[1.0, 2.0], [jnp.nan, 2.0]]])
  module = embed.Features(WIDTH, jnp.dtype('float32'))
  assert not np.any(module.init_with_output(jax.random.key(0), told)[0])
