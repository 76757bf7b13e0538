"""One layer: its norm, its modulation, its gates."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.nn import attention, block, norm, rotary
from adiff.sequence import blocks as blocks_lib

SLOTS = blocks_lib.equal(4, 2).slots(np.zeros((4, 1)))
H = jax.random.normal(jax.random.key(0), (2, 6, 8))


def layer(modulation, lengths=None, wanted=None):
  """(h, keys and values, parameters) of a random layer, its own offset zero, under a modulation."""
  turns = rotary.turns(SLOTS.coords, 4)
  queries = SLOTS._replace(coords=None)
  if wanted is not None:
    queries = jax.tree.map(lambda leaf: leaf[slice(*wanted)], queries)
  seen = attention.visible(queries, (SLOTS,))
  module = block.Block(8, 2, 4.0, 0.0, jnp.dtype('float32'), lengths, wanted)
  shared = block.Shared(modulation, turns, seen)
  (out, fresh), variables = module.init_with_output(
    jax.random.key(1), H, block.Own(), shared
  )
  return out, fresh, variables['params']


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_the_norm_is_that_of_flax(dtype):
  x = jax.random.normal(jax.random.key(0), (2, 3, 8))
  params = {'params': {'scale': jnp.linspace(0.5, 2, 8)}}
  with jax.numpy_dtype_promotion('standard'), jax.numpy_rank_promotion('allow'):
    ours, theirs = (
      kind(dtype=jnp.dtype(dtype)).apply(params, x) for kind in (norm.Norm, nn.RMSNorm)
    )
  assert ours.dtype == theirs.dtype == dtype
  np.testing.assert_allclose(
    ours.astype(float), theirs.astype(float), rtol=1e-6 if dtype == 'float32' else 1e-2
  )


def test_gates_of_zero_close_a_layer_and_either_gate_opens_its_own_branch():
  closed, _, params = layer(jnp.zeros((2, 6, 48)))
  np.testing.assert_array_equal(closed, H)
  assert params['modulation'].shape == (48,)
  names = block.Modulation._fields
  for gate, others in (('attention_gate', 'mlp'), ('mlp_gate', 'attention')):
    first = 8 * names.index(gate)
    opened = jnp.zeros((2, 6, 48)).at[..., first:first + 8].set(1)
    out, *_ = layer(opened)
    assert float(jnp.max(jnp.abs(out - H))) > 1e-3
    # Shift and scale of the other branch change nothing while that is closed.
    first = 8 * names.index(f'{others}_shift')
    again, *_ = layer(opened.at[..., first:first + 16].set(3))
    np.testing.assert_allclose(again, out, atol=1e-6)


def test_a_modulation_one_a_copy_is_that_of_its_slots():
  modulation = jax.random.normal(jax.random.key(2), (2, 3, 48))
  slow, *_ = layer(jnp.repeat(modulation, 2, axis=1))
  fast, *_ = layer(modulation, lengths=(2, 2, 2))
  np.testing.assert_allclose(fast, slow, atol=1e-6)


def test_wanted_slots_have_the_results_that_they_have_among_all_and_keys_are_of_all():
  modulation = jax.random.normal(jax.random.key(2), (2, 6, 48))
  every, fresh, _ = layer(modulation)
  some, fresh_too, _ = layer(modulation, wanted=(2, 5))
  np.testing.assert_allclose(some, every[:, 2:5], atol=1e-5)
  jax.tree.map(np.testing.assert_array_equal, fresh_too, fresh)
  assert fresh[0].shape == (2, 2, 6, 4)  # heads first


@pytest.mark.parametrize('lengths', [(3, 3), (1, 2, 2, 4), (1, 4, 1), (2,)])
def test_what_is_one_a_copy_is_dealt_out_to_its_slots(lengths):
  signal = jax.random.normal(jax.random.key(3), (2, len(lengths), 5))
  np.testing.assert_array_equal(
    block.over_slots(signal, lengths), np.repeat(signal, lengths, axis=1)
  )
  assert block.over_slots(signal, None) is signal
