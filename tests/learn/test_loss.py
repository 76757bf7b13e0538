"""The training loss as numbers that can be worked out by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.learn import loss
from adiff.learn import plain as plain_lib
from adiff.process import gaussian, masked
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import copies
from adiff.sequence import plan as plan_lib

BLOCKS = blocks_lib.equal(4, 2)
COORDS = np.arange(4)[:, None]
MASKED = masked.Masked(3)


def zero_logits(x, t, s, slots):
  return jnp.zeros((*x.shape[:2], 3)), None


def run(denoise=zero_logits, *, blocks=BLOCKS, process=MASKED, draw=None, x0=None, **more):
  x0 = jnp.zeros((8, 4), jnp.int32) if x0 is None else x0
  draw = draw or plan_lib.uniform()
  return loss.loss(
    denoise, jax.random.key(0), x0, blocks=blocks, process=process, draw=draw, coords=COORDS,
    **more,
  )


def test_all_masked_and_nothing_known_costs_log_v_a_token():
  value, scalars = run(draw=plan_lib.ones())
  np.testing.assert_allclose(value, np.log(3), rtol=1e-6)
  np.testing.assert_allclose(scalars['loss_per_block'], [np.log(3)] * 2, rtol=1e-6)


def test_blocks_of_equal_size_average_to_the_loss():
  value, scalars = run()
  np.testing.assert_allclose(jnp.mean(scalars['loss_per_block']), value, rtol=1e-5)


def test_tokens_of_weight_zero_change_nothing():
  def unequal(x, t, s, slots):
    return jnp.broadcast_to(jnp.arange(3.0), (*x.shape, 3)), None  # symbols have different costs

  weight = jnp.broadcast_to(jnp.array([1.0, 1, 1, 0])[None], (8, 4))
  x0 = jax.random.randint(jax.random.key(1), (8, 4), 0, 3)
  other = x0.at[:, 3].set((x0[:, 3] + 1) % 3)
  assert run(unequal, x0=x0, weight=weight)[0] == run(unequal, x0=other, weight=weight)[0]
  assert run(unequal, x0=x0)[0] != run(unequal, x0=other)[0]


def test_the_mean_is_over_weighted_tokens():
  weight = jnp.zeros((8, 4)).at[0, 0].set(1.0)
  value, _ = run(draw=plan_lib.ones(), weight=weight)
  np.testing.assert_allclose(value, np.log(3), rtol=1e-6)


def test_tokens_at_level_zero_carry_no_loss_and_no_nan():
  draw = lambda key, shape: jnp.zeros(shape)
  process = gaussian.Gaussian(2)
  out = lambda x, t, s, slots: (x, None)
  value, grads = jax.value_and_grad(
    lambda scale: run(
      lambda *a: (out(*a)[0] * scale, None), process=process, draw=draw, x0=jnp.ones((8, 4, 2))
    )[0]
  )(1.0)
  assert value == 0 and grads == 0
  assert run(draw=draw)[0] == 0


@pytest.mark.parametrize('history', [0.0, 0.3, None])
def test_the_network_meets_the_past_at_the_level_of_the_history(history):
  seen = {}

  def spy(x, t, s, slots):
    seen.update(x=x, t=copies.levels(t, slots))
    return jnp.zeros((*x.shape[:2], 1)), None

  blocks = blocks_lib.equal(4, 2, history=history)
  x0 = jax.random.normal(jax.random.key(3), (8, 4, 1))
  run(spy, blocks=blocks, process=gaussian.Gaussian(1), x0=x0)
  past, level = np.asarray(seen['x'][:, 4:]), np.asarray(seen['t'][:, 4:])
  if history is None:
    assert past.size == 0
  else:
    assert past.shape == (8, 2, 1) and np.all(level == np.float32(history))
    assert np.array_equal(past, x0[:, :2]) == (history == 0)


def test_levels_are_one_a_block_and_the_answer_is_never_in_its_own_history():
  seen = {}

  def spy(x, t, s, slots):
    seen.update(t=t, slots=slots)
    return jnp.zeros((*x.shape[:2], 3)), None

  run(spy)
  assert seen['t'].shape == (8, 3)  # two blocks, and the history copy of the first
  t = np.asarray(copies.levels(seen['t'], seen['slots']))
  assert np.all(t[:, 0] == t[:, 1]) and np.all(t[:, 2] == t[:, 3]) and np.any(t[:, 0] != t[:, 2])


def test_the_curve_over_levels_has_a_mean_a_bin_and_nan_where_nothing_fell():
  level = jnp.array([[0.05, 0.05], [0.95, 1.0]])
  curve = loss.by_level(level, jnp.array([[2.0, 4], [6, 0]]), jnp.array([[2.0, 1], [2, 2]]))
  np.testing.assert_allclose(curve[0], 2.0)
  np.testing.assert_allclose(curve[9], 1.5)
  assert np.all(np.isnan(np.asarray(curve[1:9])))


# ---- Complementary masks ------------------------------------------------------------------------


def test_the_second_half_of_a_complementary_batch_hides_what_the_first_one_shows():
  seen = {}

  def spy(x, t, s, slots):
    seen.update(x=np.asarray(x), t=np.asarray(copies.levels(t, slots)))
    return zero_logits(x, t, s, slots)

  x0 = jnp.tile(jax.random.randint(jax.random.key(1), (8, 4), 0, 3), (2, 1))
  value, _ = run(spy, x0=x0, complementary=True)
  (first, second), t = np.split(seen['x'][:, :4], 2), seen['t'][:, :4]
  np.testing.assert_array_equal(first == MASKED.mask_id, second != MASKED.mask_id)
  np.testing.assert_array_equal(np.minimum(first, second), x0[:8])
  np.testing.assert_allclose(t[:8] + t[8:], 1, rtol=1e-6)
  np.testing.assert_array_equal(seen['x'][:, 4:], x0[:, :2])  # both read a clean past
  hidden = seen['x'][:, :4] == MASKED.mask_id
  expected = np.log(3) * np.mean(hidden / np.maximum(t, masked.FLOOR))
  np.testing.assert_allclose(value, expected, rtol=1e-5)


# ---- The next-token loss of a token-causal history copy -----------------------------------------

CAUSAL = dataclasses.replace(BLOCKS, causal=True)


def telling(x, t, s, slots):
  """Outputs that differ with the symbol, the place and the stream."""
  where = jnp.broadcast_to(5 * slots.stream + slots.coords[..., 0], x.shape)
  angle = x.astype(float) + 0.7 * where.astype(float)
  return 2 * jnp.sin(angle[..., None] + jnp.arange(3.0)[None, None]), None


def by_hand(x0, weight):
  """The mean over [B, N - 1] of -log p(next token) of the history copy's outputs of `telling`."""
  out = 2 * np.sin((x0 + 0.7 * (5 + np.arange(4)))[..., None] + np.arange(3.0))
  log_p = out - np.log(np.sum(np.exp(out), axis=-1, keepdims=True))
  nats = -np.take_along_axis(log_p[:, :-1], x0[:, 1:, None], axis=-1)[..., 0]
  return np.sum(nats * weight) / np.sum(weight)


