"""The training loss as numbers that can be worked out by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.learn import loss, objectives
from adiff.nn import network
from adiff.process import gaussian, masked
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import copies
from adiff.sequence import draw as draw_lib

BLOCKS = blocks_lib.equal(4, 2)
COORDS = np.arange(4)[:, None]
MASKED = masked.Masked(3)


def zeros(num_outputs):
  """The Denoise that says nothing."""
  return ask_lib.from_outputs(lambda ask: jnp.zeros((*ask.x.shape[:2], num_outputs)))


def run(denoise=None, *, blocks=BLOCKS, process=MASKED, draw=None, x0=None, **more):
  x0 = jnp.zeros((8, 4), jnp.int32) if x0 is None else x0
  value, means = loss.loss(
    denoise or zeros(3), jax.random.key(0), x0, blocks=blocks, process=process,
    draw=draw or draw_lib.uniform(), coords=COORDS, **more,
  )
  return value, loss.scalars(means, more.get('term'))


def met(num_outputs=3, **how):
  """What the network is asked in one loss; it says nothing."""
  asked = []

  def spy(ask):
    asked.append(ask)
    return jnp.zeros((*ask.x.shape[:2], num_outputs))

  run(ask_lib.from_outputs(spy), **how)
  (ask,) = asked
  return ask


def test_all_masked_and_nothing_known_costs_log_v_a_token():
  value, scalars = run(draw=draw_lib.ones())
  np.testing.assert_allclose(value, np.log(3), rtol=1e-6)
  np.testing.assert_allclose(scalars['loss_per_block'], [np.log(3)] * 2, rtol=1e-6)


def test_blocks_of_equal_size_average_to_the_loss():
  value, scalars = run()
  np.testing.assert_allclose(jnp.mean(scalars['loss_per_block']), value, rtol=1e-5)


def test_tokens_of_weight_zero_change_nothing():
  unequal = ask_lib.from_outputs(  # symbols have different costs
    lambda ask: jnp.broadcast_to(jnp.arange(3.0), (*ask.x.shape, 3))
  )
  weight = jnp.broadcast_to(jnp.array([1.0, 1, 1, 0])[None], (8, 4))
  x0 = jax.random.randint(jax.random.key(1), (8, 4), 0, 3)
  other = x0.at[:, 3].set((x0[:, 3] + 1) % 3)
  assert run(unequal, x0=x0, weight=weight)[0] == run(unequal, x0=other, weight=weight)[0]
  assert run(unequal, x0=x0)[0] != run(unequal, x0=other)[0]


def test_the_mean_is_over_weighted_tokens():
  for one in (1.0, 0.01):
    weight = jnp.zeros((8, 4)).at[0, 0].set(one)
    value, _ = run(draw=draw_lib.ones(), weight=weight)
    np.testing.assert_allclose(value, np.log(3), rtol=1e-5)


def test_tokens_at_level_zero_carry_no_loss_and_no_nan():
  def nothing(key, shape):
    return jnp.zeros(shape)

  def scaled(scale):
    echo = ask_lib.from_outputs(lambda ask: ask.x * scale)
    process = gaussian.Gaussian(2, clip=0.0)
    return run(echo, process=process, draw=nothing, x0=jnp.ones((8, 4, 2)))[0]

  value, grads = jax.value_and_grad(scaled)(1.0)
  assert value == 0 and grads == 0
  assert run(draw=nothing)[0] == 0


@pytest.mark.parametrize('history', [0.0, 0.3, None])
def test_the_network_meets_the_past_at_the_level_of_the_history(history):
  blocks = blocks_lib.equal(4, 2, history=history)
  x0 = jax.random.normal(jax.random.key(3), (8, 4, 1))
  ask = met(1, blocks=blocks, process=gaussian.Gaussian(1, clip=0.0), x0=x0)
  past, level = np.asarray(ask.x[:, 4:]), np.asarray(copies.levels(ask.t, ask.slots)[:, 4:])
  if history is None:
    assert past.size == 0
  else:
    assert past.shape == (8, 2, 1) and np.all(level == np.float32(history))
    assert np.array_equal(past, x0[:, :2]) == (history == 0)


def test_levels_are_one_a_block_and_the_answer_is_never_in_its_own_history():
  ask = met()
  assert ask.t.shape == (8, 3)  # two blocks, and the history copy of the first
  t = np.asarray(copies.levels(ask.t, ask.slots))
  assert np.all(t[:, 0] == t[:, 1]) and np.all(t[:, 2] == t[:, 3]) and np.any(t[:, 0] != t[:, 2])


def test_the_curve_over_levels_has_a_mean_a_bin_and_nan_where_nothing_fell():
  level = jnp.array([[0.05, 0.05], [0.95, 1.0]])
  sums = loss.by_level(level, jnp.array([[2.0, 4], [6, 0]]), jnp.array([[2.0, 1], [2, 2]]))
  curve = loss.scalars({'loss': loss.Mean(jnp.float32(1), jnp.float32(1)), 'curve': sums})['curve']
  np.testing.assert_allclose(curve[0], 2.0)
  np.testing.assert_allclose(curve[9], 1.5)
  assert np.all(np.isnan(np.asarray(curve[1:9])))


# ---- Packed documents ---------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Fixed(masked.Masked):
  """Hides symbol 1 wherever there is noise: then a token's noise is its own, packed or alone."""

  def add_noise(self, key, x0, t):
    return jnp.where((x0 == 1) & (t > 0), self.mask_id, x0)


