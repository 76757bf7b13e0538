"""The walk itself, with functions for networks. (Cached = plain, batches, prompts: identities.)"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.process import gaussian, masked, uniform
from adiff.sample import guidance
from adiff.sample import walk as walk_lib
from adiff.sample.solvers import (
  entropy_bound,
  first_hitting,
  first_order,
  heun,
  scheduled,
  threshold,
)
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import copies
from adiff.sequence import plan as plan_lib

COORDS = np.arange(6)[:, None]
MASKED = masked.Masked(3)
BLOCKS = blocks_lib.equal(6, 2)
COMMON = dict(process=MASKED, solver=first_order.FirstOrder(), coords=COORDS)


def zero_logits(x, t, s, slots, cache=None, commit=0):
  return jnp.zeros((*x.shape[:2], 3)), cache


def keys(num=4):
  return jax.random.split(jax.random.key(0), num)


def test_a_trace_shows_every_row_and_ends_with_the_sample():
  plan = plan_lib.Plan(3, 2)
  trace = np.asarray(
    walk_lib.sample(zero_logits, keys(), plan, blocks=BLOCKS, trace=True, **COMMON))
  final = walk_lib.sample(zero_logits, keys(), plan, blocks=BLOCKS, **COMMON)
  assert trace.shape == (6, 4, 6)
  np.testing.assert_array_equal(trace[-1], final)
  for row in range(6):
    np.testing.assert_array_equal(np.all(trace[row, :, 2 * (row // 2) + 2:] == 3), True)
  assert np.all(trace[1, :, :2] < 3) and np.all(trace[3, :, :4] < 3)


def test_a_block_that_reads_a_clean_past_must_wait_for_it():
  with pytest.raises(ValueError, match='plan.delay=None'):
    walk_lib.sample(zero_logits, keys(), plan_lib.Plan(3, 2, 1), blocks=BLOCKS, **COMMON)


def test_a_plan_with_a_prompt_asks_for_the_prompt():
  with pytest.raises(ValueError, match='given'):
    walk_lib.sample(zero_logits, keys(), plan_lib.Plan(3, 2, given=1), blocks=BLOCKS, **COMMON)


@pytest.mark.parametrize('history', [0.0, 0.25])
def test_finished_blocks_are_read_at_the_level_of_the_history(history):
  seen = []

  def spy(x, t, s, slots, cache=None, commit=0):
    t = copies.levels(t, slots)
    jax.debug.callback(lambda t, stream: seen.append((np.asarray(t), np.asarray(stream))), t,
                       slots.stream)
    return jnp.zeros_like(x), cache

  common = {**COMMON, 'process': gaussian.Gaussian(1)}
  blocks = blocks_lib.equal(6, 2, history=history)
  jax.block_until_ready(walk_lib.sample(spy, keys(1), plan_lib.Plan(3, 1), blocks=blocks, **common))
  jax.effects_barrier()
  for row, (t, stream) in enumerate(sorted(seen, key=lambda one: one[1].sum())):
    np.testing.assert_array_equal(stream, np.arange(6) < 2 * row)
    np.testing.assert_array_equal(t[0], np.where(np.arange(6) < 2 * row, np.float32(history), 1))


@pytest.mark.parametrize('sizes, some, each', [
  ((2, 2, 2), {}, 2), ((2, 2, 2), {'given': True}, 1), ((1, 2, 3), {}, 1)])
def test_levels_are_told_one_a_block_where_no_token_differs(sizes, some, each):
  told = set()

  def spy(x, t, s, slots, cache=None, commit=0):
    told.add((x.shape[1], t.shape[1], s.shape[1]))
    return jnp.zeros((*x.shape[:2], 3)), cache

  plan, blocks = plan_lib.Plan(3, 2), blocks_lib.Blocks(sizes, tuple(range(6)))
  given = prompt([1, 0, 0, 3]) if some else {}
  walk_lib.sample(spy, keys(), plan, blocks=blocks, **COMMON, **given)
  walk(spy, plan, blocks, COMMON['solver'], **given)
  assert all(t == s == num_slots // each for num_slots, t, s in told)


def test_blocks_can_be_streamed_one_by_one():
  plan = plan_lib.Plan(3, 2)
  common = dict(blocks=BLOCKS, **COMMON)
  state = walk_lib.start(
    keys(), None, blocks=BLOCKS, process=MASKED, solver=COMMON['solver'], plan=plan)
  streamed = []
  for pending, _, windows in plan.windows(BLOCKS.sizes):
    for i in range(len(windows.start)):
      window = jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), windows)
      state, block = walk_lib.next_block(zero_logits, state, window, pending, **common)
      streamed.append(block)
  whole = walk_lib.sample(zero_logits, keys(), plan, **common)
  np.testing.assert_array_equal(jnp.concatenate(streamed, axis=1), whole)


def labelled(x, t, s, slots, cond, cache, commit):
  """A network whose output is its condition."""
  return jnp.broadcast_to(cond['label'].astype(t.dtype)[:, None, None], (*t.shape, 1)), cache


def guided(t, **arguments):
  denoise = guidance.guide(labelled, {'label': jnp.array([3, 1])}, **arguments)
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


# ---- Solvers that finish early ------------------------------------------------------------------

ADAPTIVE = (
  first_hitting.FirstHitting(), threshold.Threshold(0.6), threshold.Threshold(0.5, edit=0.5),
  entropy_bound.EntropyBound(0.8), scheduled.Scheduled(), scheduled.Scheduled('confidence'),
)


@pytest.mark.parametrize('solver', [
  pytest.param(one, marks=() if i == 2 else pytest.mark.soak) for i, one in enumerate(ADAPTIVE)])
def test_rows_that_finish_at_different_times_agree_with_the_plain_walk(solver):
  regime = tiny.regime('block-masked')
  plan = plan_lib.Plan(2, 3)
  blocks = blocks_lib.equal(6, 3)
  regime = dataclasses.replace(regime, parts=dataclasses.replace(regime.parts, blocks=blocks))
  given_mask = np.zeros((tiny.BATCH, 6), bool)
  given_mask[0, [0, 4]] = given_mask[1, 3:] = given_mask[2, :3] = True
  plain, cached = (
    regime.sampler(cached, solver=solver, guided=False, plan=plan)(
      *regime.arguments()[:3], jnp.asarray(given_mask)) for cached in (False, True)
  )
  np.testing.assert_array_equal(plain, cached)
  np.testing.assert_array_equal(plain[given_mask], regime.data()[given_mask])
  assert int(plain.max()) < regime.parts.spec.vocab


class Network:
  """Logits that read everything in sight; counts its traces and the calls that are made."""

  def __init__(self, vocab=3):
    self.vocab, self.traces, self.rows = vocab, 0, []

  def __call__(self, x, t, s, slots, cache=None, commit=0):
    self.traces += 1
    jax.debug.callback(lambda t: self.rows.append(len(t)), t)
    place = slots.coords[:, 0]
    mix = jnp.sum(jnp.where(x == self.vocab, 0, x + 1), axis=1).astype(float)[:, None, None]
    angle = (place[:, None] * jnp.arange(1, self.vocab + 1)[None]).astype(float)[None]
    return 2 * jnp.sin(mix + angle) * copies.levels(t, slots)[..., None], cache

  @property
  def calls(self):
    jax.effects_barrier()
    return len(self.rows)


def walk(network, plan, blocks, solver, *, batch=4, process=MASKED, stop=None, keys_=None, **given):
  """The state at the end of a cached walk."""
  how = dict(blocks=blocks, process=process, solver=solver)
  run = jax.jit(lambda keys, given: walk_lib.walk(
    network, walk_lib.start(keys, None, plan=plan, stop=stop, **how, **given),
    plan.windows(blocks.sizes), coords=np.arange(blocks.num_tokens)[:, None], stop=stop, **how))
  return jax.block_until_ready(run(keys(batch) if keys_ is None else keys_, given))


def prompt(lengths, num_tokens=6):
  """The first tokens of each row are given."""
  mask = jnp.arange(num_tokens)[None] < jnp.asarray(lengths)[:, None]
  return dict(given=jnp.ones(mask.shape, jnp.int32), given_mask=mask)


def test_a_block_ends_with_its_last_row_and_counts_what_each_row_needed():
  network, blocks = Network(), blocks_lib.whole(6)
  state = walk(network, plan_lib.Plan(1, 9), blocks, ADAPTIVE[0], **prompt([6, 4, 3, 5]))
  np.testing.assert_array_equal(state.calls, [0, 2, 3, 1])
  assert network.calls == 3
  fixed = first_order.FirstOrder()
  other = walk(Network(), plan_lib.Plan(1, 9), blocks, fixed, **prompt([6, 4, 3, 5]))
  np.testing.assert_array_equal(other.calls, [0, 9, 9, 9])


def test_second_calls_count_too():
  state = walk(
    lambda x, t, s, slots, cache=None, commit=0: (jnp.zeros_like(x), cache), plan_lib.Plan(3, 4),
    BLOCKS, heun.Heun(), process=gaussian.Gaussian(1))
  np.testing.assert_array_equal(state.calls, [24] * 4)


def test_a_block_whose_tokens_are_all_given_makes_the_one_call_that_writes_keys():
  network = Network()
  state = walk(network, plan_lib.Plan(3, 2), BLOCKS, ADAPTIVE[0], **prompt([4] * 4))
  np.testing.assert_array_equal(state.calls, 2)
  assert network.calls == 1 + 1 + 2


@pytest.mark.parametrize('solver', [
  ADAPTIVE[3], *(pytest.param(ADAPTIVE[i], marks=pytest.mark.soak) for i in (0, 1, 2, 4))])
def test_a_row_and_its_calls_do_not_depend_on_its_batch(solver):
  run = lambda keys_, lengths: walk(
    Network(), plan_lib.Plan(2, 6), blocks_lib.equal(12, 6), solver, keys_=keys_,
    **prompt(lengths, 12))
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
    network = Network()
    walk(network, plan_lib.Plan(num_blocks, 2), blocks_lib.equal(2 * num_blocks, 2), solver)
    traces.append(network.traces)
  assert traces[0] == traces[1]


def test_blocks_that_overlap_in_time_are_refused():
  with pytest.raises(ValueError, match='plan.delay=None'):
    walk_lib.sample(
      zero_logits, keys(), plan_lib.Plan(3, 4, 2), blocks=blocks_lib.equal(6, 2, history=None),
      process=MASKED, solver=ADAPTIVE[0], coords=COORDS)


# ---- Stop symbols -------------------------------------------------------------------------------


@pytest.mark.parametrize('solver, process, history, delay', [
  (ADAPTIVE[2], MASKED, 0.0, None),
  (first_order.FirstOrder(), MASKED, 0.0, None),
  (first_order.FirstOrder(), uniform.Uniform(3), None, 2),
])
def test_nothing_is_made_behind_a_stop_symbol(solver, process, history, delay):
  blocks, plan = blocks_lib.equal(12, 2, history=history), plan_lib.Plan(6, 3, delay)
  how = dict(blocks=blocks, process=process, solver=solver, coords=np.arange(12)[:, None])
  # Blocks see nothing of each other here, so that no cache is needed.
  place = lambda slots: slots.coords.astype(float) * jnp.arange(1.0, 4.0)[None]
  local = lambda x, t, s, slots, cache=None, commit=0: (
    jnp.sin(jnp.where(x == 3, 0.0, 1.0)[..., None] + place(slots)[None]), cache)
  given = prompt([1, 3, 0, 0, 2, 0, 0, 0], 12)
  plain = lambda stop: np.asarray(jax.jit(lambda keys: walk_lib.sample(
    local, keys, plan, stop=stop, **how, **given))(keys(8)))
  free, stopped = plain(None), plain(1)
  known = np.asarray(given['given_mask'])
  ends = [np.flatnonzero((row == 1) & ~mask) for row, mask in zip(free, known, strict=True)]
  for before, after, end in zip(free, stopped, ends, strict=True):
    last = end[0] if len(end) else 12
    np.testing.assert_array_equal(after[:last], before[:last])
    assert np.all(after[last:] == 1)
  assert len({len(end) and end[0] for end in ends}) > 3
  state = walk(local, plan, blocks, solver, process=process, stop=1, keys_=keys(8), **given)
  np.testing.assert_array_equal(state.x, stopped)
  if delay is None:
    needed = [sum(3 for block in range(6) if not known[i, 2 * block:2 * block + 2].all()
                  and not (len(end) and end[0] < 2 * block)) for i, end in enumerate(ends)]
    needed = np.array(needed)
    assert np.all(state.calls <= needed) and np.all((state.calls > 0) == (needed > 0))
    if not solver.adaptive:
      np.testing.assert_array_equal(state.calls, needed)


def test_given_tokens_behind_a_stop_symbol_stay():
  always = lambda x, t, s, slots, cache=None, commit=0: (
    jnp.broadcast_to(jnp.array([0.0, 90.0, 0.0])[None, None], (*x.shape, 3)), cache)
  mask = jnp.array([[True, False, False, True, False, False]])
  given = dict(given=jnp.array([[1, 0, 0, 2, 0, 0]], jnp.int32), given_mask=mask)
  state = walk(always, plan_lib.Plan(3, 2), BLOCKS, ADAPTIVE[0], batch=1, stop=1, **given)
  np.testing.assert_array_equal(state.x, [[1, 1, 1, 2, 1, 1]])
  np.testing.assert_array_equal(state.calls, [1])


def test_when_all_rows_have_stopped_no_call_is_made():
  class Always(Network):

    def __call__(self, *arguments, **others):
      out, cache = super().__call__(*arguments, **others)
      return jnp.zeros_like(out).at[..., 1].set(90.0), cache

  network = Always()
  state = walk(network, plan_lib.Plan(3, 2), BLOCKS, ADAPTIVE[0], stop=1)
  np.testing.assert_array_equal(state.x, 1)
  assert network.calls == 2
  network = Always()
  walk(network, plan_lib.Plan(3, 2), BLOCKS, first_order.FirstOrder(), stop=1)
  assert network.calls == 2


def test_vectors_have_no_stop_symbol():
  with pytest.raises(ValueError, match='stop=None'):
    walk_lib.sample(
      zero_logits, keys(), plan_lib.Plan(3, 2), blocks=BLOCKS, stop=1,
      **{**COMMON, 'process': gaussian.Gaussian(1)})
