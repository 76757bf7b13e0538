"""The walk itself, with functions for networks. (Cached = plain, batches, prompts: identities.)"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff import blocks as blocks_lib
from adiff import levels, sampler
from adiff.process import gaussian, masked
from adiff.solvers import first_order

COORDS = np.arange(6)[:, None]
MASKED = masked.Masked(3)
BLOCKS = blocks_lib.equal(6, 2)
COMMON = dict(process=MASKED, solver=first_order.FirstOrder(), coords=COORDS)


def zero_logits(x, t, s, slots, cache=None, commit=0):
  return jnp.zeros((*x.shape[:2], 3)), cache


def keys(num=4):
  return jax.random.split(jax.random.key(0), num)


def test_a_trace_shows_every_row_and_ends_with_the_sample():
  plan = levels.Plan(3, 2)
  trace = np.asarray(
    sampler.sample(zero_logits, keys(), plan, blocks=BLOCKS, trace=True, **COMMON))
  final = sampler.sample(zero_logits, keys(), plan, blocks=BLOCKS, **COMMON)
  assert trace.shape == (6, 4, 6)
  np.testing.assert_array_equal(trace[-1], final)
  for row in range(6):
    np.testing.assert_array_equal(np.all(trace[row, :, 2 * (row // 2) + 2:] == 3), True)
  assert np.all(trace[1, :, :2] < 3) and np.all(trace[3, :, :4] < 3)


def test_a_block_that_reads_a_clean_past_must_wait_for_it():
  with pytest.raises(ValueError, match='plan.delay=None'):
    sampler.sample(zero_logits, keys(), levels.Plan(3, 2, 1), blocks=BLOCKS, **COMMON)


def test_a_plan_with_a_prompt_asks_for_the_prompt():
  with pytest.raises(ValueError, match='given'):
    sampler.sample(zero_logits, keys(), levels.Plan(3, 2, given=1), blocks=BLOCKS, **COMMON)


@pytest.mark.parametrize('history', [0.0, 0.25])
def test_finished_blocks_are_read_at_the_level_of_the_history(history):
  seen = []

  def spy(x, t, s, slots, cache=None, commit=0):
    jax.debug.callback(lambda t, stream: seen.append((np.asarray(t), np.asarray(stream))), t,
                       slots.stream)
    return jnp.zeros_like(x), cache

  common = {**COMMON, 'process': gaussian.Gaussian(1)}
  blocks = blocks_lib.equal(6, 2, history=history)
  jax.block_until_ready(sampler.sample(spy, keys(1), levels.Plan(3, 1), blocks=blocks, **common))
  jax.effects_barrier()
  for row, (t, stream) in enumerate(sorted(seen, key=lambda one: one[1].sum())):
    np.testing.assert_array_equal(stream, np.arange(6) < 2 * row)
    np.testing.assert_array_equal(t[0], np.where(np.arange(6) < 2 * row, np.float32(history), 1))


def test_blocks_can_be_streamed_one_by_one():
  plan = levels.Plan(3, 2)
  common = dict(blocks=BLOCKS, **COMMON)
  state = sampler.start(
    keys(), None, blocks=BLOCKS, process=MASKED, solver=COMMON['solver'], plan=plan)
  streamed = []
  for pending, _, windows in plan.windows(BLOCKS.sizes):
    for i in range(len(windows.start)):
      window = jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), windows)
      state, block = sampler.next_block(zero_logits, state, window, pending, **common)
      streamed.append(block)
  whole = sampler.sample(zero_logits, keys(), plan, **common)
  np.testing.assert_array_equal(jnp.concatenate(streamed, axis=1), whole)


def test_the_cache_has_a_row_for_all_but_the_last_blocks():
  assert sampler.cache_rows(levels.Plan(3, 2), BLOCKS) == 4
  assert sampler.cache_rows(levels.Plan(1, 2), blocks_lib.whole(6)) == 0
  forcing = blocks_lib.equal(6, 2, history=None)
  assert sampler.cache_rows(levels.Plan(3, 2, 0), forcing) == 0


def labelled(x, t, s, slots, cond, cache, commit):
  """A network whose output is its condition."""
  return jnp.broadcast_to(cond['label'].astype(t.dtype)[:, None, None], (*t.shape, 1)), cache


def guided(t, **arguments):
  denoise = sampler.guide(labelled, {'label': jnp.array([3, 1])}, share_cache=True, **arguments)
  slots = BLOCKS.token_slots(COORDS)
  return np.asarray(denoise(jnp.zeros((2, 6)), t, t, slots)[0])[..., 0]


def test_guidance_goes_from_the_unconditional_output_past_the_conditional_one():
  t = jnp.full((2, 6), 0.5)
  np.testing.assert_allclose(guided(t, scale=1.0), [[3] * 6, [1] * 6])
  np.testing.assert_allclose(guided(t, scale=2.0), [[7] * 6, [3] * 6])
  np.testing.assert_allclose(guided(t, scale=0.0), -1)


def test_guidance_may_differ_by_block_and_acts_inside_its_interval_alone():
  t = jnp.full((2, 6), 0.5)
  scale = np.array([1.0, 2.0, 3.0], np.float32)
  np.testing.assert_allclose(guided(t, scale=scale)[0], [3, 3, 7, 7, 11, 11])
  some = t.at[:, 3:].set(0.9)
  np.testing.assert_allclose(guided(some, scale=2.0, interval=(0.2, 0.8))[0], [7] * 3 + [3] * 3)
