"""The network: what it must not see, its cache, its switches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.machine import cost
from adiff.nn import block, denoiser
from adiff.process import masked
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import conditions

BLOCKS = blocks_lib.equal(6, 2, history=None)
COORDS = np.arange(6)[:, None]
X = jax.random.randint(jax.random.key(0), (2, 6), 0, 4)
T = jax.random.uniform(jax.random.key(1), (2, 6))
COND = {'label': jnp.array([[0] * 6, [2] * 6])}


def model(depth=2, **arguments):
  return denoiser.Denoiser(
    4, 3, conds={'label': conditions.Label(3)}, width=16, depth=depth, heads=2, **arguments)


PARAMS = tiny.random_params(model(), masked.Masked(3), BLOCKS, COORDS)
DEEP_PARAMS = tiny.random_params(model(depth=3), masked.Masked(3), BLOCKS, COORDS)  # two scanned


@functools.cache
def compiled(**arguments):
  """(x, t, slots, cond) -> out, jitted."""

  def run(x, t, slots, cond):
    return model(**arguments).denoise(PARAMS)(ask_lib.Ask(x, t, slots, cond=cond)).out

  return jax.jit(run)


def call(x=X, t=T, slots=None, cond=COND):
  return compiled()(x, t, BLOCKS.token_slots(COORDS) if slots is None else slots, cond)


def test_later_blocks_and_other_examples_never_change_an_output():
  changed = X.at[0, 2:].set(3 - X[0, 2:]).at[1].set(0)
  before, after = call(), call(changed)
  np.testing.assert_allclose(after[0, :2], before[0, :2], atol=1e-6)
  assert float(jnp.max(jnp.abs(after[0, 2:] - before[0, 2:]))) > 1e-3


def test_the_earlier_blocks_their_levels_and_the_label_do_change_it():
  before = call()[0, 4:]
  for other in (
    call(X.at[0, 0].set(3 - X[0, 0])), call(t=T.at[0, 0].add(0.3)),
    call(cond={'label': COND['label'].at[0].set(1)}),
  ):
    assert float(jnp.max(jnp.abs(other[0, 4:] - before))) > 1e-4


def test_padding_in_a_segment_of_its_own_changes_nothing():
  slots = BLOCKS.token_slots(COORDS)
  padded = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf[:3]]), slots)
  padded = padded._replace(segment=jnp.array([0] * 6 + [-1] * 3))
  extend = lambda array: jnp.concatenate([array, array[:, :3]], axis=1)
  out = call(extend(X), extend(T), padded, {'label': extend(COND['label'])})
  np.testing.assert_allclose(out[:, :6], call(), atol=1e-5)


def test_packed_sequences_are_what_they_are_alone():
  slots = BLOCKS.token_slots(COORDS)
  packed = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), slots)
  packed = packed._replace(segment=jnp.repeat(jnp.arange(2), 6))
  row = lambda array: array.reshape(1, 12)
  out = call(row(X), row(T), packed, {'label': row(COND['label'])})
  np.testing.assert_allclose(out.reshape(2, 6, 3), call(), atol=1e-5)


def test_slots_may_be_given_per_example():
  slots = BLOCKS.token_slots(COORDS)
  batch = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), slots)
  np.testing.assert_allclose(call(slots=batch), call(), atol=1e-5)


def test_blocks_against_a_cache_give_what_the_whole_row_gives_and_empty_places_are_not_seen():
  cache, slots, outs = model().empty_cache(2, 9, 1), BLOCKS.token_slots(COORDS), []

  @jax.jit
  def run(x, t, slots, cond, cache):
    return model().denoise(PARAMS)(ask_lib.Ask(x, t, slots, cond=cond, cache=cache, keep=2))

  for k in range(3):
    own = slice(2 * k, 2 * k + 2)
    part = jax.tree.map(lambda leaf, own=own: leaf[own], slots)
    out, cache = run(X[:, own], T[:, own], part, {'label': COND['label'][:, own]}, cache)
    outs.append(out)
  np.testing.assert_allclose(jnp.concatenate(outs, axis=1), call(), atol=1e-5)
  (cache,) = cache
  assert int(cache.length) == 6
  np.testing.assert_array_equal(cache.slots.segment, [0] * 6 + [-1] * 3)


def test_at_its_initial_values_the_network_says_nothing_whatever_it_reads():
  ask = ask_lib.Ask(X, T, BLOCKS.token_slots(COORDS), cond=COND)
  fresh = jax.jit(lambda key: model().init(key, ask))(jax.random.key(0))
  np.testing.assert_array_equal(model().denoise(fresh)(ask).out, 0)


def test_fresh_and_random_parameters_are_of_one_tree():
  ask = ask_lib.Ask(X, T, BLOCKS.token_slots(COORDS), cond=COND)
  fresh = jax.eval_shape(lambda key: model().init(key, ask), jax.random.key(0))
  jax.tree.map(lambda a, b: np.testing.assert_equal((a.shape, a.dtype), (b.shape, b.dtype)),
               fresh, PARAMS)


def loss(remat):
  """Of three layers, so that two are scanned."""
  deep = model(depth=3, remat=remat)
  ask = ask_lib.Ask(X, T, BLOCKS.token_slots(COORDS), cond=COND)
  return lambda params: jnp.mean(jnp.sin(deep.denoise(params)(ask).out))


def test_recomputing_activations_changes_neither_values_nor_gradients():
  results = {remat: jax.jit(jax.value_and_grad(loss(remat)))(DEEP_PARAMS) for remat in block.REMAT}
  for remat in block.REMAT:
    for a, b in zip(*map(jax.tree.leaves, (results['none'], results[remat])), strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_backward_pass_recomputes_what_it_says_and_reads_from_the_host_what_it_says():
  traced = {remat: jax.make_jaxpr(jax.grad(loss(remat)))(DEEP_PARAMS) for remat in block.REMAT}
  work = {remat: cost.traced(program).flops for remat, program in traced.items()}
  assert work['none'] < work['dots'] < work['layers'] == work['offload']
  to_host = {remat for remat, program in traced.items() if '<host>' in str(program)}
  assert to_host == {'offload'}


def test_an_unknown_way_to_recompute_is_refused_with_the_list():
  with pytest.raises(ValueError, match='none, layers, dots, offload'):
    model(remat='all')


def test_dropout_acts_with_a_key_and_only_then():
  ask = ask_lib.Ask(X, T, BLOCKS.token_slots(COORDS), cond=COND)
  run = jax.jit(lambda key=None: model(dropout=0.5).denoise(PARAMS, key=key)(ask).out)
  np.testing.assert_allclose(run(), call(), atol=1e-5)
  first, other = run(jax.random.key(0)), run(jax.random.key(1))
  assert float(jnp.max(jnp.abs(first - other))) > 1e-3
  np.testing.assert_array_equal(first, run(jax.random.key(0)))


def test_layers_that_are_cut_out_of_their_stack_before_a_loop_are_the_same():
  ask = ask_lib.Ask(X, T, BLOCKS.token_slots(COORDS), cond=COND)
  deep = model(depth=3)
  run = jax.jit(lambda params, loops: deep.denoise(params, loops=loops)(ask).out, static_argnums=1)
  np.testing.assert_allclose(run(DEEP_PARAMS, True), run(DEEP_PARAMS, False), atol=1e-6)


def test_half_precision_is_close_and_its_outputs_and_parameters_are_float32():
  with jax.numpy_dtype_promotion('standard'):  # flax and jax promote bfloat16 themselves
    out = compiled(dtype='bfloat16')(X, T, BLOCKS.token_slots(COORDS), COND)
  assert out.dtype == jnp.float32
  np.testing.assert_allclose(out, call(), atol=0.15)
  assert float(jnp.max(jnp.abs(out - call()))) > 0
  ask = ask_lib.Ask(X, T, BLOCKS.token_slots(COORDS), cond=COND)
  half = model(dtype='bfloat16')
  with jax.numpy_dtype_promotion('standard'):
    fresh = jax.eval_shape(lambda key: half.init(key, ask), jax.random.key(0))
  assert {leaf.dtype for leaf in jax.tree.leaves(fresh)} == {np.dtype('float32')}


def test_an_impossible_width_is_refused_in_words():
  with pytest.raises(ValueError, match='multiple of 2'):
    denoiser.Denoiser(4, 3, width=18, heads=2)


def test_layers_that_modulate_as_the_shared_network_does_are_the_same_network():
  own = model(depth=3, modulated='layers')
  shared = dict(DEEP_PARAMS)
  made = shared.pop('modulation')
  stack, last = dict(shared['layers']), dict(shared['last_layer'])
  last |= {'modulate': {'kernel': made['kernel']}, 'modulation': last['modulation'] + made['bias']}
  stack |= {
    'modulate': {'kernel': jnp.stack([made['kernel']] * 2)},
    'modulation': stack['modulation'] + made['bias'][None],
  }
  params = {**shared, 'layers': stack, 'last_layer': last}
  random = tiny.random_params(own, masked.Masked(3), BLOCKS, COORDS)
  assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, random)
  slots = BLOCKS.token_slots(COORDS)

  def out(network, params):
    return network.denoise(params)(ask_lib.Ask(X, T, slots, cond=COND)).out

  both = [
    jax.jit(lambda params, network=network: out(network, params))(weights)
    for network, weights in ((own, params), (model(depth=3), DEEP_PARAMS))
  ]
  np.testing.assert_allclose(*both, rtol=1e-5, atol=1e-6)
