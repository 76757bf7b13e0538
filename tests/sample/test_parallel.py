"""Walks that are made in parallel come to the sequential one, and are counted."""

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.nn import network
from adiff.process import gaussian
from adiff.sample import guidance, parallel, walk
from adiff.sample.solvers import first_order, multistep
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import plan as plan_lib

HOW = parallel.Parallel('picard', 'data', 0, 1, 3, 2, 1e-2)
DDIM = first_order.FirstOrder()


class Cacheless:
  """What a session reads of a network that needs no cache."""

  reach, sinks = None, 0

  def empty_cache(self, batch, places, axes):
    del batch, places, axes


def mixture(num_blocks, dim, modes, *, turn):
  """(process, Denoise): blocks of one token, each a mixture around `turn` times the rotated token
  before it, under its exact score."""
  rng = np.random.default_rng(0)
  means, std = jnp.asarray(rng.normal(size=(num_blocks, modes, dim))), 0.15
  rotation = jnp.asarray(np.linalg.qr(rng.normal(size=(dim, dim)))[0])
  process = gaussian.Gaussian(dim=dim, prediction='x0', clip=0.0)

  def out(ask):
    slots = jax.tree.map(
      lambda leaf: jnp.broadcast_to(leaf, ask.x.shape[:2]), ask.slots._replace(coords=None))
    before = slots.block[:, None] == slots.block[:, :, None] - 1
    before &= (slots.stream == 1)[:, None] & (slots.segment == 0)[:, None]
    past = jnp.einsum('bqk,bkd->bqd', before.astype(ask.x.dtype), ask.x)
    alpha, sigma = process.scales(jnp.broadcast_to(ask.t, ask.x.shape[:2]))
    mean = means[slots.block] + turn * (past @ rotation)[:, :, None]
    total = alpha**2 * std**2 + sigma**2
    error = ask.x[:, :, None] - alpha[..., None] * mean
    weight = jax.nn.softmax(-jnp.sum(error**2, -1) / (2 * total), -1)
    nearer = mean + (alpha * std**2 / total)[..., None] * error
    return jnp.einsum('bqm,bqmd->bqd', weight, nearer)

  return process, ask_lib.from_outputs(out)


def measured(denoise, process, how, *, num_blocks, steps, examples, solver=DDIM):
  """(mean rounds, mean work, mismatches): each example alone, against the sequential walk."""
  blocks, plan = blocks_lib.tokens(num_blocks), plan_lib.Plan(num_blocks, steps)
  coords, keys = np.arange(num_blocks)[:, None], jax.random.split(jax.random.key(1), examples)
  made = parallel.Session(
    Cacheless(), lambda params: denoise, plan, blocks, process, solver, coords, how)

  def run(key):
    at = made.finish(None, made.start(key[None]))
    return at.x[0], at.counts

  with jax.debug_key_reuse(False):  # it takes the two sides of a branch for two uses
    x, counts = jax.jit(jax.vmap(run))(keys)
  sequential = jax.jit(lambda keys: walk.sample(
    denoise, keys, plan, blocks=blocks, process=process, solver=solver, coords=coords))(keys)
  wrong = parallel.mismatches(x, sequential, 0.1)
  return counts.rounds.mean(), counts.work.mean(), int(wrong.sum())


@pytest.mark.parametrize('method, coordinate, rounds, most', [
  ('anderson', 'data', 6, 4.5),
  *(pytest.param(*row, marks=pytest.mark.soak) for row in [
    ('picard', 'data', 9, 4.5), ('picard', 'x', 9, 4.7), ('anderson', 'x', 7, 4.5),
    ('picard', 'noise', 16, 10.7),
  ])])
def test_a_hundred_steps_take_a_few_rounds(method, coordinate, rounds, most):
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    process, denoise = mixture(1, 64, 10, turn=0.0)
    how = dataclasses.replace(HOW, method=method, coordinate=coordinate)
    took, work, wrong = measured(
      denoise, process, how, num_blocks=1, steps=100, examples=20)
  assert took <= rounds and wrong == 0
  assert work <= most * 100


