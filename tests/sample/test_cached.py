"""The cached walk, with functions for networks: streams of blocks, early ends, calls. (Cached =
plain for random networks: identities.)"""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from fakes import (
  BLOCKS,
  COORDS,
  MASKED,
  MIXED_LOGITS,
  ZERO_LOGITS,
  Counter,
  keys,
  prompt,
  sure_of,
  walk,
)

from adiff.process import gaussian
from adiff.sample import cached, self_condition
from adiff.sample import walk as walk_lib
from adiff.sample import windows as windows_lib
from adiff.sample.solvers import (
  entropy_bound,
  first_hitting,
  first_order,
  heun,
  scheduled,
  threshold,
)
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import plan as plan_lib


def test_blocks_can_be_streamed_one_by_one():
  plan = plan_lib.Plan(3, 2)
  how = dict(blocks=BLOCKS, process=MASKED, solver=first_order.FirstOrder())
  state = cached.start(keys(), None, plan=plan, **how)
  streamed = []
  for shape, window in windows_lib.listed(plan, BLOCKS):
    state, block = cached.next_block(
      ZERO_LOGITS, state, shape, windows_lib.on_device(window), coords=COORDS, **how)
    streamed.append(block)
  whole = walk_lib.sample(ZERO_LOGITS, keys(), plan, coords=COORDS, **how)
  np.testing.assert_array_equal(jnp.concatenate(streamed, axis=1), whole)


# ---- Solvers that finish early ------------------------------------------------------------------

HITTING = first_hitting.FirstHitting()
ADAPTIVE = (
  HITTING, threshold.Threshold(0.6), threshold.Threshold(0.5, edit=0.5),
  entropy_bound.EntropyBound(0.8), scheduled.Scheduled(), scheduled.Scheduled('confidence'),
)


@pytest.mark.parametrize('solver', [
  pytest.param(solver, marks=() if i == 2 else pytest.mark.soak)
  for i, solver in enumerate(ADAPTIVE)])
def test_rows_that_finish_at_different_times_agree_with_the_plain_walk(solver):
  regime = tiny.regime('block-masked')
  plan = plan_lib.Plan(2, 3)
  blocks = blocks_lib.equal(6, 3)
  geometries = ((blocks, regime.parts.draw),)
  parts = dataclasses.replace(regime.parts, geometries=geometries)
  regime = dataclasses.replace(regime, parts=parts)
  given_mask = np.zeros((tiny.BATCH, 6), bool)
  given_mask[0, [0, 4]] = given_mask[1, 3:] = given_mask[2, :3] = True
  plain, fast = (
    regime.sampler(is_cached, solver=solver, guided=False, plan=plan)(
      *regime.arguments()[:3], jnp.asarray(given_mask)) for is_cached in (False, True)
  )
  np.testing.assert_array_equal(plain, fast)
  np.testing.assert_array_equal(plain[given_mask], regime.data()[given_mask])
  assert int(plain.max()) < regime.parts.spec.kind.vocab


def test_a_block_ends_with_its_last_row_and_counts_what_each_row_needed():
  network, plan, blocks = Counter(MIXED_LOGITS), plan_lib.Plan(1, 9), blocks_lib.whole(6)
  state = walk(network.denoise, plan, blocks, HITTING, **prompt([6, 4, 3, 5]))
  np.testing.assert_array_equal(state.calls, [0, 2, 3, 1])
  assert network.calls == 3
  other = walk(MIXED_LOGITS, plan, blocks, first_order.FirstOrder(), **prompt([6, 4, 3, 5]))
  np.testing.assert_array_equal(other.calls, [0, 9, 9, 9])


ZEROS = ask_lib.from_outputs(lambda ask: jnp.zeros_like(ask.x))
VECTORS = gaussian.Gaussian(1, clip=0.0)


@pytest.mark.parametrize('solver', [
  heun.Heun(), self_condition.SelfCondition(heun.Heun(), 1),
], ids=lambda solver: type(solver).__name__)
def test_second_calls_count_too_and_the_last_step_of_a_block_needs_none(solver):
  network = Counter(ZEROS)
  state = walk(network.denoise, plan_lib.Plan(3, 4), BLOCKS, solver, process=VECTORS)
  np.testing.assert_array_equal(state.calls, [3 * (2 * 4 - 1)] * 4)
  assert network.calls == 3 * (2 * 4 - 1)


def test_a_row_in_which_some_tokens_end_and_others_do_not_needs_the_second_call():
  network, plan = Counter(ZEROS), plan_lib.Plan(3, 3, delay=1)
  blocks = dataclasses.replace(BLOCKS, history=None)
  state = walk(network.denoise, plan, blocks, heun.Heun(), process=VECTORS)
  assert plan.num_rows == 5 and network.calls == 2 * 5 - 1
  np.testing.assert_array_equal(state.calls, [2 * 5 - 1] * 4)


def test_a_block_whose_tokens_are_all_given_makes_the_one_call_that_writes_keys():
  network = Counter(MIXED_LOGITS)
  state = walk(network.denoise, plan_lib.Plan(3, 2), BLOCKS, HITTING, **prompt([4] * 4))
  np.testing.assert_array_equal(state.calls, 2)
  assert network.calls == 1 + 1 + 2


@pytest.mark.parametrize('solver', [
  ADAPTIVE[3], *(pytest.param(ADAPTIVE[i], marks=pytest.mark.soak) for i in (0, 1, 2, 4))])
def test_a_row_and_its_calls_do_not_depend_on_its_batch(solver):
  plan, blocks = plan_lib.Plan(2, 6), blocks_lib.equal(12, 6)

  def run(keys_of, lengths):
    return walk(MIXED_LOGITS, plan, blocks, solver, keys_of=keys_of, **prompt(lengths, 12))

  together = run(keys(5), [0, 3, 11, 7, 0])
  assert len(set(np.asarray(together.calls).tolist())) > 1
  for row, length in ((1, 3), (3, 7)):
    alone = run(keys(5)[row:row + 1], [length])
    np.testing.assert_array_equal(alone.x[0], together.x[row])
    assert alone.calls[0] == together.calls[row]


@pytest.mark.parametrize('solver', ADAPTIVE[1:2])
def test_one_compilation_serves_any_number_of_blocks(solver):
  traces = []
  for num_blocks in (3, 6):
    network, blocks = Counter(MIXED_LOGITS), blocks_lib.equal(2 * num_blocks, 2)
    walk(network.denoise, plan_lib.Plan(num_blocks, 2), blocks, solver)
    traces.append(network.traces)
  assert traces[0] == traces[1]


@pytest.mark.parametrize('solver', [HITTING, first_order.FirstOrder()])
def test_when_all_rows_have_stopped_no_call_is_made(solver):
  network = Counter(sure_of(1))
  state = walk(network.denoise, plan_lib.Plan(3, 2), BLOCKS, solver, stop=1)
  np.testing.assert_array_equal(state.x, 1)
  assert network.calls == 2
