"""Opened tokens are made again, everything else stays, and it comes to a walk from scratch."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.nn import network
from adiff.sample import cached, capacity, revision, windows
from adiff.sample import walk as walk_lib
from adiff.sample.solvers import first_hitting, first_order
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import plan as plan_lib

REGIME = functools.partial(tiny.regime, 'block-masked')
SOLVERS = (first_hitting.FirstHitting(), first_order.FirstOrder())
KEYS = lambda: jax.random.split(jax.random.key(3), tiny.BATCH)


class Walk:
  """Walks of a tiny random network over six tokens, jitted."""

  def __init__(self, blocks, steps, solver):
    regime = REGIME()
    self.blocks, self.plan = blocks, plan_lib.Plan(blocks.num_blocks, steps)
    self.how = dict(blocks=blocks, process=regime.process, solver=solver)
    coords = regime.coords
    denoise = network.condition(
      regime.model.denoise(regime.params), {'label': jnp.asarray(tiny.LABELS)})
    cache = regime.model.empty_cache(
      tiny.BATCH, capacity.places(self.plan, blocks), coords.shape[1])
    self.first = jax.jit(lambda keys: cached.walk(
      denoise, cached.start(keys, cache, plan=self.plan, **self.how),
      windows.stretches(self.plan, blocks), coords=coords, **self.how))
    self.reopen = jax.jit(lambda state, mask: revision.reopen(
      state, mask, key_fold=7, network=regime.model, **self.how))
    self.go_on = jax.jit(
      lambda state, first: revision.continue_from(
        denoise, state, self.plan, first, coords=coords, **self.how), static_argnums=1)
    self.scratch = jax.jit(lambda keys, old, mask: walk_lib.sample(
      denoise, jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, 7), self.plan,
      coords=coords, given=old, given_mask=~mask, **self.how))

  def revise(self, state, mask):
    """(first block, opened state, state at the end)."""
    first = int(revision.first_block(mask, self.blocks))
    opened = self.reopen(state, mask)
    return first, opened, self.go_on(opened, first)


@functools.cache
def blockwise(solver, history=0.0):
  return Walk(blocks_lib.equal(6, 2, history=history), 2, solver)


def mask_of(*tokens):
  """bool [B, 6]: these tokens in the first rows, token 5 alone in the last one."""
  mask = np.zeros((tiny.BATCH, 6), bool)
  mask[:-1, list(tokens)] = mask[-1, 5] = True
  return jnp.asarray(mask)


@pytest.mark.parametrize('solver, history', [
  (SOLVERS[0], 0.0), pytest.param(SOLVERS[1], None, marks=pytest.mark.soak)])
@pytest.mark.parametrize('tokens', [
  (0, 3), *(pytest.param(t, marks=pytest.mark.soak) for t in ((3, 5), (4, 5)))])
def test_it_comes_to_a_walk_from_scratch_with_the_kept_tokens_given(solver, tokens, history):
  walk, mask = blockwise(solver, history), mask_of(*tokens)
  state = walk.first(KEYS())
  first, opened, after = walk.revise(state, mask)
  assert first == min(tokens) // 2
  np.testing.assert_array_equal(opened.x == 3, mask)
  np.testing.assert_array_equal(after.x, walk.scratch(KEYS(), state.x, mask))
  np.testing.assert_array_equal(after.x[~mask], state.x[~mask])
  assert np.any(after.x != state.x)


def test_keys_of_earlier_blocks_stay_bit_for_bit_and_later_ones_are_written_again():
  walk = blockwise(SOLVERS[0])
  state = walk.first(KEYS())
  _, opened, after = walk.revise(state, mask_of(3))
  assert state.cache[0].length == 4 and opened.cache[0].length == 2 and after.cache[0].length == 4
  np.testing.assert_array_equal(opened.cache[0].slots.segment, [0, 0, -1, -1])
  np.testing.assert_array_equal(opened.cache[0].slots.readable, [True, True, False, False])
  for name in ('k', 'v'):
    before, again = (np.asarray(getattr(end.cache[0], name)) for end in (state, after))
    np.testing.assert_array_equal(again[:, :, :, :2], before[:, :, :, :2])
    assert np.any(again[:, :, :, 2:] != before[:, :, :, 2:])
  jax.tree.map(np.testing.assert_array_equal, after.cache[0].slots, state.cache[0].slots)


def test_a_block_is_revised_while_later_blocks_stay():
  walk = blockwise(SOLVERS[0])
  state = walk.first(KEYS())
  mask = jnp.broadcast_to((jnp.arange(6) // 2 == 1)[None], (tiny.BATCH, 6))
  _, _, after = walk.revise(state, mask)
  np.testing.assert_array_equal(after.x[:, [0, 1, 4, 5]], state.x[:, [0, 1, 4, 5]])
  assert np.any(after.x[:, 2:4] != state.x[:, 2:4])
  np.testing.assert_array_equal(after.calls - state.calls, 2)


def test_tokens_are_masked_again_inside_the_one_block_of_a_row():
  walk = Walk(blocks_lib.whole(6), 6, SOLVERS[0])
  state = walk.first(KEYS())
  _, opened, after = walk.revise(state, mask_of(0, 4))
  np.testing.assert_array_equal(after.x, walk.scratch(KEYS(), state.x, mask_of(0, 4)))
  np.testing.assert_array_equal(after.calls - state.calls, [2, 2, 2, 1])
  assert np.all(opened.known == ~mask_of(0, 4))


def test_where_nothing_is_opened_nothing_changes():
  walk = blockwise(SOLVERS[0])
  state = walk.first(KEYS())
  first, _, after = walk.revise(state, jnp.zeros((tiny.BATCH, 6), bool))
  assert first == 3
  np.testing.assert_array_equal(after.x, state.x)
  assert after.cache[0].length == state.cache[0].length


def test_given_blocks_and_overlapping_ones_are_refused():
  walk = blockwise(SOLVERS[0])
  how = dict(coords=REGIME().coords, **walk.how)
  with pytest.raises(ValueError, match='plan.delay=None'):
    revision.continue_from(None, None, plan_lib.Plan(3, 2, 1), 0, **how)
  with pytest.raises(ValueError, match='plan.given=0'):
    revision.continue_from(None, None, plan_lib.Plan(3, 2, given=1), 0, **how)


@pytest.mark.parametrize(('places', 'shifted', 'sentence'), [
  (3, False, 'the cache has 3 places'), (5, True, 'a shifted stream has no copy')])
def test_a_ring_and_a_shifted_stream_are_refused(places, shifted, sentence):
  regime, blocks = REGIME(), blocks_lib.tokens(6)
  model = dataclasses.replace(regime.model, shifted=shifted)
  how = dict(blocks=blocks, process=regime.process, solver=SOLVERS[1])
  cache = model.empty_cache(tiny.BATCH, places, 1)
  state = cached.start(KEYS(), cache, plan=plan_lib.Plan(6, 1), **how)
  with pytest.raises(ValueError, match=sentence):
    revision.reopen(state, mask_of(2), key_fold=7, network=model, **how)
