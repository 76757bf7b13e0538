"""What is decided by the law as it is, whatever is cut from the law that symbols are drawn from.

Every decision is written out by hand, in float64.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.process import masked
from adiff.sample import self_condition, truncation, walk
from adiff.sample.solvers import entropy_bound, first_hitting, first_order, scheduled, threshold
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import plan as plan_lib

VOCAB, SIZE, ROWS = 5, 8, 64
PROCESS = masked.Masked(VOCAB)
MASK = PROCESS.mask_id
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(ROWS, SIZE, VOCAB)) * np.linspace(0.5, 5, SIZE)[:, None]
X = np.where(RNG.random((ROWS, SIZE)) < 0.7, MASK, RNG.integers(0, VOCAB, (ROWS, SIZE)))
X[0] = MASK
HIDDEN = X == MASK
P = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
CUTS = [
  dict(temperature=0.0), dict(temperature=0.5), dict(top_k=2),
  dict(temperature=0.7, top_k=3, top_p=0.5),
]
SURE = 0.6
BOUND = 0.8


def revealed_by_threshold(p, hidden):
  sure = p.max(-1)
  return {i for i in hidden if sure[i] > SURE} | {max(hidden, key=lambda i: sure[i])}


def revealed_by_entropy(p, hidden):
  nats = -(p * np.log(p)).sum(-1)
  order = sorted(hidden, key=lambda i: nats[i])
  return {token for count, token in enumerate(order) if sum(nats[order[:count]]) <= BOUND}


def revealed_by_schedule(p, hidden):
  keep = int(0.5 * SIZE + 0.5)
  order = sorted(hidden, key=lambda i: -p.max(-1)[i])
  return set(order[:max(len(hidden) - keep, 0)])


DECISIONS = [
  (threshold.Threshold(SURE), revealed_by_threshold),
  (entropy_bound.EntropyBound(BOUND), revealed_by_entropy),
  (scheduled.Scheduled('confidence'), revealed_by_schedule),
]


def step(solver, narrow, x=X, logits=LOGITS, s=0.5, memory=()):
  x = jnp.asarray(x, jnp.int32)
  t, s = jnp.ones(x.shape), jnp.full(x.shape, s)
  keys = jax.random.split(jax.random.key(1), x.shape)
  out = jnp.asarray(logits, jnp.float32)
  return solver.step(None, out, PROCESS, keys, x, t, s, memory, narrow)


@pytest.mark.parametrize('cut', CUTS, ids=str)
@pytest.mark.parametrize('solver, by_hand', DECISIONS)
def test_which_tokens_are_revealed_follows_from_the_law_as_it_is(solver, by_hand, cut):
  after = np.asarray(step(solver, truncation.narrow(**cut))[0])
  for row in range(ROWS):
    hidden = np.flatnonzero(HIDDEN[row]).tolist()
    expected = by_hand(P[row], hidden) if hidden else set()
    assert set(np.flatnonzero(after[row] != X[row]).tolist()) == expected, row


@pytest.mark.parametrize('solver', [
  first_hitting.FirstHitting(), scheduled.Scheduled('random'),
  *(solver for solver, _ in DECISIONS),
])
@pytest.mark.parametrize('cut', CUTS, ids=str)
def test_what_is_revealed_is_drawn_from_the_cut_law(solver, cut):
  narrow = truncation.narrow(**cut)
  allowed = np.asarray(narrow(jnp.asarray(LOGITS, jnp.float32))) > truncation.NEVER
  after = np.asarray(step(solver, narrow, s=0.0)[0])
  symbols = np.where(HIDDEN, after, 0)
  assert np.all(np.take_along_axis(allowed, symbols[..., None], -1)[..., 0][HIDDEN])


def test_at_temperature_zero_random_choices_fall_as_they_fall_without_a_cut():
  for solver in (first_hitting.FirstHitting(), scheduled.Scheduled('random')):
    greedy, uncut = (
      np.asarray(step(solver, truncation.narrow(temperature=value))[0]) for value in (0.0, 1.0))
    np.testing.assert_array_equal(greedy == MASK, uncut == MASK)


@pytest.mark.parametrize('solver', [
  threshold.Threshold(0.9), entropy_bound.EntropyBound(0.1),
], ids=lambda solver: type(solver).__name__)
def test_a_network_that_knows_nothing_reveals_one_token_a_call_at_temperature_zero(solver):
  x, logits = np.full_like(X, MASK), np.zeros_like(LOGITS)
  after = step(solver, truncation.narrow(temperature=0.0), x, logits)[0]
  np.testing.assert_array_equal((np.asarray(after) != MASK).sum(1), 1)


@pytest.mark.parametrize('cut', CUTS, ids=str)
def test_tokens_are_edited_where_the_network_is_sure_by_its_own_law(cut):
  x = np.where(HIDDEN, MASK, 0)
  after = np.asarray(step(threshold.Threshold(SURE, edit=0.8), truncation.narrow(**cut), x)[0])
  going = HIDDEN.any(1, keepdims=True) & ~HIDDEN
  sure = P.max(-1) > 0.8
  expected = np.where(going & sure, P.argmax(-1), x)
  np.testing.assert_array_equal(after[~HIDDEN], expected[~HIDDEN])


@pytest.mark.parametrize('cut', CUTS, ids=str)
def test_the_network_is_shown_its_own_estimate_not_the_cut_one(cut):
  solver = self_condition.SelfCondition(first_order.FirstOrder(), VOCAB)
  memory = solver.init(jnp.asarray(X, jnp.int32))
  after = step(solver, truncation.narrow(**cut), memory=memory)[1]
  expected = np.where(HIDDEN[..., None], P, np.eye(VOCAB)[np.where(HIDDEN, 0, X)])
  np.testing.assert_allclose(after.estimate, expected, atol=1e-6)


# ---- Published decoders, written from their papers -----------------------------------------------

LENGTH = 16
# Every token answers to all others: a decoder that reveals another token goes another way.
MIX = RNG.normal(size=(LENGTH, MASK + 1, LENGTH, VOCAB))


def network(x):
  """Logits [n, V] of tokens x [n]."""
  return 1.5 * MIX[np.arange(LENGTH), x].sum(0) / np.sqrt(LENGTH / 8)


def answers(ask):
  flat = jax.nn.one_hot(ask.x, MASK + 1)
  out = jnp.einsum('bnv,nvmo->bmo', flat, jnp.asarray(MIX, jnp.float32), precision='highest')
  return 1.5 * out / np.sqrt(LENGTH / 8)


def probs(x):
  logits = network(x)
  p = np.exp(logits - logits.max(-1, keepdims=True))
  return p / p.sum(-1, keepdims=True)


def decode(x, steps, choose):
  """One block from the masks of x; choose (confidence of masked tokens by place, masked before the
  first step, step) -> the places that are revealed with their most likely symbols."""
  calls, masked_at_first = 0, int((x == MASK).sum())
  while (x == MASK).any():
    p = probs(x)
    sure = {place: p[place].max() for place in np.flatnonzero(x == MASK).tolist()}
    for place in choose(sure, masked_at_first, calls):
      x[place] = p[place].argmax()
    calls += 1
  assert steps is None or calls == steps
  return x, calls


def greedy(solver, plan, **given):
  """(samples [B, n], calls a block) of the walk at temperature 0."""
  rows = np.asarray(walk.sample(
    ask_lib.from_outputs(answers), jax.random.split(jax.random.key(3), 4), plan,
    blocks=blocks_lib.whole(LENGTH), process=PROCESS, solver=solver,
    coords=np.arange(LENGTH)[:, None], narrow=truncation.narrow(temperature=0.0), trace=True,
    **given))
  return rows[-1], 1 + (rows == MASK).any(-1).sum(0)


PROMPTS = np.where(np.arange(LENGTH)[None] < np.array([[0], [0], [4], [8]]), 2, MASK)
PROMPTS[1, 0] = 1


@pytest.mark.parametrize('steps', [4, 16])
def test_low_confidence_remasking_of_llada_comes_out_exactly(steps):
  # LLaDA, arXiv:2502.09992, appendix A.3 (algorithm 5): with steps that divide the block, an equal
  # number of tokens a step, those of highest confidence.
  def choose(sure, masked_at_first, step):
    return sorted(sure, key=sure.get, reverse=True)[:masked_at_first // steps]

  expected, _ = decode(np.full(LENGTH, MASK), steps, choose)
  samples, _ = greedy(scheduled.Scheduled('confidence'), plan_lib.Plan(1, steps))
  np.testing.assert_array_equal(samples, np.tile(expected, (4, 1)))


@pytest.mark.parametrize('sure_above', [0.5, 0.9])
def test_parallel_decoding_of_fast_dllm_comes_out_exactly(sure_above):
  # Fast-dLLM, arXiv:2505.22618, algorithm 1: all above the threshold, or the one of highest
  # confidence.
  def choose(sure, masked_at_first, step):
    return {place for place in sure if sure[place] > sure_above} or {max(sure, key=sure.get)}

  expected = [decode(x.copy(), None, choose) for x in PROMPTS]
  samples, calls = greedy(
    threshold.Threshold(sure_above), plan_lib.Plan(1, LENGTH), given=jnp.asarray(PROMPTS),
    given_mask=jnp.asarray(PROMPTS != MASK))
  np.testing.assert_array_equal(samples, [x for x, _ in expected])
  np.testing.assert_array_equal(calls, [calls for _, calls in expected])
  assert len(set(calls.tolist())) > 1 or sure_above == 0.9
