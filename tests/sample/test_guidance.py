"""Guidance between a network and whoever asks it, with functions for networks."""

import jax
import jax.numpy as jnp
import numpy as np
from fakes import BLOCKS, COORDS

from adiff.nn import network
from adiff.sample import guidance
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib


def _labels(ask):
  """A network whose output is its condition."""
  return ask.cond['label'].astype(float)[..., None]


LABELLED = ask_lib.from_outputs(_labels)
HALF = np.full((2, 6), 0.5, np.float32)


def guided(t, blocks=BLOCKS, **how):
  denoise = network.condition(guidance.guide(LABELLED, **how), {'label': jnp.array([3, 1])})
  ask = ask_lib.Ask(jnp.zeros((2, 6)), jnp.asarray(t), blocks.token_slots(COORDS))
  return np.asarray(denoise(ask).out)[..., 0]


def test_guidance_goes_from_the_unconditional_output_past_the_conditional_one():
  np.testing.assert_allclose(guided(HALF, scale=1.0), [[3] * 6, [1] * 6])
  np.testing.assert_allclose(guided(HALF, scale=2.0), [[7] * 6, [3] * 6])
  np.testing.assert_allclose(guided(HALF, scale=0.0), -1)


def test_guidance_may_differ_by_block_and_acts_inside_its_interval_alone():
  scale = np.array([1.0, 2.0, 3.0], np.float32)
  np.testing.assert_allclose(guided(HALF, scale=scale)[0], [3, 3, 7, 7, 11, 11])
  some = HALF.copy()
  some[:, 3:] = 0.9
  np.testing.assert_allclose(guided(some, scale=2.0, interval=(0.2, 0.8))[0], [7] * 3 + [3] * 3)


def test_examples_may_be_guided_each_at_its_own_scale_and_interval():
  scale, low = jnp.array([[3.0], [2.0]]), jnp.array([[0.0], [0.6]])
  np.testing.assert_allclose(guided(HALF, scale=scale)[:, 0], [11, 3])
  found = guided(HALF, scale=scale, interval=(low, jnp.ones((2, 1))))
  np.testing.assert_allclose(found[:, 0], [11, 1])


def test_levels_told_one_a_block_are_dealt_out_to_its_tokens():
  a_block = np.array([[0.5, 0.9, 0.5]] * 2, np.float32)
  np.testing.assert_allclose(
    guided(a_block, scale=2.0, interval=(0.2, 0.8))[0], [7, 7, 3, 3, 7, 7])


def test_kept_slots_without_outputs_are_passed_over():
  denoise = guidance.guide(
    ask_lib.from_outputs(lambda ask: _labels(ask)[:, ask.keep:]), scale=np.array([1.0, 2.0, 3.0]))
  slots = BLOCKS.token_slots(COORDS)
  ask = ask_lib.Ask(
    jnp.zeros((1, 6)), jnp.full((1, 6), 0.5), slots, cond={'label': jnp.full((1, 6), 3)}, keep=2)
  np.testing.assert_allclose(denoise(ask).out[0, :, 0], [7, 7, 11, 11])


def test_beside_a_history_copy_the_working_copy_is_guided_by_its_own_levels_and_blocks():
  denoise = guidance.guide(
    ask_lib.from_outputs(lambda ask: _labels(ask)[:, :6]), scale=np.array([1.0, 2.0, 3.0]),
    interval=(0.2, 0.8))
  slots = BLOCKS.slots(COORDS)
  num = slots.block.shape[-1]
  assert num > 6
  t = jnp.zeros((1, num)).at[:, :6].set(jnp.array([0.5, 0.5, 0.5, 0.9, 0.5, 0.5]))
  ask = ask_lib.Ask(
    jnp.zeros((1, num)), t, slots, cond={'label': jnp.full((1, num), 3)})
  np.testing.assert_allclose(denoise(ask).out[0, :, 0], [3, 3, 7, 3, 11, 11])


def test_all_branches_see_the_same_tokens_levels_and_hints():
  x, t, hint = (jax.random.normal(jax.random.key(i), (2, 6)) for i in range(3))
  ask = ask_lib.Ask(
    x, t, BLOCKS.token_slots(COORDS), t / 2, hint={'some': hint[..., None]},
    cond={'label': jnp.array([[3] * 6, [1] * 6])})
  both = guidance.branches(ask)
  for leaf, twice in ((x, both.x), (t, both.t), (t / 2, both.s), (hint, both.hint['some'][..., 0])):
    np.testing.assert_array_equal(twice, jnp.concatenate([leaf, leaf]))
  np.testing.assert_array_equal(both.cond['label'][:, 0], [3, 1, -1, -1])


def test_the_loss_of_a_guided_network_is_that_of_its_outputs():
  blocks = blocks_lib.whole(6)
  denoise = network.condition(guidance.guide(LABELLED, scale=2.0), {'label': jnp.array([3, 1])})
  ask = ask_lib.Ask(jnp.zeros((2, 6)), jnp.asarray(HALF), blocks.token_slots(COORDS))
  out, share = denoise(ask).out, jnp.linspace(0, 1, 12).reshape(2, 6)

  def objective(out, target):
    return (out[..., 0] - target) ** 2

  h, _ = denoise.trunk(ask)
  total, value = denoise.head.loss(h, None, ask, objective, share, jnp.ones((2, 6)))
  np.testing.assert_allclose(value, (out[..., 0] - 1) ** 2)
  np.testing.assert_allclose(total, jnp.sum(share * value), rtol=1e-6)
