"""Config to parts: what fits, and the sentences for what does not."""

import jax
import numpy as np
import pytest

from adiff.process import gaussian, masked
from adiff.run import build, sequences
from adiff.sequence import plan as plan_lib
from configs import base, digits, toy


def changed(argument='block', **changes):
  config = toy.get_config(argument)
  with config.unlocked():
    for key, value in changes.items():
      *sections, name = key.split('__')
      place = config
      for section in sections:
        place = place[section]
      place[name] = value
  return config


def test_parts_are_what_the_config_says():
  parts = build.build(toy.get_config('forcing-gaussian'))
  assert isinstance(parts.process, gaussian.Gaussian) and parts.process.clip == 0
  assert parts.blocks.sizes == (2, 2, 2) and parts.blocks.history is None
  assert parts.plan.delay is None and parts.plan.budgets == (32,) * 3
  assert parts.model.width == 64 and parts.model.num_outputs == parts.spec.kind.dim
  assert parts.recipe.history_cond, 'without a history level the past keeps its condition'
  t = np.asarray(parts.draw(jax.random.key(0), (50, 2)))
  assert np.sum(t == 0) == 20


def test_symbols_make_an_embedding_of_the_vocabulary_and_the_mask():
  parts = build.build(toy.get_config('ar'))
  assert isinstance(parts.process, masked.Masked)
  assert (parts.model.num_inputs, parts.model.num_outputs) == (4, 3)


@pytest.mark.parametrize('changes, words', [
  (dict(process__name='masekd'), 'did you mean'),
  (dict(process__name='gaussian'), 'needs tokens that are floats'),
  (dict(blocks__size=4), 'does not divide'),
  (dict(blocks__sise=2), "takes no 'sise'"),
  (dict(draw__name='ones', process__name='uniform'), 'draw.name=uniform'),
  (dict(solver__name='heun'), 'first_order'),
  (dict(guidance__scale=2.0), 'needs labels'),
  (dict(plan__delay=4), 'plan.delay=None'),
  (dict(plan__steps=0), 'config.plan.steps=0'),
  (dict(cond_dropout=1.0), 'cond_dropout'),
  (dict(train__microbatches=3), 'train.microbatches=3'),
  (dict(codec__name='patches'), 'codec.name'),
  (dict(model__width=60), 'model.width=60'),
  (dict(coder__name='conv'), 'recipe plain trains none'),
  (dict(quantiser__name='vq'), 'recipe plain trains none'),
])
def test_what_cannot_work_is_refused_in_words(changes, words):
  config = changed(**changes)
  if 'draw__name' in changes:
    base.choose(config, 'draw', 'ones')
    base.choose(config, 'process', 'uniform')
  with pytest.raises(ValueError, match=words):
    build.build(config)


def test_blocks_must_cover_the_tokens_of_the_data():
  config = toy.get_config('scales_denoised')
  with config.unlocked():
    config.data.num_tokens = 20
  with pytest.raises(ValueError, match='blocks sum to 21 tokens but chain rows have 20'):
    build.build(config)


def test_the_first_block_may_have_its_own_budget_and_all_may_be_overruled():
  parts = build.build(changed(plan__first=40))
  assert parts.plan.budgets == (40, 32, 32)
  assert sequences.plan(parts.config, parts.blocks, steps=4).budgets == (40, 4, 4)


def test_guidance_grows_from_the_first_block_to_the_last():
  config = digits.get_config()
  with config.unlocked():
    config.guidance.scale, config.guidance.first = 3.0, 1.0
  parts = build.build(config)
  scale = parts.guidance
  assert len(scale) == parts.blocks.num_blocks and scale[0] == 1 and scale[-1] == 3
  assert np.all(build.build(toy.get_config()).guidance == 1)
  with config.unlocked():
    config.blocks = dict(name='whole')
  assert build.build(config).guidance.tolist() == [3]


def test_the_contract_names_what_a_checkpoint_means_and_not_how_it_is_sampled():
  contract = build.build(changed('block-gaussian')).contract
  assert contract == build.build(changed('block-gaussian', process__eta=0.5)).contract
  for other in (
    changed('block-gaussian', process__prediction='x0'),
    changed('block-gaussian', history_cond=True),
    changed('block-gaussian', data__seed=1),
  ):
    assert contract != build.build(other).contract


def test_every_default_of_the_base_config_builds():
  parts = build.build(base.get_config())
  assert isinstance(parts.plan, plan_lib.Plan)
