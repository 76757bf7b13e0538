"""A student's own walk, and its gradient at the memory of one block."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.learn import rollout
from adiff.nn import denoiser
from adiff.process import gaussian
from adiff.sample import session
from adiff.sample.solvers import first_order, multistep
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import plan as plan_lib

STEPS, BATCH = 4, 3


@functools.cache
def tiny_rollout(history=0.0, dtype='float32'):
  """(Rollout, parameters) of a row of the table."""
  regime = tiny.regime('block-gaussian')
  blocks = dataclasses.replace(regime.blocks, history=history)
  model = dataclasses.replace(regime.model, dtype=dtype, conds={}, depth=1)
  params = tiny.random_params(model, regime.process, blocks, regime.coords)
  params = jax.tree.map(lambda leaf: leaf.astype(dtype), params)
  plan = plan_lib.Plan(blocks.num_blocks, STEPS)
  return rollout.Rollout(
    model, model.denoise, plan, blocks, regime.process, first_order.FirstOrder(), regime.coords
  ), params


def keys():
  return jax.random.split(jax.random.key(3), BATCH)


def target(of, dtype=float):
  return jax.random.normal(jax.random.key(4), (BATCH, of.blocks.num_tokens, 1), dtype)


@functools.cache
def naive(of, through=False):
  """(params, exit) -> gradient of half the squared distance to the target, by differentiating the
  whole rollout: the definition."""

  def loss(params, exit):
    made = of.made(params, keys(), exit, through=through)
    return 0.5 * jnp.sum((made.x0 - target(of)) ** 2)

  return jax.jit(jax.grad(loss))


def two_passes(of, params, exit):
  made = of.made(params, keys(), exit)
  return of.gradient(params, made, made.x0 - target(of), keys())


def test_a_rollout_is_the_walk_whose_last_step_is_the_exit():
  of, params = tiny_rollout(history=0.1)
  exit = 2

  def left_early(u):  # the plan's first levels, then 0
    return np.where(np.isclose(u, 1), 0, 1 - u * (exit + 1) / STEPS)

  plan = plan_lib.Plan(of.blocks.num_blocks, exit + 1, spacing=left_early)
  walk = session.Session(of.network, of.bind, plan, of.blocks, of.process, of.solver, of.coords)
  expected = jax.jit(lambda params: walk.finish(params, walk.start(keys())).x)(params)
  made = jax.jit(of.made)(params, keys(), exit)
  np.testing.assert_allclose(made.x0, expected, atol=1e-5)


@pytest.mark.parametrize('history', [0.0, None])
def test_two_passes_give_the_gradient_of_the_whole_rollout_with_constant_keys(history):
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    of, params = tiny_rollout(history, dtype='float64')
    fast = jax.jit(functools.partial(two_passes, of))
    for exit in (STEPS - 1, 0):
      expected, found = naive(of)(params, exit), fast(params, exit)
      for name, one, other in _leaves(expected, found):
        np.testing.assert_allclose(one, other, atol=1e-9 * (1 + np.abs(one).max()), err_msg=name)


@pytest.mark.soak
def test_through_keys_and_values_it_is_the_slope_of_the_loss():
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    of, params = tiny_rollout(dtype='float64')
    rng = np.random.default_rng(0)
    along = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), params)

    @jax.jit
    def loss(amount):
      moved = jax.tree.map(lambda leaf, step: leaf + amount * step, params, along)
      return 0.5 * jnp.sum((of.made(moved, keys(), 0).x0 - target(of)) ** 2)

    slope = (loss(1e-5) - loss(-1e-5)) / 2e-5
    full, found = naive(of, through=True)(params, 0), naive(of)(params, 0)
    inner = lambda gradient: sum(jnp.sum(a * b) for _, a, b in _leaves(gradient, along))
    np.testing.assert_allclose(inner(full), slope, rtol=1e-6)
    assert abs(inner(found) - slope) > 1e-3 * abs(slope)


@functools.cache
def temporary(num_blocks):
  """Bytes that the gradient needs besides its arguments, of which the cache and the tokens are, and
  its results."""
  size, batch = 4, 16
  blocks = blocks_lib.equal(size * num_blocks, size)
  model = denoiser.Denoiser(num_inputs=2, num_outputs=2, width=64, depth=2, heads=1)
  process, coords = gaussian.Gaussian(dim=2), np.arange(blocks.num_tokens)[:, None]
  of = rollout.Rollout(
    model, model.denoise, plan_lib.Plan(num_blocks, 2), blocks, process,
    first_order.FirstOrder(), coords,
  )
  params = jax.eval_shape(lambda: tiny.random_params(model, process, blocks, coords))
  keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), batch))
  made = jax.eval_shape(of.made, params, keys, 0)
  back = jax.jit(of.gradient).lower(params, made, made.x0, keys).compile()
  return back.memory_analysis().temp_size_in_bytes


@pytest.mark.soak
def test_the_memory_of_activations_does_not_grow_with_the_blocks():
  backs = [temporary(num_blocks) for num_blocks in (4, 64)]
  assert max(backs) < 1.1 * min(backs), backs


def test_what_has_no_rollout_is_refused_in_words():
  of, _ = tiny_rollout()
  with pytest.raises(ValueError, match='remembers steps'):
    rollout.check(of.plan, of.blocks, of.process, multistep.Multistep())
  with pytest.raises(ValueError, match='plan.delay=None'):
    plan = plan_lib.Plan(of.blocks.num_blocks, STEPS, delay=1)
    rollout.check(plan, of.blocks, of.process, of.solver)
  with pytest.raises(ValueError, match='one kind of floats'):
    rollout.check(of.plan, of.blocks, tiny.regime('block-masked').process, of.solver)
  rollout.check(of.plan, of.blocks, of.process, of.solver)


def _leaves(one, other):
  """[(name, leaf, leaf)] of two trees."""
  named = jax.tree_util.tree_leaves_with_path(one)
  return [
    (jax.tree_util.keystr(path), a, b)
    for (path, a), b in zip(named, jax.tree.leaves(other), strict=True)
  ]
