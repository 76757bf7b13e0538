"""Blocks by themselves: they are the walk's, and what few steps do to each is dealt with best."""

import itertools

import exact
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.run import step_profile
from adiff.sample import apart, budget, walk
from adiff.sample.solvers import first_order
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import plan as plan_lib

STDS, MOST, MANY = (0.9, 0.3, 0.05), 8, 32


def left(process, std, steps):
  """What DDIM's steps leave of the noise of N(m, std^2): x0 - m as a multiple of it."""
  alpha, sigma = (np.asarray(leaf)[:, 0] for leaf in process.scales(
    jnp.asarray(plan_lib.Plan(1, steps).matrix[:, 0])))
  factor = 1.0
  for a_t, s_t, a_s, s_s in zip(alpha[:-1], sigma[:-1], alpha[1:], sigma[1:], strict=True):
    shrunk = a_t * std**2 / (a_t**2 * std**2 + s_t**2)
    factor *= s_s / s_t + (a_s - a_t * s_s / s_t) * shrunk
  return factor


def test_steps_are_dealt_out_as_the_closed_form_of_a_chain_has_them():
  process, denoise = exact.mixture(3, 4, 1, turn=0.7, std=STDS)
  blocks, keys = blocks_lib.tokens(3), jax.random.split(jax.random.key(3), 8)
  how = dict(blocks=blocks, process=process, solver=first_order.FirstOrder(),
             coords=np.arange(3)[:, None])
  plan = plan_lib.Plan(3, MANY)

  @jax.jit
  def measured(keys):
    past = walk.sample(denoise, keys, plan, **how)
    levels = np.stack([
      np.pad(plan_lib.Plan(1, n).matrix[:, 0], (0, MANY - n)) for n in (*range(1, MOST + 1), MANY)
    ])
    numbers = jnp.array([*range(1, MOST + 1), MANY])
    return jax.lax.map(
      lambda own: apart.errors(denoise, keys, own[0], own[1], past, **how),
      (jnp.asarray(levels), numbers)), walk.initial(keys, blocks, process)[0]

  errors, noise = measured(keys)
  errors = np.asarray(errors, np.float64).T
  np.testing.assert_allclose(errors[:, -1], 0, atol=1e-9)  # in as many steps it is the walk
  ends = np.array([[left(process, std, n) for n in (*range(1, MOST + 1), MANY)] for std in STDS])
  exactly = (ends[:, :-1] - ends[:, -1:]) ** 2
  size = np.asarray(jnp.mean(jnp.sum(noise**2, -1), 0))
  np.testing.assert_allclose(errors[:, :-1], exactly * size[:, None], rtol=2e-3, atol=1e-9)
  for total in (4, 7, 12):
    splits = [s for s in itertools.product(range(1, MOST + 1), repeat=3) if sum(s) == total]
    best = min(splits, key=lambda s: sum(own[n - 1] for own, n in zip(exactly, s, strict=True)))
    assert budget.dealt(errors[:, :-1], total) == best


def test_errors_between_two_numbers_of_steps_are_a_power_of_them():
  numbers = np.array([1, 2, 6])
  found = step_profile.between(numbers, np.stack([3.0 / numbers**2, 1.0 / numbers**3.5]))
  every = np.arange(1, 7)
  np.testing.assert_allclose(found, np.stack([3.0 / every**2, 1.0 / every**3.5]))


@pytest.mark.parametrize('errors, total, message', [
  (np.ones((3, 4)), 2, '3 to 12 in all, not 2'), (np.ones((3, 4)), 13, 'not 13'),
  (np.ones(3), 3, 'not an array of'), (np.full((2, 2), np.nan), 3, 'finite'),
])
def test_what_cannot_be_dealt_out_is_refused_in_words(errors, total, message):
  with pytest.raises(ValueError, match=message):
    budget.dealt(errors, total)
