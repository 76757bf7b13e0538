"""What a judge has filled in: given tokens stay, what stands around a hole is read."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny

from adiff.machine import sharding
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
  made = judged.fill(tokens, hole)
  np.testing.assert_array_equal(made.tokens[:, ~hole], tokens[:, ~hole])
  assert made.tokens.shape == tokens.shape and made.tokens.max() < 3  # no mask is left
  assert made.nfe == regime.parts.plan.budgets[-1]
  with pytest.raises(ValueError, match='a hole in block 0 with given tokens in block 2'):
    judged.fill(tokens, np.arange(6) == 1)
