"""The walk as it is defined, with functions for networks. (Cached = plain, batches, prompts:
identities.)"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fakes import BLOCKS, COORDS, MASKED, ZERO_LOGITS, keys, prompt, sure_of, walk

from adiff.process import gaussian, uniform
from adiff.sample import walk as walk_lib
from adiff.sample.solvers import first_hitting, first_order, threshold
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import copies
from adiff.sequence import plan as plan_lib

COMMON = dict(process=MASKED, solver=first_order.FirstOrder(), coords=COORDS)


def test_a_trace_shows_every_row_and_ends_with_the_sample():
  plan = plan_lib.Plan(3, 2)
  trace = np.asarray(
    walk_lib.sample(ZERO_LOGITS, keys(), plan, blocks=BLOCKS, trace=True, **COMMON))
  final = walk_lib.sample(ZERO_LOGITS, keys(), plan, blocks=BLOCKS, **COMMON)
  assert trace.shape == (6, 4, 6)
  np.testing.assert_array_equal(trace[-1], final)
  for row in range(6):
    np.testing.assert_array_equal(np.all(trace[row, :, 2 * (row // 2) + 2:] == 3), True)
  assert np.all(trace[1, :, :2] < 3) and np.all(trace[3, :, :4] < 3)


def test_a_block_that_reads_a_clean_past_must_wait_for_it():
  with pytest.raises(ValueError, match='plan.delay=None'):
    walk_lib.sample(ZERO_LOGITS, keys(), plan_lib.Plan(3, 2, 1), blocks=BLOCKS, **COMMON)


def test_a_plan_with_a_prompt_asks_for_the_prompt():
  with pytest.raises(ValueError, match='given'):
    walk_lib.sample(ZERO_LOGITS, keys(), plan_lib.Plan(3, 2, given=1), blocks=BLOCKS, **COMMON)


@pytest.mark.parametrize('history', [0.0, 0.25])
def test_finished_blocks_are_read_at_the_level_of_the_history(history):
  seen = []

  def spy(ask):
    t = copies.levels(ask.t, ask.slots)
    jax.debug.callback(
      lambda t, stream: seen.append((np.asarray(t), np.asarray(stream))), t, ask.slots.stream)
    return jnp.zeros_like(ask.x)

  common = {**COMMON, 'process': gaussian.Gaussian(1, clip=0.0)}
  blocks, plan = blocks_lib.equal(6, 2, history=history), plan_lib.Plan(3, 1)
  jax.block_until_ready(
    walk_lib.sample(ask_lib.from_outputs(spy), keys(1), plan, blocks=blocks, **common))
  jax.effects_barrier()
  assert len(seen) == 3
  for row, (t, stream) in enumerate(sorted(seen, key=lambda call: call[1].sum())):
    np.testing.assert_array_equal(stream, np.arange(6) < 2 * row)
    np.testing.assert_array_equal(t[0], np.where(np.arange(6) < 2 * row, np.float32(history), 1))


@pytest.mark.parametrize('sizes, some, each', [
  ((2, 2, 2), {}, 2), ((2, 2, 2), {'given': True}, 1), ((1, 2, 3), {}, 1)])
def test_levels_are_told_one_a_block_where_no_token_differs(sizes, some, each):
  shapes = set()

  def spy(ask):
    shapes.add((ask.x.shape[1], ask.t.shape[1], ask.s.shape[1]))
    return jnp.zeros((*ask.x.shape[:2], 3))

  plan, blocks = plan_lib.Plan(3, 2), blocks_lib.Blocks(sizes, tuple(range(6)))
  denoise, given = ask_lib.from_outputs(spy), prompt([1, 0, 0, 3]) if some else {}
  walk_lib.sample(denoise, keys(), plan, blocks=blocks, **COMMON, **given)
  walk(denoise, plan, blocks, COMMON['solver'], **given)
  assert all(t == s == num_slots // each for num_slots, t, s in shapes)


def test_blocks_that_overlap_in_time_are_refused():
  with pytest.raises(ValueError, match='plan.delay=None'):
    walk_lib.sample(
      ZERO_LOGITS, keys(), plan_lib.Plan(3, 4, 2), blocks=blocks_lib.equal(6, 2, history=None),
      process=MASKED, solver=first_hitting.FirstHitting(), coords=COORDS)


# ---- Stop symbols -------------------------------------------------------------------------------


def _local_logits(ask):
  """Blocks see nothing of each other here, so that no cache is needed."""
  place = ask.slots.coords.astype(float) * jnp.arange(1.0, 4.0)[None]
  return jnp.sin(jnp.where(ask.x == 3, 0.0, 1.0)[..., None] + place[None])


@pytest.mark.parametrize('solver, process, history, delay', [
  (threshold.Threshold(0.5, edit=0.5), MASKED, 0.0, None),
  (first_order.FirstOrder(), MASKED, 0.0, None),
  (first_order.FirstOrder(), uniform.Uniform(3), None, 2),
])
def test_nothing_is_made_behind_a_stop_symbol(solver, process, history, delay):
  blocks, plan = blocks_lib.equal(12, 2, history=history), plan_lib.Plan(6, 3, delay)
  how = dict(blocks=blocks, process=process, solver=solver, coords=np.arange(12)[:, None])
  local, given = ask_lib.from_outputs(_local_logits), prompt([1, 3, 0, 0, 2, 0, 0, 0], 12)

  def plain(stop):
    run = jax.jit(lambda keys: walk_lib.sample(local, keys, plan, stop=stop, **how, **given))
    return np.asarray(run(keys(8)))

  free, stopped = plain(None), plain(1)
  known = np.asarray(given['given_mask'])
  ends = [np.flatnonzero((row == 1) & ~mask) for row, mask in zip(free, known, strict=True)]
  for before, after, end in zip(free, stopped, ends, strict=True):
    last = end[0] if len(end) else 12
    np.testing.assert_array_equal(after[:last], before[:last])
    assert np.all(after[last:] == 1)
  assert len({len(end) and end[0] for end in ends}) > 3
  state = walk(local, plan, blocks, solver, process=process, stop=1, keys_of=keys(8), **given)
  np.testing.assert_array_equal(state.x, stopped)
  if delay is None:
    needed = [sum(3 for block in range(6) if not known[i, 2 * block:2 * block + 2].all()
                  and not (len(end) and end[0] < 2 * block)) for i, end in enumerate(ends)]
    needed = np.array(needed)
    assert np.all(state.calls <= needed) and np.all((state.calls > 0) == (needed > 0))
    if not solver.adaptive:
      np.testing.assert_array_equal(state.calls, needed)


def test_given_tokens_behind_a_stop_symbol_stay():
  mask = jnp.array([[True, False, False, True, False, False]])
  given = dict(given=jnp.array([[1, 0, 0, 2, 0, 0]], jnp.int32), given_mask=mask)
  plan, solver = plan_lib.Plan(3, 2), first_hitting.FirstHitting()
  plain = walk_lib.sample(
    sure_of(1), keys(1), plan, blocks=BLOCKS, stop=1, **{**COMMON, 'solver': solver}, **given)
  np.testing.assert_array_equal(plain, [[1, 1, 1, 2, 1, 1]])
  state = walk(sure_of(1), plan, BLOCKS, solver, keys_of=keys(1), stop=1, **given)
  np.testing.assert_array_equal(state.x, plain)
  np.testing.assert_array_equal(state.calls, [1])


def test_vectors_have_no_stop_symbol():
  with pytest.raises(ValueError, match='stop=None'):
    walk_lib.sample(
      ZERO_LOGITS, keys(), plan_lib.Plan(3, 2), blocks=BLOCKS, stop=1,
      **{**COMMON, 'process': gaussian.Gaussian(1, clip=0.0)})
