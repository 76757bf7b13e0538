"""What a draft proposes and the target accepts follows the target's law, whatever the draft is."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.data import chain
from adiff.nn import network
from adiff.process import gaussian, masked
from adiff.sample import speculative, truncation, walk
from adiff.sample.solvers import first_order
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import plan as plan_lib

SOURCE = chain.Chain(num_tokens=6, vocab=3)
MASKED = masked.Masked(3)
COORDS = np.arange(6)[:, None]


class Cacheless:
  """What is read of a network that needs no cache."""

  def empty_cache(self, batch, places, axes):
    del batch, places, axes

  def shorten(self, cache, places, *, least):
    del cache, places, least


def _exact(ask):
  """The chain's law of every token given the clean one before it."""
  initial, transition = (jnp.asarray(p, jnp.float32) for p in SOURCE.law)
  slots = ask.slots
  before = slots.block[None] == slots.block[:, None] - 1
  before &= ((slots.stream == 1) & slots.readable)[None]
  token = jnp.sum(jnp.where(before[None], ask.x[:, None], 0), axis=-1)
  law = jnp.where(jnp.any(before, axis=-1)[None, :, None], transition[token], initial[None, None])
  return jnp.log(law)


def _wrong(ask):
  """Some law that hangs on all that is in sight."""
  mix = jnp.sum(jnp.where(ask.x == 3, 0, ask.x + 1), axis=1).astype(float)[:, None, None]
  place = ask.slots.coords.astype(float) * jnp.arange(1.0, 4)[None]
  return jnp.sin(mix + place[None])


def reader(law, blocks):
  return speculative.Reader(Cacheless(), ask_lib.from_outputs(law), blocks, COORDS, MASKED)


@functools.cache
def program(tokens):
  target, draft = reader(_exact, blocks_lib.tokens(6)), reader(_wrong, blocks_lib.equal(6, 3))
  return jax.jit(lambda keys: speculative.sample(target, draft, keys, tokens))


@pytest.mark.parametrize('seed', [0, *(
  pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 10))])
def test_the_law_of_the_output_is_the_targets(seed):
  x, counts = program(2)(jax.random.split(jax.random.key(seed), 20_000))
  assert SOURCE.law_test(np.asarray(x))['p_value'] > 0.001
  assert 0 < counts.accepted.mean() < 6 and counts.calls.max() <= 6
  assert counts.calls.mean() < 5


def test_a_draft_that_has_the_law_of_the_target_is_always_accepted():

  def flat(ask):
    return jnp.zeros((*ask.x.shape, 3))

  draft = reader(flat, blocks_lib.equal(6, 3))
  target = reader(flat, blocks_lib.tokens(6))
  _, counts = speculative.sample(target, draft, jax.random.split(jax.random.key(0), 8), 3)
  # Three and one more; the two that are left of the second block.
  np.testing.assert_array_equal(counts.calls, 2)
  np.testing.assert_array_equal(counts.accepted, 5)
  np.testing.assert_array_equal(counts.drafts, 2 + 2)  # and one for each of its blocks that stand


@pytest.mark.soak
def test_with_caches_the_likeliest_tokens_are_those_of_the_autoregressive_walk():
  ar, block = tiny.regime('ar'), tiny.regime('block-masked')
  greedy, keys = truncation.narrow(temperature=0.0), jax.random.split(jax.random.key(0), 4)

  def read(regime):
    denoise = network.condition(
      regime.model.denoise(regime.params, loops=True), {'label': jnp.full(1, -1)})
    return speculative.Reader(
      regime.model, denoise, regime.blocks, regime.coords, regime.process)

  x, counts = jax.jit(lambda keys: speculative.sample(
    read(ar), read(block), keys, 2, narrow=greedy))(keys)
  label = {'label': jnp.full(4, -1)}
  plain = jax.jit(lambda keys: walk.sample(
    network.condition(ar.model.denoise(ar.params), label), keys,
    plan_lib.Plan(ar.blocks.num_tokens, 1), blocks=ar.blocks, process=ar.process,
    solver=first_order.FirstOrder(), coords=ar.coords, narrow=greedy))(keys)
  np.testing.assert_array_equal(x, plain)
  assert counts.calls.max() <= ar.blocks.num_tokens


@pytest.mark.parametrize('changes', [
  dict(blocks=blocks_lib.equal(6, 2)), dict(process=gaussian.Gaussian(1)),
  dict(model=types.SimpleNamespace(shifted=True)),
])
def test_a_target_without_an_autoregressive_law_is_refused_in_words(changes):
  parts = tiny.regime('ar').parts
  named = {name: getattr(parts, name) for name in ('blocks', 'process', 'model')}
  parts = types.SimpleNamespace(spec=parts.spec, hints=None, **{**named, **changes})
  with pytest.raises(ValueError, match='token by token'):
    speculative.Speculative('runs/draft', 4, 0).needs(parts)
  speculative.Speculative('', 4, 0).needs(parts)


def test_a_draft_of_other_blocks_is_refused_in_words():
  target = reader(_exact, blocks_lib.tokens(6))
  with pytest.raises(ValueError, match='equal blocks of two or more'):
    speculative.sample(target, target, jax.random.split(jax.random.key(0), 1), 2)
