"""What a judge has filled in, rated and followed: given tokens stay, a level tells each row."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny

from adiff.machine import sharding
from adiff.run import estimates
from adiff.run import subject as subject_lib


def subject():
  """Of the tiny model of blocks of two tokens, as an evaluation makes it."""
  regime = tiny.regime('block-masked')
  parts = dataclasses.replace(regime.parts, model=regime.model)
  parts.config.eval.num = 8
  mesh = sharding.make_mesh(devices=jax.devices()[:1])
  return regime, subject_lib.make(
    parts, regime.params, mesh, workdir='', bound={}, attempt=None, tell=None
  )


def test_a_hole_is_filled_in_the_calls_of_its_own_blocks_beside_tokens_that_stay():
  regime, judged = subject()
  tokens, hole = np.asarray(regime.data(8)), np.arange(6) == 5  # of three blocks the last token
  labels = np.arange(8) % 3
  made = judged.fill(tokens, hole, labels=labels)
  np.testing.assert_array_equal(made.labels, labels)
  np.testing.assert_array_equal(made.tokens[:, ~hole], tokens[:, ~hole])
  assert made.tokens.shape == tokens.shape and made.tokens.max() < 3  # no mask is left
  assert made.nfe == regime.parts.plan.budgets[-1]
  with pytest.raises(ValueError, match='a hole in block 0 with given tokens in block 2'):
    judged.fill(tokens, np.arange(6) == 1)


def test_tokens_are_rated_by_block_whatever_else_is_in_the_batch():
  regime, judged = subject()
  tokens, labels = np.asarray(regime.data(8)), np.arange(8) % 3
  nats = judged.rate(tokens, labels)
  assert nats.shape == (8, 3) and (nats > 0).all()
  np.testing.assert_array_equal(judged.rate(tokens, labels), nats)
  parts = dataclasses.replace(regime.parts, model=regime.model)
  alone = estimates.bound(parts, sharding.make_mesh(devices=jax.devices()[:1])).of(
    regime.params, tokens[:5], {'label': labels[:5]}, samples=parts.config.eval.samples)
  np.testing.assert_allclose(alone, nats[:5], rtol=1e-5)


def test_the_rows_of_a_walk_are_told_the_levels_of_its_blocks():
  regime, judged = subject()
  trace = judged.trace(2)
  np.testing.assert_array_equal(trace.levels, regime.parts.plan.matrix[1:])
  assert len(trace.tokens) == len(trace.levels) and list(judged.blocks) == [0, 0, 1, 1, 2, 2]