@pytest.mark.parametrize('turn', [0.5, pytest.param(0.9, marks=pytest.mark.soak)])
def test_two_blocks_in_flight_take_a_seventh_of_the_calls(turn):
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    process, denoise = mixture(8, 16, 4, turn=turn)
    how = dataclasses.replace(HOW, method='anderson', blocks=2)
    took, work, wrong = measured(
      denoise, process, how, num_blocks=8, steps=32, examples=40)
  assert took <= 8 * 32 / 7 and work <= 6 * 8 * 32 and wrong == 0


@functools.cache
def tiny_rows():
  return tiny.regime('block-gaussian')


@pytest.mark.parametrize('method, blocks, solver, eta, history, window', [
  ('picard', 3, first_order.FirstOrder(), 1.0, 0.1, 2),
  *(pytest.param(*row, marks=pytest.mark.soak) for row in [
    ('anderson', 2, multistep.Multistep(), 0.0, 0.0, 0),
    ('picard', 1, first_order.FirstOrder(), 0.0, None, 0),
    ('anderson', 2, first_order.FirstOrder(), 0.5, None, 3),
  ])])
def test_at_a_small_tolerance_samples_are_those_of_the_walk(
  method, blocks, solver, eta, history, window
):
  regime = tiny_rows()
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    model = dataclasses.replace(regime.model, dtype='float64')
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), regime.params)
    geometry = dataclasses.replace(regime.blocks, history=history)
    process = dataclasses.replace(regime.process, eta=eta)
    plan, coords = plan_lib.Plan(geometry.num_blocks, 6), regime.coords
    apart = history is None
    given = jnp.zeros((4, geometry.num_tokens), bool).at[1, 3].set(True)
    told = dict(given=jnp.full((4, geometry.num_tokens, process.dim), 0.3), given_mask=given)
    how = dataclasses.replace(
      HOW, method=method, blocks=blocks, window=window, start=1, tolerance=1e-9)

    def bind(params):
      denoise = guidance.guide(model.denoise(params, loops=True), scale=1.5)
      return network.condition(
        denoise, {'label': jnp.asarray(tiny.LABELS)}, history_cond=apart)

    made = parallel.Session(
      model, bind, plan, geometry, process, solver, coords, how, caches=1 + apart)
    keys = jax.random.split(jax.random.key(2), 4)
    at = jax.jit(lambda params: made.finish(params, made.start(keys, *told.values())))(params)
    sequential = jax.jit(lambda params: walk.sample(
      bind(params), keys, plan, blocks=geometry, process=process, solver=solver, coords=coords,
      **told))(params)
  np.testing.assert_allclose(at.x, sequential, atol=1e-6)
  assert not parallel.mismatches(at.x, sequential, 1e-6).any()
  assert int(at.counts.work.min()) >= 6 * geometry.num_blocks


def parts_of(**changes):
  """What `needs` reads."""
  parts = tiny_rows().parts
  names = 'blocks', 'plan', 'process', 'model'
  named = {name: getattr(parts, name) for name in names} | {'solver': DDIM}
  return types.SimpleNamespace(spec=parts.spec, hints=None, **{**named, **changes})


@pytest.mark.parametrize('changes, message', [
  (dict(process=tiny.regime('block-masked').process), 'needs process gaussian'),
  (dict(solver=types.SimpleNamespace(calls=2)), 'first_order or multistep'),
  (dict(blocks=blocks_lib.scales((1, 2))), 'equal blocks'),
  (dict(plan=plan_lib.Plan(3, 4, delay=2)), 'plan.delay=None'),
  (dict(plan=plan_lib.Plan(3, (5, 4, 4))), 'plan.first=0'),
])
def test_what_is_not_served_is_refused_in_words(changes, message):
  with pytest.raises(ValueError, match=message):
    HOW.needs(parts_of(**changes))
  dataclasses.replace(HOW, method='none').needs(parts_of(**changes))
