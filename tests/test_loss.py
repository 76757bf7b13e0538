"""The training loss as numbers that can be worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff import blocks as blocks_lib
from adiff import levels, loss
from adiff.process import gaussian, masked

BLOCKS = blocks_lib.equal(4, 2)
COORDS = np.arange(4)[:, None]
MASKED = masked.Masked(3)


def zero_logits(x, t, s, slots):
  return jnp.zeros((*x.shape[:2], 3)), None


def run(denoise=zero_logits, *, blocks=BLOCKS, process=MASKED, draw=None, x0=None, weight=None):
  x0 = jnp.zeros((8, 4), jnp.int32) if x0 is None else x0
  draw = draw or levels.uniform()
  return loss.loss(
    denoise, jax.random.key(0), x0, blocks=blocks, process=process, draw=draw, coords=COORDS,
    weight=weight,
  )


def test_all_masked_and_nothing_known_costs_log_v_a_token():
  value, scalars = run(draw=levels.ones())
  np.testing.assert_allclose(value, np.log(3), rtol=1e-6)
  np.testing.assert_allclose(scalars['loss_per_block'], [np.log(3)] * 2, rtol=1e-6)


def test_blocks_of_equal_size_average_to_the_loss():
  value, scalars = run()
  np.testing.assert_allclose(jnp.mean(scalars['loss_per_block']), value, rtol=1e-5)


def test_tokens_of_weight_zero_change_nothing():
  def telling(x, t, s, slots):
    return jnp.broadcast_to(jnp.arange(3.0), (*x.shape, 3)), None  # symbols have different costs

  weight = jnp.broadcast_to(jnp.array([1.0, 1, 1, 0])[None], (8, 4))
  x0 = jax.random.randint(jax.random.key(1), (8, 4), 0, 3)
  other = x0.at[:, 3].set((x0[:, 3] + 1) % 3)
  assert run(telling, x0=x0, weight=weight)[0] == run(telling, x0=other, weight=weight)[0]
  assert run(telling, x0=x0)[0] != run(telling, x0=other)[0]


def test_the_mean_is_over_weighted_tokens():
  weight = jnp.zeros((8, 4)).at[0, 0].set(1.0)
  value, _ = run(draw=levels.ones(), weight=weight)
  np.testing.assert_allclose(value, np.log(3), rtol=1e-6)


def test_tokens_at_level_zero_carry_no_loss_and_no_nan():
  draw = lambda key, shape: jnp.zeros(shape)
  process = gaussian.Gaussian(2)
  out = lambda x, t, s, slots: (x, None)
  value, grads = jax.value_and_grad(
    lambda scale: run(
      lambda *a: (out(*a)[0] * scale, None), process=process, draw=draw, x0=jnp.ones((8, 4, 2))
    )[0]
  )(1.0)
  assert value == 0 and grads == 0
  assert run(draw=draw)[0] == 0


@pytest.mark.parametrize('history', [0.0, 0.3, None])
def test_the_network_meets_the_past_at_the_level_of_the_history(history):
  seen = {}

  def spy(x, t, s, slots):
    seen.update(x=x, t=t)
    return jnp.zeros((*x.shape[:2], 1)), None

  blocks = blocks_lib.equal(4, 2, history=history)
  x0 = jax.random.normal(jax.random.key(3), (8, 4, 1))
  run(spy, blocks=blocks, process=gaussian.Gaussian(1), x0=x0)
  past, level = np.asarray(seen['x'][:, 4:]), np.asarray(seen['t'][:, 4:])
  if history is None:
    assert past.size == 0
  else:
    assert past.shape == (8, 2, 1) and np.all(level == np.float32(history))
    assert np.array_equal(past, x0[:, :2]) == (history == 0)


def test_levels_are_one_a_block_and_the_answer_is_never_in_its_own_history():
  seen = {}

  def spy(x, t, s, slots):
    seen.update(t=t, slots=slots)
    return jnp.zeros((*x.shape[:2], 3)), None

  run(spy)
  t = np.asarray(seen['t'])
  assert np.all(t[:, 0] == t[:, 1]) and np.all(t[:, 2] == t[:, 3]) and np.any(t[:, 0] != t[:, 2])


def test_the_curve_over_levels_has_a_mean_a_bin_and_nan_where_nothing_fell():
  level = jnp.array([[0.05, 0.05], [0.95, 1.0]])
  curve = loss.by_level(level, jnp.array([[2.0, 4], [6, 0]]), jnp.array([[2.0, 1], [2, 2]]))
  np.testing.assert_allclose(curve[0], 2.0)
  np.testing.assert_allclose(curve[9], 1.5)
  assert np.all(np.isnan(np.asarray(curve[1:9])))
