"""Networks that are told which level they are asked for."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.learn import setting as setting_lib
from adiff.nn import embed

T, S = jnp.array([[0.9, 0.6, 0.3]]), jnp.array([[0.2, 0.5, 0.0]])


@pytest.mark.parametrize('told', ['difference', 'pair'])
def test_a_level_is_heard_as_ever_where_no_other_one_is_asked_for(told):
  level = embed.Level(16, jnp.dtype('float32'), told)
  params = level.init(jax.random.key(0), T, S)
  np.testing.assert_array_equal(level.apply(params, T, S), level.apply(params, T))  # at first
  params = jax.tree.map(lambda leaf: leaf + 0.3, params)
  usual = {'params': {name: own for name, own in params['params'].items() if name != 'ahead'}}
  alone = embed.Level(16, jnp.dtype('float32')).apply(usual, T)
  np.testing.assert_array_equal(level.apply(params, T, T), alone)
  np.testing.assert_array_equal(level.apply(params, T), alone)
  assert np.abs(level.apply(params, T, S) - alone).min() > 1e-4


@pytest.mark.parametrize('of', ['scale', 'interval'])
def test_guidance_is_nothing_at_scale_one_and_where_none_is_told_whatever_was_learnt(of):
  nan = np.nan
  told = jnp.array([[[1.0, 0.2, 0.9], [nan, nan, nan], [3.0, 0.2, 0.9], [3.0, 0.0, 1.0]]])
  layer = embed.Guidance(16, of, jnp.dtype('float32'))
  params = layer.init(jax.random.key(0), told)
  assert not np.any(layer.apply(params, told))  # at first
  out = np.asarray(layer.apply(jax.tree.map(lambda leaf: leaf + 0.3, params), told))[0]
  assert not np.any(out[:2]) and np.all(out[2:])
  assert np.array_equal(out[2], out[3]) == (of == 'scale')


@pytest.mark.parametrize('remat', [
  'layers', pytest.param('none', marks=pytest.mark.soak),
])
def test_forward_derivatives_through_attention_and_layers_are_differences(remat):
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    regime = tiny.told(tiny.regime('block-gaussian'), 'difference')
    model = dataclasses.replace(regime.model, dtype='float64', remat=remat)
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
