"""Walks under conditions of every class: the cache changes nothing, keys are made once, and several
conditions are weighed apart."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.nn import memory, network
from adiff.run import build
from adiff.sample import cached as cached_lib
from adiff.sample import capacity, guidance, walk
from adiff.sequence import ask as ask_lib
from adiff.sequence import conditions
from configs import base

NAMES = ('label', 'map', 'words')


@functools.cache
def made():
  config = tiny.config('block-masked')
  base.choose(config, 'data', 'told', by=NAMES, num_tokens=6, size=64)
  config.model.encoder, config.plan.steps = 1, 2
  parts = build.build(config)
  return parts, tiny.random_params(
    parts.model, parts.process, parts.blocks, parts.spec.coords)


@functools.cache
def run(cached, history_cond):
  parts, _ = made()
  common = dict(
    blocks=parts.blocks, process=parts.process, solver=parts.solver, coords=parts.spec.coords)

  def sample(params, keys, told):
    denoise = guidance.guide(parts.model.denoise(params), scale={'words': 3.0, 'map': 2.0})
    denoise = network.condition(denoise, told, history_cond=history_cond)
    if not cached:
      return walk.sample(denoise, keys, parts.plan, **common)
    places = capacity.places(parts.plan, parts.blocks)
    copies = 3 if history_cond else 1
    cache = parts.model.empty_cache(copies * len(keys), places, 1)
    return cached_lib.sample(denoise, keys, parts.plan, cache, **common)

  return jax.jit(sample)


@pytest.mark.parametrize('history_cond', [False, pytest.param(True, marks=pytest.mark.soak)])
def test_the_cached_walk_is_the_plain_one_whatever_is_told(history_cond, monkeypatch):
  keys, told = jax.random.split(jax.random.key(0), 16), made()[0].source.tell(16, seed=1)
  calls, of = [], memory.Memory.__call__
  monkeypatch.setattr(memory.Memory, '__call__', lambda *args: calls.append(0) or of(*args))
  plain, fast = (run(cached, history_cond)(made()[1], keys, told) for cached in (False, True))
  np.testing.assert_array_equal(plain, fast)
  assert len(calls) == 2  # each walk made its keys once


def test_scales_of_one_are_the_network_itself_and_others_are_nested_in_their_order():
  terms = {'a': 1.0, 'b': 10.0, 'c': 100.0}

  def out_of(ask):
    given = {name: (ask.cond[name] >= 0).astype(float) for name in terms}
    both = 1000.0 * given['a'] * given['b']
    return (sum(terms[name] * given[name] for name in terms) + both)[..., None]

  slots = made()[0].blocks.token_slots(made()[0].spec.coords)
  ask = ask_lib.Ask(
    jnp.zeros((2, 6), jnp.int32), jnp.full((2, 6), 0.5), slots,
    cond={name: jnp.zeros((2, 6), jnp.int32) for name in terms})
  scaled = lambda **scale: float(
    guidance.guide(ask_lib.from_outputs(out_of), scale=scale)(ask).out[0, 0, 0])
  assert scaled(a=1.0, b=1.0) == scaled(c=1.0) == 1111
  assert scaled(a=2.0, b=3.0) == 100 + 2 * 1 + 3 * (10 + 1000)  # c is given in every branch
  assert scaled(b=3.0, a=2.0) == 100 + 3 * 10 + 2 * (1 + 1000)
  interval = guidance.guide(ask_lib.from_outputs(out_of), scale={'a': 9.0}, interval=(0.6, 1.0))
  assert float(interval(ask).out[0, 0, 0]) == 1111


@pytest.mark.parametrize('change, sentence', [
  (dict(guidance__scales=(('age', 2.0),)), "weighs 'age', and told has label, map"),
  (dict(guidance__scales=(('map', 2.0),)), 'without map alone.*train.cond_dropouts'),
  (dict(guidance__scales=(('map', 2.0),), guidance__scale=2.0), 'scale=2.0 weighs all conditions'),
  (dict(train__cond_dropouts=(('age', 0.1),)), "cond_dropouts hides 'age', and told has label"),
  (dict(train__cond_dropouts=(('map', 1.5),)), r'cond_dropouts=.* holds one that .*\[0, 1\)'),
  (dict(guidance__scales=('map',)), 'guidance.scales=.* must be a tuple'),
])
def test_guidance_that_nobody_learnt_is_refused_in_a_sentence(change, sentence):
  config = tiny.config('block-masked')
  base.choose(config, 'data', 'told', by=NAMES, num_tokens=6, size=64)
  for key, value in change.items():
    section, name = key.split('__')
    with config.unlocked():
      config[section][name] = value
  with pytest.raises(ValueError, match=sentence):
    build.build(config)


def test_conditions_are_hidden_together_and_each_at_its_own_rate_besides():
  parts, _ = made()
  recipe = parts.recipe.__class__(**{
    **{name: getattr(parts.recipe, name) for name in parts.recipe.__dataclass_fields__},
    'cond_dropout': 0.2, 'cond_dropouts': (('map', 0.5), ('words', 0.25))})
  told = {name: jnp.asarray(value) for name, value in parts.source.tell(4000, seed=2).items()}
  found = recipe._dropped(told, jax.random.key(0))
  nothing = conditions.nothing(parts.spec.conds, 4000, 6)
  hidden = {
    name: np.all((found[name] == nothing[name]) | (np.isnan(found[name])), axis=tuple(
      range(1, nothing[name].ndim))) for name in NAMES}
  rates = {name: hidden[name].mean() for name in NAMES}
  expected = {'label': 0.2, 'map': 0.6, 'words': 0.4}
  np.testing.assert_allclose(list(rates.values()), list(expected.values()), atol=0.03)
  assert hidden['map'][hidden['label']].all() and hidden['words'][hidden['label']].all()
  apart = ~hidden['label']
  np.testing.assert_allclose(hidden['map'][apart & hidden['words']].mean(), 0.5, atol=0.07)
