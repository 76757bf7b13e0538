"""What a network is shown of tokens besides: hints of coarser scales."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.judge import likelihood
from adiff.learn import loss as loss_lib
from adiff.machine import cost
from adiff.nn import denoiser, network
from adiff.run import build
from adiff.sample import cached as cached_lib
from adiff.sample import capacity, walk
from adiff.sample.solvers import first_order
from adiff.sequence import ask as ask_lib
from adiff.sequence import draw, plan
from configs import base, digits

SIDES, LABELS = (1, 2, 8), np.arange(3, dtype=np.int32)


@functools.cache
def parts(hinted):
  """A tiny VAR on the levels of digits: two streams, or one."""
  c = digits.get_config('var')
  c.model.width, c.model.depth, c.model.heads, c.model.hinted = 16, 1, 2, hinted
  c.guidance.scale, c.codec.sides, c.blocks.sides = 1.0, SIDES, SIDES
  return build.build(c.lock())


@functools.cache
def params(hinted):
  own = parts(hinted)
  model = dataclasses.replace(own.model, hints=own.spec.hints)
  return tiny.random_params(model, own.process, own.blocks, own.spec.coords)


def denoise(hinted):
  own = parts(hinted)
  bound = own.model.denoise(params(hinted))
  return network.condition(bound, {'label': LABELS}, history_cond=own.history_cond)


def walks(model, params, own, hints, steps):
  """(cached, static; share of the hints) -> samples [B, N, ..]."""
  keys, coords = jax.random.split(jax.random.key(1), 3), own.spec.coords
  plans = plan.Plan(own.blocks.num_blocks, (steps,) * own.blocks.num_blocks, None)
  solver = first_order.FirstOrder()
  common = dict(blocks=own.blocks, process=own.process, solver=solver, coords=coords)

  @functools.partial(jax.jit, static_argnums=0)
  def run(cached, share):
    told = lambda x: jax.tree.map(lambda leaf: share * leaf, hints(x))
    how = {**common, 'hints': told}
    bound = network.condition(
      model.denoise(params), {'label': LABELS}, history_cond=own.history_cond
    )
    if not cached:
      return walk.sample(bound, keys, plans, **how)
    cache = model.empty_cache(3, capacity.places(plans, own.blocks), coords.shape[1])
    return cached_lib.sample(bound, keys, plans, cache, **how)

  return run


@pytest.mark.soak
def test_symbols_of_both_walks_are_equal_in_one_stream():
  own = parts('alone')
  run, one = walks(own.model, params('alone'), own, own.hints, 1), jnp.ones(())
  plain = run(False, one)
  np.testing.assert_array_equal(plain, run(True, one))
  assert len(np.unique(plain)) > 4 and int(plain.max()) < 17


@pytest.mark.soak
def test_in_float64_both_walks_agree_to_eight_digits_on_floats():
  regime = tiny.regime('scales_denoised-gaussian')
  own = regime.parts

  def hints(x):
    """The mean of all tokens in earlier blocks."""
    earlier = own.blocks.block_of_token[:, None] > own.blocks.block_of_token
    share = earlier / np.maximum(earlier.sum(1, keepdims=True), 1)
    return {'mean': jnp.einsum('nm,bmd->bnd', jnp.asarray(share), x)}

  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    model = denoiser.Denoiser(
      1, 1, width=16, heads=2, depth=1, dtype='float64', hints={'mean': 1}, hinted='beside',
      conds=regime.model.conds,
    )
    random = tiny.random_params(model, own.process, own.blocks, own.spec.coords)
    run, one = walks(model, random, own, hints, 2), jnp.ones(())
    plain, cached, other = run(False, one), run(True, one), run(True, 0 * one)
  np.testing.assert_allclose(cached, plain, rtol=0, atol=1e-8)
  assert np.abs(other - plain).max() > 1e-3  # it is looked at


@pytest.mark.parametrize('hinted', ['alone', pytest.param('beside', marks=pytest.mark.soak)])
def test_the_loss_is_the_likelihood_of_scales_made_in_one_pass(hinted):
  own = parts(hinted)
  x0 = own.coded.examples('train', np.arange(3))['tokens']
  common = dict(blocks=own.blocks, process=own.process, coords=own.spec.coords)
  bound = denoise(hinted)

  @jax.jit
  def measured(key, other):
    told = own.told(bound, x0)
    loss, _ = loss_lib.loss(told, key, x0, draw=draw.ones(), **common)
    nats, *_ = likelihood.bound(told, other, x0, reveals=own.reveals, **common)
    return loss, nats

  loss, nats = measured(*jax.random.split(jax.random.key(0)))
  np.testing.assert_allclose(float(loss) * own.blocks.num_tokens * 3, nats.sum(), rtol=1e-5)


def test_what_a_scale_is_shown_depends_on_coarser_ones_alone():
  own = parts('alone')
  codec = dataclasses.replace(own.coded.codec, discrete=False)
  x = jax.random.uniform(jax.random.key(0), (own.blocks.num_tokens, 1))
  jacobian = jax.jacrev(lambda x: codec.hints((), x[None])['coarser'][0, :, 0])(x)[..., 0]
  stage = own.spec.stages
  assert not np.any(np.asarray(jacobian)[stage[:, None] <= stage[None]])
  assert np.all(np.any(jacobian, axis=1) == (stage > 0))


def test_logits_of_a_scale_depend_on_coarser_ones_alone_through_hints_too():
  own = parts('alone')
  x0 = jnp.asarray(own.coded.examples('train', np.arange(3))['tokens'])
  slots, block = own.blocks.slots(own.spec.coords), own.blocks.block_of_token
  bound = denoise('alone')

  @jax.jit
  def logits(x0):
    x, t = own.blocks.pack(x0, x0, jnp.ones((3, own.blocks.num_blocks)))
    asked = network.hinted(bound, own.hints, x0)
    return own.blocks.unpack(asked(ask_lib.Ask(x, t, slots)).out)

  before = logits(x0)
  for k in range(own.blocks.num_blocks):
    after = logits(jnp.where(jnp.asarray(block >= k)[None], (x0 + 5) % 17, x0))
    np.testing.assert_array_equal(after[:, block <= k], before[:, block <= k])
    if k + 1 < own.blocks.num_blocks:
      assert np.all(np.any(np.asarray(after != before)[:, block > k], axis=-1))


def test_alone_a_training_step_has_as_many_slots_as_tokens():
  own, seen = parts('alone'), []
  inner = own.model.denoise(params('alone'))
  x0 = own.coded.examples('train', np.arange(3))['tokens']

  def count(ask):
    h, cache = inner.trunk(ask)
    seen.append(h.shape[1])
    return h, cache

  jax.eval_shape(lambda: loss_lib.loss(
    own.told(network.condition(
      inner._replace(trunk=count), {'label': LABELS}, history_cond=True
    ), x0),
    jax.random.key(0), x0, blocks=own.blocks, process=own.process, draw=draw.ones(),
    coords=own.spec.coords,
  ))
  assert seen == [own.blocks.num_tokens]
  assert cost.kept(own) > 0  # as a dry run asks


@pytest.mark.parametrize('change, words', [
  (dict(codec=dict(name='patches', patch=1, discrete=True), blocks=dict(name='equal', size=8)),
   'tells nothing'),
  (dict(history=None), 'made of finished blocks'),
  (dict(blocks=dict(name='whole')), 'all coarser scales'),
  (dict(blocks=dict(name='equal', size=5)), 'all coarser scales'),
  (dict(draw=dict(name='uniform')), "model.hinted='beside'"),
])
def test_what_cannot_be_shown_is_refused_in_words(change, words):
  c = digits.get_config('var').unlock()
  for key, value in change.items():
    if isinstance(value, dict):
      base.choose(c, key, **value)
    else:
      c[key] = value
  with pytest.raises(ValueError, match=words):
    build.build(c)
