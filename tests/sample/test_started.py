"""Walks that begin with data, noised to a level below 1: their law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fakes import COORDS, ZERO_LOGITS, keys

from adiff.data import chain as chain_lib
from adiff.process import masked
from adiff.sample import walk
from adiff.sample.solvers import first_hitting
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import started

CHAIN, PROCESS, NUM = chain_lib.Chain(num_tokens=4, vocab=3), masked.Masked(3), 8192
EXACT = ask_lib.from_outputs(
  lambda ask: jnp.log(jnp.maximum(CHAIN.posterior(ask.x, PROCESS.mask_id), 1e-30)))


def test_variations_of_data_are_data_and_keep_what_was_not_hidden():
  original = jnp.asarray(CHAIN.sample(NUM, seed=5))

  @jax.jit
  def run(keys):
    return walk.sample(
      EXACT, keys, started.Started(1, 4, start=0.5), given=original, process=PROCESS,
      blocks=blocks_lib.whole(4, history=None), solver=first_hitting.FirstHitting(),
      coords=np.arange(4)[:, None])

  found = np.asarray(run(jax.random.split(jax.random.key(2), NUM)))
  assert CHAIN.law_test(found)['p_value'] > 1e-3
  same = (found == np.asarray(original)).mean()
  assert 0.5 < same < 0.95  # a token is hidden with probability 0.5, and may come again


def test_a_walk_that_begins_with_data_asks_for_them():
  with pytest.raises(ValueError, match='plan.start=0.5: pass data as `given`'):
    walk.sample(
      ZERO_LOGITS, keys(), started.Started(1, 4, start=0.5), process=PROCESS, coords=COORDS,
      blocks=blocks_lib.whole(6), solver=first_hitting.FirstHitting())
