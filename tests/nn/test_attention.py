"""The kernel against the definition."""

import jax
import jax.numpy as jnp
import numpy as np

from adiff import blocks as blocks_lib
from adiff import mask
from adiff.nn import attention


def reference(q, k, v, allowed):
  scores = jnp.einsum('bqhd,bkhd->bhqk', q, k) / q.shape[-1] ** 0.5
  weights = jax.nn.softmax(jnp.where(allowed[None, None], scores, -jnp.inf), axis=-1)
  return jnp.einsum('bhqk,bkhd->bqhd', weights, v)


def test_values_and_gradients_are_those_of_the_definition():
  slots = blocks_lib.equal(6, 2).slots(np.zeros((6, 1)))
  q, k, v = jax.random.normal(jax.random.key(0), (3, 2, 10, 2, 4))
  seen, allowed = attention.visible(slots, slots), mask.attend(slots, slots)
  np.testing.assert_allclose(
    attention.attention(q, k, v, seen), reference(q, k, v, allowed), atol=1e-5)
  total = lambda f, seen: jax.grad(lambda args: jnp.sum(jnp.sin(f(*args, seen))))((q, k, v))
  for a, b in zip(total(attention.attention, seen), total(reference, allowed), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_masks_may_differ_from_example_to_example():
  slots = blocks_lib.equal(4, 2, history=None).slots(np.zeros((4, 1)))
  batch = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf[::-1]]), slots)
  q, k, v = jax.random.normal(jax.random.key(0), (3, 2, 4, 2, 4))
  out = attention.attention(q, k, v, attention.visible(batch, batch))
  for i, one in enumerate((slots, jax.tree.map(lambda leaf: leaf[::-1], slots))):
    expected = reference(q[i:i + 1], k[i:i + 1], v[i:i + 1], mask.attend(one, one))
    np.testing.assert_allclose(out[i:i + 1], expected, atol=1e-5)


def test_half_precision_stays_half_precision():
  slots = blocks_lib.whole(4).slots(np.zeros((4, 1)))
  q = jnp.ones((1, 4, 2, 4), jnp.bfloat16)
  with jax.numpy_dtype_promotion('standard'):  # jax promotes bfloat16 itself
    out = attention.attention(q, q, q, attention.visible(slots, slots))
  assert out.dtype == jnp.bfloat16
