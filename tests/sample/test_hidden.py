"""A kind that is hidden in history: what comes after it does not depend on it; and guidance."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.nn import network
from adiff.run import build
from adiff.sample import cached, capacity, guidance, walk
from adiff.sequence import ask as ask_lib
from adiff.sequence import hidden, tokens

REGIME = functools.partial(tiny.regime, 'joint')
MASKS = {'symbols': 3}


def asked(x0, *, per_copy):
  """A training Ask in which the floats are noisy and the symbols are history."""
  blocks, process = REGIME().blocks, REGIME().process
  level = jnp.full((len(x0), blocks.num_blocks), 0.5)
  t = blocks.per_token(level)
  xt = process.add_noise(jax.random.key(2), x0, t)
  x, t = blocks.pack(xt, x0, level if per_copy else t)
  return ask_lib.Ask(x, t, blocks.slots(REGIME().coords))


@pytest.mark.parametrize('per_copy', [True, False])
def test_in_the_examples_where_it_is_hidden_it_is_masks_at_level_one_and_elsewhere_as_it_was(
  per_copy
):
  ask, rows = asked(REGIME().data(), per_copy=per_copy), jnp.array([True, False, True, False])
  made = hidden.hide(ask, rows, MASKS)
  past = tokens.deal(np.asarray(ask.slots.stream)[None], ask.x.runs)['symbols'][0] == 1
  own = np.asarray(made.x.parts['symbols'])
  assert np.all(own[::2, past] == MASKS['symbols'])
  np.testing.assert_array_equal(own[:, ~past], ask.x.parts['symbols'][:, ~past])
  np.testing.assert_array_equal(own[1::2], ask.x.parts['symbols'][1::2])
  np.testing.assert_array_equal(made.x.parts['floats'], ask.x.parts['floats'])
  assert np.all(np.asarray(made.t)[1::2] == np.asarray(ask.t)[1::2])
  assert (np.asarray(made.t)[0] == 1).sum() == (2 if per_copy else 4)


def test_later_blocks_do_not_depend_on_what_is_hidden():
  x0 = REGIME().data()
  other = tokens.Tokens({**x0.parts, 'symbols': (x0.parts['symbols'] + 1) % 3}, x0.runs)
  everybody, denoise = jnp.ones(tiny.BATCH, bool), REGIME().denoise(REGIME().params, tiny.LABELS)

  @jax.jit
  def floats(x0, rows):
    ask = hidden.hide(asked(x0, per_copy=True), rows, MASKS)
    return denoise(ask).out.parts['floats']

  np.testing.assert_array_equal(floats(x0, everybody), floats(other, everybody))
  assert np.any(floats(x0, ~everybody) != floats(other, ~everybody))


def test_guided_by_what_stands_before_cached_and_plain_walk_agree():
  keys = jax.random.split(jax.random.key(1), tiny.BATCH)
  how = dict(blocks=REGIME().blocks, process=REGIME().process, solver=REGIME().parts.solver,
             coords=REGIME().coords)
  plan = REGIME().parts.plan

  def denoise(scale, hides):
    guided = guidance.guide(REGIME().model.denoise(REGIME().params), scale=scale, hides=hides)
    return network.condition(guided, {'label': jnp.asarray(tiny.LABELS)})

  plain = jax.jit(lambda keys: walk.sample(denoise(3.0, MASKS), keys, plan, **how))(keys)
  cache = REGIME().model.empty_cache(2 * tiny.BATCH, capacity.places(plan, REGIME().blocks), 1)
  fast = jax.jit(
    lambda keys: cached.sample(denoise(3.0, MASKS), keys, plan, cache, **how))(keys)
  np.testing.assert_array_equal(plain.parts['symbols'], fast.parts['symbols'])
  np.testing.assert_allclose(plain.parts['floats'], fast.parts['floats'], atol=2e-3)


def test_training_hides_it_in_its_share_of_the_examples():
  config = tiny.config('joint')
  with config.unlocked():
    config.kinds.symbols.dropout = 0.999
  parts = build.build(config, REGIME().parts.coded)
  assert parts.hides == MASKS
  recipe = dataclasses.replace(parts.recipe, model=REGIME().model)
  x0 = REGIME().data()
  other = tokens.Tokens({**x0.parts, 'symbols': (x0.parts['symbols'] + 1) % 3}, x0.runs)

  @jax.jit
  def of_floats(x0):
    rows = {'tokens': x0, 'label': jnp.asarray(tiny.LABELS)}
    means = recipe.share(REGIME().params, rows, jax.random.key(3))[1]
    return means['loss_per_block'].total[-1]

  np.testing.assert_array_equal(of_floats(x0), of_floats(other))


def test_the_share_is_that_of_the_config_and_an_example_is_hidden_as_a_whole():
  config = tiny.config('joint')
  with config.unlocked():
    config.kinds.symbols.dropout = 0.25
  parts, seen = build.build(config, REGIME().parts.coded), []
  recipe = dataclasses.replace(parts.recipe, model=REGIME().model)
  hiding = type(recipe)._hiding
  object.__setattr__(recipe, '_hiding', lambda denoise, hidden, kind: (
    seen.append((np.asarray(hidden), kind)) or hiding(recipe, denoise, hidden, kind)))
  x0 = jax.tree.map(lambda leaf: jnp.tile(leaf, (64, *[1] * (leaf.ndim - 1))), REGIME().data())
  rows = {'tokens': x0, 'label': jnp.asarray(np.tile(tiny.LABELS, 64))}
  for key in range(4):
    recipe.share(REGIME().params, rows, jax.random.key(key))
  assert {kind for _, kind in seen} == {'symbols'}
  hidden = np.concatenate([one for one, _ in seen])
  assert len(hidden) == 4 * 64 * tiny.BATCH and abs(hidden.mean() - 0.25) < 0.06


@pytest.mark.parametrize('change, words', [
  (lambda c: c.kinds.floats.update(dropout=0.1), 'kinds.floats.dropout hides'),
  (lambda c: c.guidance.update(scale=2.0), 'kinds.NAME.dropout'),
])
def test_what_cannot_be_hidden_or_guided_is_refused(change, words):
  config = tiny.config('joint')
  with config.unlocked():
    with config.kinds.floats.unlocked():
      change(config)
  with pytest.raises(ValueError, match=words):
    build.build(config, REGIME().parts.coded)
