"""Variations of the loss as numbers that can be worked out by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from adiff.learn import loss, objectives
from adiff.process import absorbing, masked
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import copies
from adiff.sequence import draw as draw_lib

BLOCKS = blocks_lib.equal(4, 2)
MASKED = masked.Masked(3)


def run(out_of, x0, *, blocks=BLOCKS, **more):
  """(loss, what is logged) of a function Ask -> out."""
  value, means = loss.loss(
    ask_lib.from_outputs(out_of), jax.random.key(0), x0, blocks=blocks, process=MASKED,
    draw=draw_lib.uniform(), coords=np.arange(4)[:, None], **more,
  )
  return value, loss.scalars(means, more.get('term'))


def test_the_second_half_of_a_complementary_batch_hides_what_the_first_one_shows():
  asked = []

  def spy(ask):
    asked.append((np.asarray(ask.x), np.asarray(copies.levels(ask.t, ask.slots))))
    return jnp.zeros((*ask.x.shape, 3))

  x0 = objectives.doubled(jax.random.randint(jax.random.key(1), (8, 4), 0, 3))
  value, _ = run(spy, x0, corrupt=objectives.complementary)
  x, t = asked[0]
  (first, second), t = np.split(x[:, :4], 2), t[:, :4]
  np.testing.assert_array_equal(first == MASKED.mask_id, second != MASKED.mask_id)
  np.testing.assert_array_equal(np.minimum(first, second), x0[:8])
  np.testing.assert_allclose(t[:8] + t[8:], 1, rtol=1e-6)
  np.testing.assert_array_equal(x[:, 4:], x0[:, :2])  # both read a clean past
  hidden = x[:, :4] == MASKED.mask_id
  expected = np.log(3) * np.mean(hidden / np.maximum(t, absorbing.FLOOR))
  np.testing.assert_allclose(value, expected, rtol=1e-5)


# ---- The next-token loss of a token-causal history copy -----------------------------------------

CAUSAL = dataclasses.replace(BLOCKS, causal=True)


def telling(ask):
  """Outputs that differ with the symbol, the place and the stream."""
  where = jnp.broadcast_to(5 * ask.slots.stream + ask.slots.coords[..., 0], ask.x.shape)
  angle = ask.x.astype(float) + 0.7 * where.astype(float)
  return 2 * jnp.sin(angle[..., None] + jnp.arange(3.0)[None, None])


def by_hand(x0, weight):
  """The mean over [B, N - 1] of -log p(next token) of the history copy's outputs of `telling`."""
  out = 2 * np.sin((x0 + 0.7 * (5 + np.arange(4)))[..., None] + np.arange(3.0))
  log_p = out - np.log(np.sum(np.exp(out), axis=-1, keepdims=True))
  nats = -np.take_along_axis(log_p[:, :-1], x0[:, 1:, None], axis=-1)[..., 0]
  return np.sum(nats * weight) / np.sum(weight)


def test_the_history_copy_pays_for_the_next_token_and_the_working_copy_as_before():
  x0 = jax.random.randint(jax.random.key(1), (8, 4), 0, 3)
  value, scalars = run(telling, x0, blocks=CAUSAL, term=objectives.NextToken(0.7))
  expected = by_hand(np.asarray(x0), np.ones((8, 3)))
  np.testing.assert_allclose(scalars['next_token'], expected, rtol=1e-5)
  without, plain = run(telling, x0)
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
    telling, x0, blocks=CAUSAL, weight=weight, documents=documents, term=objectives.NextToken(1.0)
  )
  expected = by_hand(np.asarray(x0), np.array([[1, 0, 1], [1, 1, 0]]))
  np.testing.assert_allclose(scalars['next_token'], expected, rtol=1e-5)
