"""The theorems that make one code base out of many regimes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.judge import likelihood
from adiff.nn import denoiser
from adiff.process import gaussian, masked
from adiff.process import joint as joint_process
from adiff.sample import joint
from adiff.sample.solvers import first_order, heun, multistep
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import mask, tokens
from configs import toy as toy_config

# ---- One attention rule -------------------------------------------------------------------------


PICTURES = {
  'three blocks of one': (blocks_lib.tokens(3), """
    x . . . .
    . x . x .
    . . x x x
    . . . x .
    . . . x x"""),
  'two blocks of two': (blocks_lib.equal(4, 2), """
    x x . . . .
    x x . . . .
    . . x x x x
    . . x x x x
    . . . . x x
    . . . . x x"""),
  'diffusion forcing': (blocks_lib.equal(6, 2, history=None), """
    x x . . . .
    x x . . . .
    x x x x . .
    x x x x . .
    x x x x x x
    x x x x x x"""),
  'autoregression at sampling': (blocks_lib.tokens(6, history=None), """
    x . . . . .
    x x . . . .
    x x x . . .
    x x x x . .
    x x x x x .
    x x x x x x"""),
  'full sequence': (blocks_lib.whole(6), '\n'.join(['x x x x x x'] * 6)),
  'next scale': (blocks_lib.scales((1, 2)), """
    x . . . . .
    . x x x x x
    . x x x x x
    . x x x x x
    . x x x x x
    . . . . . x"""),
}


@pytest.mark.parametrize('name', PICTURES)
def test_masks_equal_their_pictures(name):
  blocks, picture = PICTURES[name]
  expected = '\n'.join(line.strip() for line in picture.strip().splitlines())
  assert mask.ascii_art(mask.picture(blocks)) == expected


# ---- The past is a token with a level -----------------------------------------------------------


def test_slots_known_beforehand_and_one_level_a_copy_give_the_same_outputs(regime):
  blocks, process = regime.blocks, regime.process
  x0, label = regime.data(), jnp.asarray(tiny.LABELS)
  level = jax.random.uniform(jax.random.key(1), (tiny.BATCH, blocks.num_blocks))
  t = blocks.per_token(level)
  xt = process.add_noise(jax.random.key(2), x0, t)
  slots = blocks.slots(regime.coords)
  x, per_slot = blocks.pack(xt, x0, t)
  slow = blocks.unpack(regime.call(regime.params, x, per_slot, slots, label))

  @jax.jit
  def fast(params):
    x, per_copy = blocks.pack(xt, x0, level)
    return regime.denoise(params, label)(ask_lib.Ask(x, per_copy, slots)).out

  out = fast(regime.params)
  assert out.shape[1] == blocks.num_tokens
  for one, other in zip(jax.tree.leaves(out), jax.tree.leaves(slow), strict=True):
    np.testing.assert_allclose(one, other, atol=2e-5, rtol=1e-5)


def test_the_working_copy_of_a_block_is_what_one_stream_with_a_finished_past_gives(regime):
  blocks, process = regime.blocks, regime.process
  if blocks.history is None:
    pytest.skip('there is one stream in training too')
  x0, label = regime.data(), jnp.asarray(tiny.LABELS)
  level = jax.random.uniform(jax.random.key(1), (tiny.BATCH, blocks.num_blocks))
  t = blocks.per_token(level)
  xt = process.add_noise(jax.random.key(2), x0, t)
  xh = process.add_noise(jax.random.key(3), x0, jnp.full_like(t, blocks.history))
  x, levels = blocks.pack(xt, xh, t)
  training = regime.call(regime.params, x, levels, blocks.slots(regime.coords), label)
  training = blocks.unpack(training)
  slots = blocks.token_slots(regime.coords)
  for k in range(blocks.num_blocks):
    past = jnp.asarray(blocks.block_of_token < k)
    here = slots._replace(stream=past.astype(jnp.int32))
    x = tokens.pick(past[None], xh, xt)
    levels = jnp.where(past[None], blocks.history, t)
    sampling = regime.call(regime.params, x, levels, here, label)
    own = jnp.asarray(blocks.block_of_token == k)[None]
    both = tokens.pick(own, sampling, training), training
    for one, other in zip(*map(jax.tree.leaves, both), strict=True):
      np.testing.assert_allclose(one, other, atol=2e-5)


# ---- The cache is an optimisation ---------------------------------------------------------------


def close(a, b):
  """Symbols are equal, and floats as good as equal."""
  for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    assert np.all(np.isfinite(one))
    if jnp.issubdtype(one.dtype, jnp.integer):
      np.testing.assert_array_equal(one, other)
    else:
      np.testing.assert_allclose(one, other, atol=2e-4 * max(1, float(np.abs(one).max())))


def test_the_cached_sampler_returns_what_the_plain_one_does_guided_and_stochastic(regime):
  plain = regime.sampler(False)(*regime.arguments())
  cached = regime.sampler(True)(*regime.arguments())
  close(plain, cached)
  for leaf in jax.tree.leaves(plain):
    assert len(np.unique(np.asarray(leaf).reshape(tiny.BATCH, -1), axis=0)) > 1


def test_it_does_so_without_guidance():
  regime = tiny.regime('block-masked')
  plain, cached = (
    regime.sampler(cached, guided=False)(*regime.arguments()) for cached in (False, True)
  )
  close(plain, cached)


def check_exactness(name, solver, guided, delay):
  """Cached equals plain: floats in float64 to 1e-8, stochastic steps included; symbols exactly."""
  regime = tiny.regime(name)
  plan = dataclasses.replace(regime.parts.plan, delay=delay)
  gaussian_rows = not regime.process.discrete
  with jax.enable_x64(gaussian_rows), jax.numpy_dtype_promotion('standard'):
    if gaussian_rows:
      process = ancestral(regime.process, eta=1.0 if solver.calls == 1 else 0.0)
      parts = dataclasses.replace(regime.parts, process=process)
      model = dataclasses.replace(regime.model, dtype='float64')
      regime = dataclasses.replace(regime, model=model, parts=parts)
    if regime.blocks.kinds is not None:
      solver = joint.Joint({'symbols': SOLVERS[0], 'floats': solver})
    keys, label, _, none = regime.arguments()
    given = jax.tree.map(wide, regime.data())
    plain, cached = (
      regime.sampler(cached, solver=solver, guided=guided, plan=plan)(keys, label, given, none)
      for cached in (False, True)
    )
    for one, other, like in zip(*map(jax.tree.leaves, (cached, plain, given)), strict=True):
      assert other.dtype == like.dtype
      np.testing.assert_allclose(one, other, rtol=0, atol=1e-8 * float(jnp.abs(other).max()))


def ancestral(process, eta):
  """The process with this share of noise in the steps of floats."""
  if isinstance(process, joint_process.Joint):
    floats = ancestral(process.of('floats'), eta)
    return dataclasses.replace(process, kinds={**process.kinds, 'floats': floats})
  return dataclasses.replace(process, eta=eta)


def wide(leaf):
  """Floats as float64."""
  floats = jnp.issubdtype(leaf.dtype, jnp.floating)
  return jnp.asarray(np.asarray(leaf), jnp.float64 if floats else jnp.int32)


SOLVERS = (first_order.FirstOrder(), heun.Heun(), multistep.Multistep())


@pytest.mark.parametrize('name, solver, delay', [
  ('block-gaussian', SOLVERS[1], None), ('forcing-gaussian', SOLVERS[2], 3),
  ('joint_turns', SOLVERS[1], None),
])
def test_in_float64_cached_and_plain_agree_to_eight_digits(name, solver, delay):
  check_exactness(name, solver, guided=True, delay=delay)


@pytest.mark.soak
@pytest.mark.parametrize('guided', [False, True])
@pytest.mark.parametrize('delay', [None, 1, 2, 3])
@pytest.mark.parametrize('solver', SOLVERS)
@pytest.mark.parametrize('name', toy_config.ARGUMENTS)
def test_cached_and_plain_agree_for_every_row_delay_and_solver(name, solver, delay, guided):
  regime = tiny.regime(name)
  if delay is not None and regime.blocks.history is not None:
    pytest.skip('a block that reads a clean past waits for it')
  if regime.process.discrete and solver is not SOLVERS[0]:
    pytest.skip('this solver follows an ODE')
  check_exactness(name, solver, guided, delay)


def test_a_sample_does_not_depend_on_its_batch(regime):
  keys, label, given, none = regime.arguments()
  # The first example again, in another place and among other neighbours.
  others = jax.random.split(jax.random.key(77), tiny.BATCH)
  again = regime.sampler(True)(
    jnp.concatenate([others[:2], keys[:1], others[2:3]]), label[jnp.array([1, 3, 0, 2])],
    given, none,
  )
  first = regime.sampler(True)(*regime.arguments())
  close(*(jax.tree.map(lambda leaf, i=i: leaf[i], x) for x, i in ((first, 0), (again, 2))))


def test_given_tokens_are_kept_and_the_hole_is_filled(regime):
  keys, label, given, none = regime.arguments()
  hole = none.at[:, ::2].set(True)
  plain = regime.sampler(False)(keys, label, given, hole)
  keys, *_ = regime.arguments()
  cached = regime.sampler(True)(keys, label, given, hole)
  for made in (plain, cached):
    jax.tree.map(np.testing.assert_array_equal, tokens.pick(hole, made, given), given)
  close(plain, cached)
  for kind, symbols in regime.symbols(plain):
    assert int(jnp.max(symbols)) < kind.vocab


def test_a_prompt_is_a_plan_whose_first_columns_are_given():
  regime = tiny.regime('block-masked')
  plan = dataclasses.replace(regime.parts.plan, steps=4, given=1)
  keys, label, given, none = regime.arguments()
  prompt = none.at[:, :2].set(True)
  plain = regime.sampler(False, plan=plan)(keys, label, given, prompt)
  cached = regime.sampler(True, plan=plan)(regime.arguments()[0], label, given, prompt)
  np.testing.assert_array_equal(plain[:, :2], given[:, :2])
  close(plain, cached)
  # Walking through steps that change nothing comes to the same.
  full = regime.sampler(True)(regime.arguments()[0], label, given, prompt)
  np.testing.assert_array_equal(full, plain)


# ---- Who depends on whom ------------------------------------------------------------------------


def influence(blocks, *, seed=0, **arguments):
  """bool [S, S]: is the Jacobian of a random network's out[i] in x[j] other than zero?"""
  model = denoiser.Denoiser(1, 1, width=16, heads=2, **arguments)
  coords = np.arange(blocks.num_tokens)[:, None]
  params = tiny.random_params(model, gaussian.Gaussian(1, clip=0.0), blocks, coords, seed=seed)
  slots = jax.tree.map(jnp.asarray, blocks.slots(coords))  # so that every slot has an output
  t = jnp.linspace(0.2, 0.9, blocks.num_slots)[None]
  denoise = model.denoise(params)
  out = lambda x: denoise(ask_lib.Ask(x[None, :, None], t, slots)).out[0, :, 0]
  x = jax.random.normal(jax.random.key(seed), (blocks.num_slots,))
  return np.asarray(jax.jit(jax.jacrev(out))(x)) != 0


