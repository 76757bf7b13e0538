"""Networks that are told which level they are asked for."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.learn import setting as setting_lib
from adiff.sequence import ask as ask_lib

TOLD = ('difference', 'pair')


def outs(regime, params, t, s):
  """[B, N, O] of one stream."""
  x = regime.data()
  slots = regime.blocks.token_slots(regime.coords)

  @jax.jit
  def call(params):
    denoise = regime.denoise(params, jnp.asarray(tiny.LABELS))
    levels = [jnp.full(x.shape[:2], level) for level in (t, s) if level is not None]
    return denoise(ask_lib.Ask(x, levels[0], slots, *levels[1:])).out

  return call(params)


@pytest.mark.parametrize('told', TOLD)
def test_asked_for_its_own_level_it_is_the_network_that_is_told_t_alone(told):
  usual = tiny.regime('block-gaussian')
  regime = tiny.told(usual, told)
  own = outs(regime, regime.params, 0.6, 0.6)
  np.testing.assert_allclose(own, outs(regime, regime.params, 0.6, None), atol=1e-6)
  less = usual.params
  np.testing.assert_allclose(own, outs(usual, less, 0.6, None), atol=1e-6)
  assert np.abs(own - outs(regime, regime.params, 0.6, 0.2)).max() > 1e-3


@pytest.mark.parametrize('told', TOLD)
def test_a_new_one_does_not_yet_hear_how_far_ahead_it_is_asked_for(told):
  regime = tiny.told(tiny.regime('block-gaussian'), told)
  fresh = regime.model.init(jax.random.key(0), ask_lib.Ask(
    regime.data()[:1], jnp.zeros((1, regime.blocks.num_tokens)),
    regime.blocks.token_slots(regime.coords),
  ))
  params = {**regime.params, 'level': {**regime.params['level'], 'ahead': fresh['level']['ahead']}}
  apart = outs(regime, params, 0.6, 0.2) - outs(regime, params, 0.6, 0.6)
  assert np.abs(apart).max() == 0


@pytest.mark.parametrize('remat', [
  'layers', pytest.param('none', marks=pytest.mark.soak),
])
def test_forward_derivatives_through_attention_and_layers_are_differences(remat):
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    regime = tiny.told(tiny.regime('block-gaussian'), 'difference')
    model = dataclasses.replace(regime.model, dtype='float64', remat=remat, depth=3)
    params = tiny.random_params(model, regime.process, regime.blocks, regime.coords)
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), params)
    x0 = jnp.asarray(regime.data(), jnp.float64)
    blocks = regime.blocks
    setting = setting_lib.Setting(
      x0, x0, blocks, regime.process, blocks.slots(regime.coords), jnp.ones(x0.shape[:2])
    )
    denoise = dataclasses.replace(regime, model=model).denoise(params, jnp.asarray(tiny.LABELS))
    t, s = jnp.full(setting.shape, 0.6), jnp.full(setting.shape, 0.2)
    along = jax.random.normal(jax.random.key(1), x0.shape, jnp.float64)

    @jax.jit
    def both(x, t):
      def network(x, t):
        return setting.out(denoise, x, t, s)

      _, slope = jax.jvp(network, (x, t), (along, jnp.ones_like(t)))
      step = 1e-6
      ends = [network(x + sign * step * along, t + sign * step) for sign in (1, -1)]
      return slope, (ends[0] - ends[1]) / (2 * step)

    slope, difference = both(x0 + along, t)
    np.testing.assert_allclose(slope, difference, rtol=1e-5, atol=1e-5)
