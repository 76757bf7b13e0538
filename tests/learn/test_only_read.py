"""What is given and weighs nothing has no working copy, and nothing else changes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.learn import loss, only_read
from adiff.nn import network
from adiff.run import build

KEY = 11


def test_kinds_that_stand_first_and_weigh_nothing_are_only_read_and_the_loss_is_the_same():
  regime = tiny.regime('joint')
  rows = {'tokens': regime.data(8), 'label': jnp.full(8, -1, jnp.int32)}
  kinds, sizes = regime.blocks.kind_of_block, regime.blocks.sizes
  of = dataclasses.replace(regime.parts.recipe, model=regime.model, weights={kinds[0]: 0.0})
  rows = of.taught(rows, jax.random.key(KEY))
  first = only_read.count(regime.blocks, of.weights)
  assert set(kinds[:first]) == {kinds[0]} and kinds[0] not in kinds[first:]
  slots, found = [], []
  for num in (0, first):

    def share(params, num=num):
      denoise = of.network(params)

      def trunk(ask):
        slots.append(ask.x.shape[1])
        return denoise.trunk(ask)

      told = network.condition(
        denoise._replace(trunk=trunk), {'label': rows['label']}, history_cond=of.history_cond
      )
      return loss.loss(
        only_read.leave_out(told, regime.blocks, num), jax.random.key(KEY), rows['tokens'],
        blocks=regime.blocks, process=regime.process, draw=of.draw[0], coords=regime.coords,
        weight=rows['weight'],
      )

    found.append(jax.jit(share)(regime.params))
  for one, other in zip(*map(jax.tree.leaves, found), strict=True):
    np.testing.assert_allclose(one, other, atol=1e-6, rtol=1e-5)
  assert slots[0] - slots[-1] == sum(sizes[:first])


def test_some_kind_of_tokens_must_weigh_something():
  config = tiny.config('joint').unlock()
  for kind in config.kinds:
    config.kinds[kind].weight = 0.0
  with pytest.raises(ValueError, match='no kind of tokens weighs anything; leave one its weight'):
    build.build(config)
