"""Encoder and decoder on grids of one, two and three axes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.nn import conv

GRIDS = {'sound': (16,), 'picture': (4, 8), 'film': (5, 4, 4)}


@functools.cache
def case(name):
  """(coder, parameters without zeros, x)."""
  frames = 2 if name == 'film' else 1
  coder = conv.Conv(GRIDS[name], 3, 2, (8, 12), attention=True, frames=frames)
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) * 0.2, jnp.float32),
    jax.eval_shape(lambda key: coder.init(key, 2), jax.random.key(0)),
  )
  x = jnp.asarray(rng.normal(size=(2, np.prod(coder.grid), coder.dim)), jnp.float32)
  return coder, params, x


@functools.cache
def both(name):
  """(params, x) -> (z, reconstruction), compiled."""
  coder, *_ = case(name)

  def run(params, x):
    z = coder.encode(params, x)
    return z, coder.decode(params, z)

  return jax.jit(run)


@pytest.mark.parametrize('name, codes', [('sound', (8,)), ('picture', (2, 4)), ('film', (3, 2, 2))])
def test_every_axis_is_halved_and_made_whole_again(name, codes):
  coder, params, x = case(name)
  assert coder.code_grid == codes
  z, back = jax.eval_shape(both(name), params, x)
  assert z.shape == (2, *codes, 2) and back.shape == x.shape


@pytest.mark.parametrize('shape, sides', [((6,), (2,)), ((4, 6), (2, 3)), ((5, 4, 6), (2, 2, 3))])
def test_what_is_folded_is_unfolded(shape, sides):
  x = jnp.asarray(np.random.default_rng(0).normal(size=(2, *shape, 3)))
  folded = conv.fold(x, sides)
  assert folded.shape[-1] == 3 * np.prod(sides)
  np.testing.assert_array_equal(conv.unfold(folded, sides), x)


@pytest.mark.parametrize('shape', [(6,), (4, 6)])
def test_halving_takes_means_and_undoes_doubling(shape):
  x = np.random.default_rng(0).normal(size=(2, *shape, 3))
  np.testing.assert_allclose(conv.halved(conv.doubled(x)), x, atol=1e-6)
  pairs = x.reshape(2, shape[0] // 2, 2, *shape[1:], 3).mean(2)
  if len(shape) == 2:
    pairs = pairs.reshape(2, shape[0] // 2, shape[1] // 2, 2, 3).mean(3)
  np.testing.assert_allclose(conv.halved(x), pairs, atol=1e-6)


def test_a_block_drops_features_with_a_key_alone_and_makes_what_it_is_asked_for():
  block = conv.Block(jnp.dtype('float32'), 8, conv.halved, dropout=0.5)
  x, signal = jnp.ones((1, 4, 4, 4)), jnp.ones((1, 3))
  params = jax.eval_shape(block.init, jax.random.key(0), x, signal)
  params = jax.tree.map(
    lambda leaf: jnp.asarray(np.random.default_rng(0).normal(size=leaf.shape), 'f'), params)
  run = jax.jit(block.apply)
  out = run(params, x, signal)
  assert out.shape == (1, 2, 2, 8)
  np.testing.assert_array_equal(out, run(params, x, signal))
  dropped = run(params, x, signal, jax.random.key(1))
  assert float(jnp.max(jnp.abs(dropped - out))) > 1e-3
  assert float(jnp.max(jnp.abs(run(params, x, 2 * signal) - out))) > 1e-3


def test_a_film_is_never_looked_at_ahead():
  coder, params, x = case('film')
  run = both('film')
  film = x.reshape(2, *coder.grid, coder.dim)
  z, back = run(params, x)
  for frame in range(1, 5):
    changed = film.at[:, frame:].add(1.0).reshape(x.shape)
    other, other_back = run(params, changed)
    before = 1 + (frame - 1) // 2  # codes that end before this frame
    np.testing.assert_array_equal(other[:, :before], z[:, :before])
    assert np.abs(other[:, before:] - z[:, before:]).max() > 1e-3
    shown, other_shown = (one.reshape(film.shape)[:, :2 * before - 1] for one in (back, other_back))
    np.testing.assert_array_equal(other_shown, shown)


def test_the_first_frame_of_a_film_is_coded_as_a_picture_is():
  coder, params, x = case('film')
  still = conv.Conv((1, 4, 4), 3, 2, (8, 12), attention=True, frames=2)
  first = x.reshape(2, 5, 16, 3)[:, 0]
  np.testing.assert_allclose(
    still.encode(params, first)[:, 0], both('film')(params, x)[0][:, 0], atol=1e-5
  )


def test_a_block_begins_as_the_identity():
  block = conv.Block(jnp.dtype('float32'))
  x = jnp.ones((1, 4, 4, 8))
  out, _ = block.init_with_output(jax.random.key(0), x)
  np.testing.assert_array_equal(out, x)


@pytest.mark.parametrize('axes', [(6,), (6, 4)])
def test_the_norm_of_a_group_is_that_of_flax(axes):
  from flax import linen

  x = jnp.asarray(np.random.default_rng(0).normal(3, 2, (2, *axes, 16)), jnp.float32)
  ours, _ = conv.Norm(jnp.dtype('float32')).init_with_output(jax.random.key(0), x)
  theirs, _ = linen.GroupNorm(8, epsilon=1e-6).init_with_output(jax.random.key(0), x)
  np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_local_encoder_gives_a_place_the_code_of_what_lies_there_wherever_it_lies():
  coder = conv.Conv((4, 8), 3, 2, (8, 12), attention=True, local=True)
  params = jax.jit(coder.init, static_argnums=1)(jax.random.key(0), 2)
  encode = jax.jit(lambda x: coder.encode(params, x.reshape(1, 32, 3)))
  x = np.random.default_rng(0).normal(size=(1, 4, 8, 3)).astype(np.float32)
  x[:, 2:, 6:] = x[:, :2, :2]
  z = np.asarray(encode(x))
  np.testing.assert_allclose(z[0, 1, 3], z[0, 0, 0], atol=1e-6)
  x[:, 2:, 2:4] += 1
  moved = encode(x)
  changed = np.abs(moved - z)[0].max(-1) > 1e-6
  assert changed.tolist() == [[False] * 4, [False, True, False, False]]
  assert jax.eval_shape(coder.decode, params, moved).shape == (1, 32, 3)


@pytest.mark.soak
def test_half_precision_gives_codes_and_pictures_in_float32():
  coder = conv.Conv((4, 4), 3, 2, (8, 8), dtype='bfloat16')
  with jax.numpy_dtype_promotion('standard'):
    params = jax.eval_shape(lambda key: coder.init(key, 2), jax.random.key(0))
    z = jax.eval_shape(coder.encode, params, jnp.zeros((1, 16, 3)))
    assert {leaf.dtype for leaf in jax.tree.leaves((params, z))} == {jnp.dtype('float32')}
    assert jax.eval_shape(coder.decode, params, z).dtype == jnp.float32


def test_a_critic_says_one_number_a_place():
  critic = conv.Critic((16, 16), 3, (8, 8))
  params = jax.eval_shape(critic.init, jax.random.key(0))
  assert jax.eval_shape(critic, params, jnp.zeros((2, 256, 3))).shape == (2, 64)


@pytest.mark.parametrize('grid, how', [
  ((6, 6), dict(widths=(8, 8, 8))), ((4, 4), dict(frames=2)), ((4, 4, 4), dict(frames=2)),
  ((5, 4, 4), dict(frames=4)), ((4, 4), dict(widths=())),
])
def test_a_grid_that_cannot_be_halved_is_refused_with_what_it_must_be(grid, how):
  with pytest.raises(ValueError, match='multiples of 2'):
    conv.Conv(grid, 3, 2, **how)
