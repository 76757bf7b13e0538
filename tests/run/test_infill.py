"""A hole that comes last in the order is filled by the exact conditional; others are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.data import chain as chain_lib
from adiff.judge.metrics import chi_square
from adiff.process import masked
from adiff.run import editing
from adiff.sample import cached, walk
from adiff.sample.solvers import first_hitting
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import head as head_lib
from adiff.sequence import plan as plan_lib

PROCESS = masked.Masked(3)
MASK = PROCESS.mask_id
CHAIN = chain_lib.Chain(num_tokens=4, vocab=3)
CONTEXT = np.array([2, 0, 0, 1])  # raster order; what is not in the hole is given
NUM = 8192


def perfect(ask):
  """What a perfect network returns that reads its own block and those before it, and its cache.

  coords say where in the chain a slot stands. The cache is finished tokens, in raster order.
  """
  x, slots, cache = ask.x, ask.slots, ask.cache
  place = slots.coords[:, 0]
  past = jnp.full((len(x), CHAIN.num_tokens), MASK) if cache is None else cache
  out = jnp.zeros((*x.shape, 3))
  for block in range(3):
    seen = past.at[:, place].set(jnp.where((slots.block <= block)[None], x, MASK))
    law = jnp.log(jnp.maximum(CHAIN.posterior(seen, MASK), 1e-30))[:, place]
    out = jnp.where((slots.block == block)[None, :, None], law, out)
  if ask.keep:
    cache = past.at[:, place[:ask.keep]].set(x[:, :ask.keep])
  return out, cache


DENOISE = ask_lib.Denoise(perfect, head_lib.Outputs())


def fill(blocks, hole, with_cache=False):
  """NUM walks in raster order; hole bool [N] in raster order."""
  order = np.asarray(blocks.order)
  given, mask = (jnp.broadcast_to(row[order][None], (NUM, 4)) for row in (CONTEXT, ~hole))
  keys = jax.random.split(jax.random.key(7), NUM)
  how = dict(
    blocks=blocks, process=PROCESS, solver=first_hitting.FirstHitting(),
    coords=np.arange(CHAIN.num_tokens)[:, None],
    given=given.astype(jnp.int32), given_mask=mask)
  # As in language.Model, leading blocks that are given take no step.
  leading = int(blocks.block_of_token[hole[order]].min())
  plan = plan_lib.Plan(blocks.num_blocks, max(blocks.sizes), given=leading if with_cache else 0)

  @jax.jit
  def run(keys):
    if with_cache:
      return cached.sample(DENOISE, keys, plan, jnp.full((NUM, 4), MASK), **how)
    return walk.sample(DENOISE, keys, plan, **how)

  samples = np.asarray(run(keys))[:, np.argsort(order)]
  np.testing.assert_array_equal(samples[:, ~hole], np.broadcast_to(CONTEXT, (NUM, 4))[:, ~hole])
  return samples


def p_value(samples, hole, known):
  """Of the hole's tokens against their law given the known ones, by enumeration; bool [N] each."""
  strings = np.indices((3,) * 4).reshape(4, -1).T
  law = np.exp(CHAIN.log_prob(strings)) * np.all(strings[:, known] == CONTEXT[known], axis=1)
  law = law.reshape((3,) * 4).sum(axis=tuple(np.flatnonzero(~hole))).ravel()
  cells = np.ravel_multi_index(tuple(samples[:, hole].T), (3,) * int(hole.sum()))
  counts = np.bincount(cells, minlength=law.size)
  return chi_square.verdict(*chi_square.goodness_of_fit(counts, law / law.sum()))['p_value']


def hole_of(*tokens):
  return np.isin(np.arange(4), tokens)


@pytest.mark.parametrize('sizes, order, hole', [
  ((2, 2), (0, 3, 1, 2), (1, 2)),  # the hole is the last block
  # a given token stands in it too; the last two blocks, the later token first; two holes
  pytest.param((1, 3), (3, 0, 1, 2), (1, 2), marks=pytest.mark.soak),
  pytest.param((2, 1, 1), (3, 0, 2, 1), (1, 2), marks=pytest.mark.soak),
  pytest.param((1, 1, 2), (2, 0, 1, 3), (1, 3), marks=pytest.mark.soak),
], ids=str)
def test_a_hole_that_comes_last_is_filled_by_the_exact_conditional(sizes, order, hole):
  blocks, hole = blocks_lib.Blocks(sizes, order), hole_of(*hole)
  editing.check_given(blocks, hole[list(order)], ~hole[list(order)])
  samples = fill(blocks, hole)
  assert p_value(samples, hole, known=~hole) > 1e-3
  np.testing.assert_array_equal(samples, fill(blocks, hole, with_cache=True))


@pytest.mark.parametrize('hole', [(0, 1), (1, 2)], ids=str)
def test_tokens_given_behind_the_block_of_a_hole_would_be_ignored_and_are_refused(hole):
  blocks, hole = blocks_lib.equal(4, 2), hole_of(*hole)
  samples = fill(blocks, hole)
  assert p_value(samples, hole, known=~hole) < 1e-6
  if hole[0]:  # drawn instead: a beginning of which nothing is known
    assert p_value(samples, hole, known=hole_of()) > 1e-3
  with pytest.raises(ValueError, match='later tokens would be ignored.*hole comes last'):
    editing.check_given(blocks, hole, ~hole)
