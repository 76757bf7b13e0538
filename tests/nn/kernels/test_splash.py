"""The kernel for TPUs: interpreted, it has the values and gradients of the definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.nn import attention
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import mask

GEOMETRIES = {
  'few large blocks': blocks_lib.equal(320, 80),
  'whole': blocks_lib.whole(160),
  'scales': blocks_lib.scales((1, 2, 4, 8, 16)),
  'one stream': blocks_lib.equal(256, 16, history=None),
}
HEAD = jax.ShapeDtypeStruct((2, 8), jnp.float32)


def definition(allowed, q, k, v):
  allowed = allowed[None] if allowed.ndim == 2 else allowed
  scores = jnp.einsum('bhqd,bhkd->bhqk', q, k) / q.shape[-1] ** 0.5
  weights = jax.nn.softmax(jnp.where(allowed[:, None], scores, -jnp.inf), axis=-1)
  return jnp.einsum('bhqk,bhkd->bhqd', weights, v)


def outcome(f, arrays):
  """((a sum, the values), gradients) of f(q, k, v)."""

  def total(arrays):
    out = f(*arrays)
    return jnp.sum(jnp.sin(out)), out

  return jax.jit(jax.value_and_grad(total, has_aux=True))(arrays)


def check(slots, batch=1):
  """Values and gradients of the kernel are those of the definition."""
  seen = attention.visible(slots, (slots,), head=HEAD, interpret=True)
  allowed = jnp.asarray(mask.attend(slots, slots))
  arrays = jax.random.normal(jax.random.key(0), (3, batch, 2, slots.block.shape[-1], 8))
  ours = outcome(seen.kernels['tpu'], arrays)
  theirs = outcome(lambda *arrays: definition(allowed, *arrays), arrays)
  for a, b in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
    np.testing.assert_allclose(a, b, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize('name', ['few large blocks', *(
  pytest.param(name, marks=pytest.mark.soak) for name in ('whole', 'scales', 'one stream'))])
def test_values_and_gradients_are_those_of_the_definition(name):
  blocks = GEOMETRIES[name]
  check(blocks.slots(np.zeros((blocks.num_tokens, 1))))


def test_documents_of_packed_rows_stay_apart():
  segment = np.stack([np.repeat([0, 1, -1], [64, 96, 32]), np.zeros(192, int)]).astype(np.int32)
  check(blocks_lib.equal(192, 16).slots(np.zeros((192, 1)), segment), batch=2)