def test_the_history_copy_pays_for_the_next_token_and_the_working_copy_as_before():
  x0 = jax.random.randint(jax.random.key(1), (8, 4), 0, 3)
  value, scalars = run(telling, blocks=CAUSAL, x0=x0, next_token=0.7)
  expected = by_hand(np.asarray(x0), np.ones((8, 3)))
  np.testing.assert_allclose(scalars['next_token'], expected, rtol=1e-5)
  without, plain = run(telling, x0=x0)
  np.testing.assert_allclose(value, without + 0.7 * expected, rtol=1e-5)
  assert scalars['loss'] == value and 'next_token' not in plain
  for name in ('loss_per_block', 'loss_per_level'):
    np.testing.assert_array_equal(scalars[name], plain[name])


def test_no_document_pays_for_the_first_token_of_the_next_one_or_for_padding():
  x0 = jax.random.randint(jax.random.key(1), (2, 4), 0, 3)
  segment = jnp.array([[0, 0, 1, 1], [0, 0, 0, -1]])
  documents = dict(segment=segment, position=jnp.broadcast_to(jnp.arange(4)[None], (2, 4)))
  weight = jnp.array([[1.0, 1, 1, 1], [1, 1, 1, 0]])
  _, scalars = run(
    telling, blocks=CAUSAL, x0=x0, weight=weight, documents=documents, next_token=1.0)
  expected = by_hand(np.asarray(x0), np.array([[1, 0, 1], [1, 1, 0]]))
  np.testing.assert_allclose(scalars['next_token'], expected, rtol=1e-5)


