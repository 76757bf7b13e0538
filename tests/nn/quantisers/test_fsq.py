"""Levels a channel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.nn.quantisers import fsq

LEVELS = (8, 5, 4, 3)
OF = fsq.Fsq(LEVELS)


def features(scale=2.0, shape=(3, 4, 5)):
  z = np.random.default_rng(0).normal(size=(*shape, len(LEVELS)))
  return (scale * z).astype(np.float32)


def by_hand(z):
  """(quantised, codes) in float64, channel by channel from the paper's appendix."""
  quantised, codes = np.zeros(z.shape), np.zeros(z.shape[:-1], int)
  for c, levels in enumerate(LEVELS):
    half, offset = (levels - 1) * 1.001 / 2, 0.5 * (levels % 2 == 0)
    rounded = np.round(half * np.tanh(z[..., c] + np.arctanh(offset / half)) - offset)
    quantised[..., c] = rounded / (levels // 2)
    codes += (rounded + levels // 2).astype(int) * int(np.prod(LEVELS[:c], dtype=int))
  return quantised, codes


def test_channels_are_bounded_and_rounded_as_in_the_paper():
  z = features()
  made = jax.jit(OF, static_argnums=4)({}, {}, z, jax.random.key(1), True)
  quantised, codes = by_hand(np.asarray(z, np.float64))
  np.testing.assert_allclose(made.z, quantised, atol=1e-6)
  np.testing.assert_array_equal(made.codes, codes.reshape(3, 20))
  assert not made.losses


def test_every_code_is_that_of_its_own_values_and_is_reached():
  every = np.arange(OF.kind.vocab, dtype=np.int32)[None]
  values = jax.jit(lambda codes: OF.dequantise({}, {}, codes, every.shape[1:]))(every)
  np.testing.assert_array_equal(jax.jit(OF.codes_at)(values), every)
  assert len(np.unique(np.asarray(values[0]), axis=0)) == OF.kind.vocab == 480
  wide = jax.jit(OF.codes_of)({}, {}, features(1.5, (8, 50, 50)))
  assert len(np.unique(np.asarray(wide))) == 480


def test_the_gradient_is_that_of_the_bounded_value():
  z = features()
  halves = np.array(LEVELS, np.float32).reshape(1, 1, 1, -1) // 2
  of_quantised = lambda z: jnp.sum(jnp.sin(OF({}, {}, z, None, True).z))

  def of_bounded(z):
    quantised = jax.lax.stop_gradient(OF({}, {}, z, None, True).z)
    return jnp.sum(jnp.cos(quantised) * OF.bound(z) / halves)

  found, expected = jax.jit(lambda z: [jax.grad(one)(z) for one in (of_quantised, of_bounded)])(z)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('levels, words', [
  ((), 'at least 2 and fewer'), ((4096,) * 3, 'at least 2 and fewer'), ((8, 2), 'must lie in'),
])
def test_levels_that_make_no_codes_or_too_many_are_refused(levels, words):
  with pytest.raises(ValueError, match=f'quantiser.levels.*{words}'):
    fsq.Fsq(levels)