def closure(allowed, depth):
  """Who is reached through `depth` layers; a slot always reaches itself."""
  reached = np.eye(len(allowed), dtype=bool)
  for _ in range(depth):
    reached = (reached.astype(int) @ allowed.astype(int)) > 0
  return reached


@pytest.mark.parametrize('blocks', [
  blocks_lib.whole(4), blocks_lib.tokens(4), blocks_lib.equal(6, 2),
  blocks_lib.equal(6, 2, history=None), blocks_lib.scales((1, 2)),
], ids=['whole', 'tokens', 'equal', 'forcing', 'scales'])
def test_the_jacobian_is_zero_exactly_where_the_rule_forbids(blocks):
  picture = mask.picture(blocks)
  np.testing.assert_array_equal(closure(picture, 2), picture)  # the rule is closed under layers
  np.testing.assert_array_equal(influence(blocks, depth=2), picture)


@pytest.mark.parametrize('blocks', [
  blocks_lib.equal(6, 2), blocks_lib.equal(6, 2, history=None), blocks_lib.tokens(4),
], ids=['equal', 'forcing', 'tokens'])
def test_without_any_reach_a_block_depends_on_itself_alone_however_deep(blocks):
  slots = blocks.slots(np.arange(blocks.num_tokens)[:, None])
  copy = np.stack([slots.block, slots.stream])
  own = np.all(copy[:, :, None] == copy[:, None], axis=0)
  np.testing.assert_array_equal(mask.picture(blocks, reach=0), own)
  np.testing.assert_array_equal(influence(blocks, depth=2, reach=0), own)