# ---- Packed documents ---------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Fixed(masked.Masked):
  """Hides symbol 1 wherever there is noise: then a token's noise is its own, packed or alone."""

  def add_noise(self, key, x0, t):
    return jnp.where((x0 == 1) & (t > 0), self.mask_id, x0)


DOCUMENTS = (jnp.array([[1, 0, 1, 1, 2, 1]]), jnp.array([[2, 1, 1, 0]]))


def network():
  """A real tiny network, and how its loss is computed; weight and documents as in `loss.loss`."""
  regime = tiny.regime('block-masked')
  denoise = plain_lib.conditioned(
    plain_lib.network(regime.model, regime.params), {'label': jnp.full(1, -1, jnp.int32)})
  draw = lambda key, shape: jnp.full(shape, 0.5)

  @jax.jit
  def evaluate(x0, weight=None, documents=None):
    seen = []

    def spy(*arguments):
      seen.append(denoise(*arguments))
      return seen[-1]

    size = x0.shape[1]
    _, scalars = loss.loss(
      spy, jax.random.key(0), x0, process=Fixed(3), draw=draw, next_token=1.0, weight=weight,
      blocks=dataclasses.replace(blocks_lib.equal(size, 2), causal=True), documents=documents,
      coords=np.arange(size)[:, None])
    return scalars['loss'], scalars['next_token'], seen[0][0][0]

  return evaluate


def test_documents_in_one_row_are_what_they_are_alone_and_padding_is_nothing():
  evaluate = network()
  alone = [evaluate(x0) for x0 in DOCUMENTS]
  documents = dict(
    segment=jnp.array([[0] * 6 + [1] * 4 + [-1] * 2]),
    position=jnp.array([[*range(6), *range(4), 0, 1]]))
  row = lambda padding: jnp.concatenate([*DOCUMENTS, jnp.full((1, 2), padding)], axis=1)
  ones = lambda *segments: jnp.isin(documents['segment'], jnp.array(segments)).astype(jnp.float32)

  loss_all, next_all, out = evaluate(row(1), ones(0, 1), documents)
  work, past = np.split(np.asarray(out), 2)
  for begin, (_, _, single) in zip((0, 6), alone, strict=True):
    size = len(single) // 2
    np.testing.assert_allclose(work[begin:begin + size], single[:size], atol=1e-5)
    np.testing.assert_allclose(past[begin:begin + size], single[size:], atol=1e-5)
  for segment, (single, single_next, _) in enumerate(alone):
    found, found_next, _ = evaluate(row(1), ones(segment), documents)
    np.testing.assert_allclose((found, found_next), (single, single_next), rtol=1e-5)
  sizes, (losses, nexts) = np.array([6, 4]), np.array([one[:2] for one in alone]).T
  np.testing.assert_allclose(next_all, (sizes - 1) @ nexts / 8, rtol=1e-5)
  np.testing.assert_allclose(loss_all - next_all, sizes @ (losses - nexts) / 10, rtol=1e-5)
  other = evaluate(row(2), ones(0, 1), documents)
  assert (other[0], other[1]) == (loss_all, next_all)
  np.testing.assert_array_equal(np.split(np.asarray(other[2]), 2)[0][:10], work[:10])
