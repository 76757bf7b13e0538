"""The contract: what may be asked, what a Denoise answers, and how one is put before another."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import head as head_lib

BLOCKS = blocks_lib.equal(4, 2)
SLOTS = BLOCKS.slots(np.zeros((4, 1)))  # six of them
X = jax.random.normal(jax.random.key(0), (3, 6, 2))
T = jnp.full((3, 6), 0.5)


def doubled(ask):
  return 2 * ask.x + ask.t[..., None]


def test_what_is_not_said_is_nothing():
  ask = ask_lib.Ask(X, T, SLOTS)
  assert (ask.s, ask.hint, ask.cond, ask.cache, ask.keep) == (None, {}, {}, None, 0)
  with pytest.raises(dataclasses.FrozenInstanceError):
    ask.t = T


@pytest.mark.parametrize('x, t', [
  (X[:, :5], T[:, :5]), (X, T[:2]), (X, T[0]), (X, T[..., None]),
], ids=['fewer tokens than slots', 'fewer examples', 'levels without examples', 'a level too deep'])
def test_an_ask_of_wrong_shapes_is_refused(x, t):
  with pytest.raises(AssertionError):
    ask_lib.Ask(x, t, SLOTS)


def test_levels_may_be_one_a_copy_and_slots_one_an_example():
  assert ask_lib.Ask(X, T[:, :3], SLOTS).t.shape[1] == 3
  batch = jax.tree.map(lambda leaf: jnp.stack([leaf] * 3), SLOTS)
  assert ask_lib.Ask(X, T, batch).slots.block.ndim == 2


def test_a_function_becomes_a_denoise_whose_answer_has_its_outputs_and_the_cache_it_was_given():
  out, cache = ask_lib.from_outputs(doubled)(ask_lib.Ask(X, T, SLOTS, cache='cache'))
  np.testing.assert_array_equal(out, 2 * X + 0.5)
  assert cache == 'cache'


def test_the_head_of_outputs_has_the_weighted_sum_as_its_loss():
  denoise, ask = ask_lib.from_outputs(doubled), ask_lib.Ask(X, T, SLOTS)
  weight, x0 = jnp.arange(18.0).reshape(3, 6), jnp.ones((3, 6, 2))
  error = lambda out, x0: jnp.sum((out - x0) ** 2, axis=-1)
  h, _ = denoise.trunk(ask)
  total, value = denoise.head.loss(h, None, ask, error, weight, x0)
  expected = np.sum((2 * np.asarray(X) + 0.5 - 1) ** 2, axis=-1)
  np.testing.assert_allclose(value, expected, rtol=1e-5)
  np.testing.assert_allclose(total, np.sum(weight * expected), rtol=1e-5)


def test_a_weight_of_another_shape_than_the_values_is_refused():
  with pytest.raises(AssertionError):
    head_lib.weighted(X, lambda out: out[..., 0], jnp.ones((3, 1)))


def test_what_stands_before_a_network_changes_the_ask_that_it_sees():
  inner = ask_lib.from_outputs(doubled)

  def told_less(ask):
    return inner.trunk(dataclasses.replace(ask, t=ask.t / 2, cond={**ask.cond, 'more': ask.t}))

  out = inner._replace(trunk=told_less)(ask_lib.Ask(X, T, SLOTS)).out
  np.testing.assert_array_equal(out, 2 * X + 0.25)


def test_what_stands_behind_a_network_changes_its_outputs_and_the_loss_made_of_them():

  @dataclasses.dataclass(frozen=True)
  class Halved(head_lib.Outputs):
    head: head_lib.Head

    def read(self, h, ask):
      return self.head.read(h, ask) / 2

  ask, inner = ask_lib.Ask(X, T, SLOTS), ask_lib.from_outputs(doubled)
  denoise = inner._replace(head=Halved(inner.head))
  np.testing.assert_array_equal(denoise(ask).out, X + 0.25)
  total, _ = denoise.head.loss(
    denoise.trunk(ask)[0], None, ask, lambda out: out[..., 0], jnp.ones((3, 6))
  )
  np.testing.assert_allclose(total, jnp.sum(X[..., 0] + 0.25), rtol=1e-5)