DOCUMENTS = (jnp.array([[1, 0, 1, 1, 2, 1]]), jnp.array([[2, 1, 1, 0]]))


def evaluator():
  """(x0, weight, documents) as in `loss.loss` -> (loss, next-token loss, outputs of one row) of a
  real tiny network."""
  regime = tiny.regime('block-masked')
  denoise = network.condition(
    regime.model.denoise(regime.params), {'label': jnp.full(1, -1, jnp.int32)}
  )

  @jax.jit
  def evaluate(x0, weight=None, documents=None):
    answers = []

    def spy(ask):
      h, cache = denoise.trunk(ask)
      answers.append(denoise.head.read(h, ask))
      return h, cache

    size = x0.shape[1]
    blocks = dataclasses.replace(blocks_lib.equal(size, 2), causal=True)
    term = objectives.NextToken(1.0)
    _, means = loss.loss(
      denoise._replace(trunk=spy), jax.random.key(0), x0, blocks=blocks, process=Fixed(3),
      draw=lambda key, shape: jnp.full(shape, 0.5), coords=np.arange(size)[:, None],
      weight=weight, documents=documents, term=term,
    )
    scalars = loss.scalars(means, term)
    return scalars['loss'], scalars['next_token'], answers[0][0]

  return evaluate


def test_documents_in_one_row_are_what_they_are_alone_and_padding_is_nothing():
  evaluate = evaluator()
  alone = [evaluate(x0) for x0 in DOCUMENTS]
  documents = dict(
    segment=jnp.array([[0] * 6 + [1] * 4 + [-1] * 2]),
    position=jnp.array([[*range(6), *range(4), 0, 1]]),
  )

  def packed(padding):
    return jnp.concatenate([*DOCUMENTS, jnp.full((1, 2), padding)], axis=1)

  def ones(*segments):
    return jnp.isin(documents['segment'], jnp.array(segments)).astype(jnp.float32)

  loss_all, next_all, out = evaluate(packed(1), ones(0, 1), documents)
  work, past = np.split(np.asarray(out), 2)
  for begin, (_, _, single) in zip((0, 6), alone, strict=True):
    size = len(single) // 2
    np.testing.assert_allclose(work[begin:begin + size], single[:size], atol=1e-5)
    np.testing.assert_allclose(past[begin:begin + size], single[size:], atol=1e-5)
  for segment, (single, single_next, _) in enumerate(alone):
    own, own_next, _ = evaluate(packed(1), ones(segment), documents)
    np.testing.assert_allclose((own, own_next), (single, single_next), rtol=1e-5)
  sizes, (losses, nexts) = np.array([6, 4]), np.array([scalars[:2] for scalars in alone]).T
  np.testing.assert_allclose(next_all, (sizes - 1) @ nexts / 8, rtol=1e-5)
  np.testing.assert_allclose(loss_all - next_all, sizes @ (losses - nexts) / 10, rtol=1e-5)
  other = evaluate(packed(2), ones(0, 1), documents)
  assert (other[0], other[1]) == (loss_all, next_all)
  np.testing.assert_array_equal(np.split(np.asarray(other[2]), 2)[0][:10], work[:10])
