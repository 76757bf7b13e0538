"""The shifted stream of autoregression: half the slots, the same theorems."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.judge import likelihood
from adiff.machine import cost
from adiff.nn import network
from adiff.run import build, generate
from adiff.sample import cached as cached_lib
from adiff.sample import capacity, walk
from adiff.sequence import conditions
from configs import base

LABELS = jnp.array([2, 0, 1], jnp.int32)


@functools.cache
def made():
  """(parts, parameters) of a random network of the row ar-masked with a shifted stream."""
  config = tiny.config('ar-masked')
  config.model.shifted = True
  parts = build.build(config)
  model = dataclasses.replace(parts.model, conds={'label': conditions.Label(tiny.NUM_CLASSES)})
  parts = dataclasses.replace(
    parts, model=model, recipe=dataclasses.replace(parts.recipe, model=model))
  params = tiny.random_params(model, parts.process, parts.blocks, parts.spec.coords)
  return parts, params


def conditioned(parts, params, labels):
  denoise = parts.recipe.network(params)
  return network.condition(denoise, {'label': labels}, history_cond=parts.history_cond)


@functools.cache
def nats_of():
  parts, params = made()

  def run(x0, labels, documents=None):
    denoise = conditioned(parts, params, labels)
    return likelihood.bound(
      denoise, jax.random.key(0), x0, blocks=parts.blocks, process=parts.process,
      coords=parts.spec.coords, documents=documents)[0]

  return jax.jit(run)


def test_the_likelihoods_of_all_strings_sum_to_one():
  parts, _ = made()
  size, vocab = parts.blocks.num_tokens, parts.spec.kind.vocab
  strings = jnp.array(list(itertools.product(range(vocab), repeat=size)), jnp.int32)
  nats = nats_of()(strings, jnp.zeros(len(strings), jnp.int32))
  assert jnp.sum(jnp.exp(-jnp.sum(nats, axis=1))) == pytest.approx(1, abs=1e-4)


def test_a_token_is_told_from_all_before_it_and_none_behind():
  parts, _ = made()
  x0 = jnp.zeros((1, parts.blocks.num_tokens), jnp.int32)
  base = nats_of()(x0, LABELS[:1])[0]
  for place in range(parts.blocks.num_tokens):
    other = nats_of()(x0.at[0, place].set(1), LABELS[:1])[0]
    changed = np.abs(np.asarray(other - base)) > 1e-6
    np.testing.assert_array_equal(changed, np.arange(len(changed)) >= place)


@pytest.mark.parametrize('scale', [pytest.param(1.0, marks=pytest.mark.soak), 2.0])
def test_the_cached_sampler_makes_what_the_plain_one_makes(scale):
  parts, params = made()
  parts = dataclasses.replace(parts, config=parts.config.copy_and_resolve_references())
  with parts.config.unlocked():
    parts.config.guidance.scale = parts.config.guidance.first = scale
  keys = jax.random.split(jax.random.key(3), 3)
  cached = generate.make_sampler(parts)(params, keys, LABELS)[0]
  plain = generate.make_sampler(parts, trace=True)(params, keys, LABELS)[-1]
  np.testing.assert_array_equal(cached, plain)


def test_a_prompt_is_read_by_the_cached_sampler_as_by_the_plain_one():
  parts, params = made()
  plan = dataclasses.replace(parts.plan, given=3)
  x0 = jnp.array([[1, 2, 0, 0, 0, 0], [2, 2, 1, 0, 0, 0], [0, 1, 2, 0, 0, 0]], jnp.int32)
  mask = jnp.broadcast_to(jnp.arange(6) < 3, x0.shape)
  places = capacity.places(plan, parts.blocks)

  def run(params, keys, cached):
    denoise = conditioned(parts, params, LABELS)
    how = dict(
      blocks=parts.blocks, process=parts.process, solver=parts.solver, coords=parts.spec.coords,
      given=x0, given_mask=mask)
    if not cached:
      return walk.sample(denoise, keys, plan, **how)
    cache = parts.model.empty_cache(3, places, 1)
    return cached_lib.sample(denoise, keys, plan, cache, **how)

  keys = jax.random.split(jax.random.key(5), 3)
  sample = jax.jit(run, static_argnums=2)
  plain, cached = (sample(params, keys, kind) for kind in (False, True))
  np.testing.assert_array_equal(cached, plain)
  np.testing.assert_array_equal(cached[:, :3], x0[:, :3])


def test_samples_follow_the_likelihood():
  parts, params = made()
  num = 4000
  keys = jax.random.split(jax.random.key(4), num)
  samples = generate.make_sampler(parts)(params, keys, jnp.zeros(num, jnp.int32))[0]
  first = jnp.zeros((parts.spec.kind.vocab, parts.blocks.num_tokens), jnp.int32)
  first = first.at[:, 0].set(jnp.arange(parts.spec.kind.vocab))
  nats = nats_of()(first, jnp.zeros(len(first), jnp.int32))[:, 0]
  share = np.bincount(np.asarray(samples[:, 0]), minlength=parts.spec.kind.vocab) / num
  np.testing.assert_allclose(share, np.exp(-nats), atol=4 * 0.5 / num**0.5)


def test_packed_documents_are_what_they_are_alone():
  x0 = jnp.array([[1, 0, 2, 2, 1, 0]], jnp.int32)
  segment = jnp.array([[0, 0, 0, 1, 1, 1]], jnp.int32)
  position = jnp.array([[0, 1, 2, 0, 1, 2]], jnp.int32)
  packed = nats_of()(x0, LABELS[:1], {'segment': segment, 'position': position})
  for first in (0, 3):
    alone = jnp.zeros_like(x0).at[:, :3].set(x0[:, first:first + 3])
    np.testing.assert_allclose(
      packed[:, first:first + 3], nats_of()(alone, LABELS[:1])[:, :3], atol=1e-5)


def test_a_step_costs_about_half():
  config = tiny.config('ar-masked')
  config.data.num_tokens = 256
  double = cost.step(build.build(config)).flops
  config.model.shifted = True
  assert 0.4 * double < cost.step(build.build(config)).flops < 0.65 * double


@pytest.mark.parametrize('change', [
  {'history': None}, {'plan.steps': 2}, {'draw.name': 'uniform'}, {'train.next_token': 1.0},
  {'model.self_condition': True},
])
def test_what_needs_two_streams_is_refused(change):
  config = tiny.config('ar-masked')
  config.model.shifted = True
  config.update_from_flattened_dict(change)
  with pytest.raises(ValueError, match='model.shifted'):
    build.build(config)


def test_blocks_of_several_tokens_are_refused():
  config = tiny.config('scales-masked')  # draw ones, one step: all else is as it should be
  config.model.shifted = True
  with pytest.raises(ValueError, match='model.shifted .* blocks.name=tokens'):
    build.build(config)


def test_the_stream_is_no_matter_of_the_blocks_and_no_word_but_a_switch():
  config = tiny.config('ar-masked')
  base.choose(config, 'blocks', 'tokens', stream='single')
  with pytest.raises(ValueError, match="tokens takes no 'stream'"):
    build.build(config)
  config = tiny.config('ar-masked')
  with pytest.raises(TypeError, match='shifted'):
    config.model.shifted = 'single'


def test_a_shifted_stream_has_no_copy_to_revise_from():
  model = made()[0].model
  with pytest.raises(ValueError, match='shifted=False'):
    model.shorten(model.empty_cache(1, 4, 1), 2, least=2)