@pytest.mark.parametrize('reach, sinks, depth', [(1, 0, 1), (1, 0, 2), (1, 1, 1), (0, 1, 2)])
def test_with_finite_reach_the_visible_past_grows_with_depth(reach, sinks, depth):
  blocks = blocks_lib.tokens(5, history=None)
  expected = closure(mask.picture(blocks, reach, sinks), depth)
  np.testing.assert_array_equal(
    influence(blocks, depth=depth, reach=reach, sinks=sinks), expected
  )
  assert not np.array_equal(expected, mask.picture(blocks))


@pytest.mark.parametrize('blocks', [
  blocks_lib.tokens(5, history=None), pytest.param(blocks_lib.equal(6, 2), marks=pytest.mark.soak),
], ids=['forcing', 'equal'])
def test_each_group_of_layers_reads_by_its_own_rule(blocks):
  reach, sinks = ((1, 1), (1, 0), (1, 0)), (0, 0, 1)
  expected = np.eye(blocks.num_slots, dtype=int)
  for (_, own), own_sinks in zip(reach, sinks, strict=True):
    expected = mask.picture(blocks, own, own_sinks).astype(int) @ expected
  np.testing.assert_array_equal(influence(blocks, depth=3, reach=reach, sinks=sinks), expected > 0)


# ---- The corner is exact ------------------------------------------------------------------------


@pytest.mark.parametrize('order', [None, (2, 0, 3, 1)])
def test_autoregressive_likelihoods_of_all_strings_sum_to_one(order):
  blocks = blocks_lib.Blocks((1,) * 4, order or tuple(range(4)))
  process, coords = masked.Masked(3), np.arange(4)[:, None]
  model = denoiser.Denoiser(4, 3, width=16, depth=2, heads=2)
  params = tiny.random_params(model, process, blocks, coords)
  strings = jnp.asarray(np.indices((3,) * 4).reshape(4, -1).T, jnp.int32)
  nats = jax.jit(lambda key: likelihood.bound(
    model.denoise(params), key, strings, blocks=blocks, process=process, coords=coords
  )[0])(jax.random.key(0))
  total = np.sum(np.exp(-np.asarray(nats, np.float64).sum(1)))
  np.testing.assert_allclose(total, 1, atol=1e-5)
  assert np.std(np.asarray(nats).sum(1)) > 0.1
