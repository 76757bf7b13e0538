"""Attention against its definition: values, gradients, derivatives, for every geometry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.nn import attention
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import mask

GEOMETRIES = {
  'whole': blocks_lib.whole(160),
  'tokens': blocks_lib.tokens(160),
  'many small blocks': blocks_lib.equal(256, 4),
  'few large blocks': blocks_lib.equal(320, 80),
  'a token-causal copy': blocks_lib.Blocks((32,) * 8, tuple(range(256)), 0.0, causal=True),
  'one stream': blocks_lib.equal(256, 16, history=None),
  'scales': blocks_lib.scales((1, 2, 4, 8, 16)),
  'small': blocks_lib.equal(6, 2),
}
HEAD = jax.ShapeDtypeStruct((2, 8), jnp.float32)


def slots_of(blocks):
  return blocks.slots(np.zeros((blocks.num_tokens, 1)))


def inputs(num_slots, batch=1, dtype=jnp.float32):
  return jax.random.normal(jax.random.key(0), (3, batch, num_slots, 2, 8), dtype)


def definition(q, k, v, allowed):
  allowed = allowed[None] if allowed.ndim == 2 else allowed
  scores = jnp.einsum('bqhd,bkhd->bhqk', q, k) / q.shape[-1] ** 0.5
  weights = jax.nn.softmax(jnp.where(allowed[:, None], scores, -jnp.inf), axis=-1)
  return jnp.einsum('bhqk,bkhd->bqhd', weights, v)


def computed(q, k, v, seen):
  return attention.attention(q, [(k, v)], seen)


def see(slots, *how):
  return attention.visible(slots, (slots,), *how)


def check(slots, reach=None, sinks=0, batch=1):
  """Values and gradients are those of the definition; returns what was seen."""
  seen = see(slots, reach, sinks)
  same_as_the_definition(slots, seen, jnp.asarray(mask.attend(slots, slots, reach, sinks)), batch)
  return seen


def same_as_the_definition(slots, seen, allowed, batch=1):
  arrays = inputs(slots.block.shape[-1], batch)

  def outcome(f, how):
    """((a sum, the values), gradients) of f under `how`."""

    def total(arrays):
      out = f(*arrays, how)
      return jnp.sum(jnp.sin(out)), out

    return jax.jit(jax.value_and_grad(total, has_aux=True))(arrays)

  ours, theirs = outcome(computed, seen), outcome(definition, allowed)
  for a, b in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
    np.testing.assert_allclose(a, b, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize('name', GEOMETRIES)
def test_values_and_gradients_are_those_of_the_definition(name):
  check(slots_of(GEOMETRIES[name]))


@pytest.mark.parametrize(('reach', 'sinks'), [(0, 0), (1, 0), (3, 2)])
def test_a_short_reach_is_kept(reach, sinks):
  check(slots_of(blocks_lib.equal(512, 16)), reach, sinks)


def test_slots_in_any_order_are_served():
  slots = slots_of(blocks_lib.equal(24, 4))
  order = np.random.default_rng(0).permutation(slots.block.size)
  check(jax.tree.map(lambda leaf: leaf[order], slots))


@pytest.mark.parametrize('history', [0.0, None])
def test_documents_of_packed_rows_stay_apart(history):
  blocks = blocks_lib.equal(192, 16, history=history)
  segment = np.stack([np.repeat([0, 1, -1], [64, 96, 32]), np.zeros(192, int)]).astype(np.int32)
  slots = blocks.slots(np.zeros((192, 1)), segment)
  seen = check(slots, batch=2)
  assert all(allowed is not None for masks in seen.masks for allowed in masks)


def test_slots_known_only_when_the_program_runs_give_the_same():
  slots, (q, k, v) = slots_of(blocks_lib.equal(192, 16)), inputs(368)
  traced = jax.jit(lambda s: computed(q, k, v, see(s)))(slots)
  known = computed(q, k, v, see(slots))
  np.testing.assert_allclose(traced, known, atol=1e-5)


def test_masks_may_differ_from_example_to_example():
  slots = blocks_lib.equal(4, 2, history=None).slots(np.zeros((4, 1)))
  batch = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf[::-1]]), slots)
  q, k, v = inputs(4, 2)
  out = computed(q, k, v, see(batch))
  for i, own in enumerate((slots, jax.tree.map(lambda leaf: leaf[::-1], slots))):
    expected = definition(q[i:i + 1], k[i:i + 1], v[i:i + 1], mask.attend(own, own))
    np.testing.assert_allclose(out[i:i + 1], expected, atol=1e-5)


def test_keys_in_two_pieces_are_keys_in_one():
  slots, (q, k, v) = slots_of(blocks_lib.equal(192, 16)), inputs(368)
  whole = computed(q, k, v, see(slots))
  cut = lambda tree, *span: jax.tree.map(lambda leaf: leaf[slice(*span)], tree)
  for jitted in (False, True):
    parts = [cut(slots, 0, 200), cut(slots, 200, 368)]
    if jitted:  # one piece known beforehand, the other one not, as with a cache
      parts[0] = jax.tree.map(jnp.asarray, parts[0])
    pieces = [(k[:, :200], v[:, :200]), (k[:, 200:], v[:, 200:])]
    out = attention.attention(q, pieces, attention.visible(slots, parts))
    np.testing.assert_allclose(out, whole, atol=1e-5)


def test_a_piece_of_fewer_examples_is_read_by_several_queries_in_turn():
  slots, (q, k, v) = slots_of(blocks_lib.equal(6, 2)), inputs(10, batch=4)
  twice = lambda leaf: jnp.concatenate([leaf[:2], leaf[:2]])
  seen = see(slots)
  shared = attention.attention(q, [(k[:2], v[:2])], seen)
  np.testing.assert_allclose(shared, computed(q, twice(k), twice(v), seen), atol=1e-6)


def test_forward_derivatives_are_those_of_finite_differences():
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    slots = slots_of(blocks_lib.equal(192, 16))
    arrays = inputs(368, dtype=jnp.float64)
    towards = jax.random.normal(jax.random.key(1), arrays.shape, jnp.float64)
    f = jax.jit(lambda args: computed(*args, see(slots)))
    _, slope = jax.jvp(f, (arrays,), (towards,))
    step = 1e-5
    expected = (f(arrays + step * towards) - f(arrays - step * towards)) / (2 * step)
    np.testing.assert_allclose(slope, expected, atol=1e-8)


def test_half_precision_stays_half_precision_and_is_near_the_definition():
  slots = slots_of(blocks_lib.equal(192, 16))
  arrays = inputs(368)
  with jax.numpy_dtype_promotion('standard'):  # jax promotes bfloat16 itself
    out = computed(*arrays.astype(jnp.bfloat16), see(slots))
  assert out.dtype == jnp.bfloat16
  expected = definition(*arrays, mask.attend(slots, slots))
  np.testing.assert_allclose(out.astype(jnp.float32), expected, atol=0.05)


def test_where_the_platform_has_no_kernel_the_rectangles_are_computed():
  slots = slots_of(blocks_lib.equal(24, 4))
  seen = attention.visible(slots, (slots,), head=HEAD)
  assert set(seen.kernels) == {'tpu', 'cuda'}
  same_as_the_definition(slots, seen, jnp.asarray(mask.attend(slots, slots)))


def test_a_cache_or_double_precision_is_no_case_for_a_kernel():
  slots = slots_of(GEOMETRIES['small'])
  assert attention.visible(slots, (slots, slots), head=HEAD).kernels is None
  wide = jax.ShapeDtypeStruct(HEAD.shape, np.float64)
  assert attention.visible(slots, (slots,), head=wide).kernels is None
