"""A head that is a law: of a normal conditional, of a chunk of tokens, of two branches."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adiff.nn.heads import diffusion
from adiff.process import masked_vectors
from adiff.sample import walk
from adiff.sample.solvers import first_order, heun, multistep
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import plan as plan_lib

FEATURES, DIM = 3, 2
SMALL = masked_vectors.MaskedVectors(DIM, clip=0.0).small


def head(stepper=None, small=SMALL, **how):
  stepper = first_order.FirstOrder() if stepper is None else stepper
  how = dict(width=8, depth=1, steps=3) | how
  return diffusion.Diffusion(process=small, stepper=stepper, **how)


def bound(one, dim=DIM, features=FEATURES):
  """The head with random parameters."""
  params = one.init(jax.random.key(0), features, dim)
  rng = np.random.default_rng(0)
  params = jax.tree.map(lambda leaf: jnp.float32(0.4 * rng.normal(size=leaf.shape)), params)
  return one.bind(params, jnp.float32)


def features(shape, seed=3):
  return jax.random.normal(jax.random.key(seed), (*shape, FEATURES))


def keys(shape, seed=1):
  return jax.random.split(jax.random.key(seed), shape)


# ---- The law -------------------------------------------------------------------------------------

SLOPE, SPREAD = 0.8, 0.6  # of a chain x_i = SLOPE x_(i-1) + SPREAD noise


def chain(key_past, key_own):
  """Features and tokens: pairs (x_(i-1), x_i) of the chain."""
  past = jax.random.uniform(key_past, (8, 16, 1), minval=-1.5, maxval=1.5)
  return past, SLOPE * past + SPREAD * jax.random.normal(key_own, past.shape)


def trained(one, steps, pairs=chain, ask=None):
  """The head after training on pairs(key, key)."""
  params = one.init(jax.random.key(0), 1, 1)
  tx = optax.adam(optax.cosine_decay_schedule(1e-2, steps))

  def update(carry, key):
    params, opt = carry
    key_past, key_own, key_loss = jax.random.split(key, 3)
    past, x0 = pairs(key_past, key_own)

    def loss(params):
      own, share = one.bind(params, jnp.float32), jnp.full(x0.shape[:2], 1 / x0[..., 0].size)
      return own.loss(past, key_loss, ask, lambda cost, _: cost, share, x0)[0]

    with jax.numpy_dtype_promotion('standard'):
      updates, opt = tx.update(jax.grad(loss)(params), opt, params)
    return (optax.apply_updates(params, updates), opt), None

  def run(key):
    carry, _ = jax.lax.scan(update, (params, tx.init(params)), jax.random.split(key, steps))
    return carry[0]

  return one.bind(jax.jit(run)(jax.random.key(1)), jnp.float32)


def test_the_head_learns_the_conditional_law_of_a_linear_gaussian_chain():
  small = masked_vectors.MaskedVectors(1, clip=0.0).small
  one = trained(head(heun.Heun(), small, width=16, depth=1, multiply=4, steps=12), 700)
  past = jnp.linspace(-1, 1, 3)
  h = jnp.broadcast_to(past[:, None, None], (3, 1024, 1))
  made = np.asarray(jax.jit(one._sample)(h, keys((3, 1024))))[..., 0]
  np.testing.assert_allclose(made.mean(1), SLOPE * past, atol=0.05)
  np.testing.assert_allclose(made.std(1), SPREAD, rtol=0.08)
  x0 = SLOPE * h + SPREAD * jax.random.normal(jax.random.key(4), h.shape)
  nats = float(np.mean(one.bound(h, jax.random.key(5), None, x0)))
  exact = 0.5 * np.log(2 * np.pi * np.e * SPREAD**2)
  assert exact - 0.03 < nats < exact + 0.15, (nats, exact)


RHO = 0.9  # of two tokens of a block


def asked(sizes):
  """An Ask of blocks of these sizes, in one stream."""
  num = sum(sizes)
  slots = blocks_lib.Blocks(sizes, tuple(range(num))).token_slots(np.zeros((num, 1)))
  return ask_lib.Ask(jnp.zeros((1, num, 1)), jnp.ones((1, num)), slots)


def correlated(key, key_other):
  noise, own = jax.random.normal(key, (64, 2, 1)), jax.random.normal(key_other, (64, 1, 1))
  share = np.sqrt(RHO)
  return jnp.zeros((64, 2, 1)), share * own + np.sqrt(1 - share**2) * noise


@pytest.mark.soak
def test_a_head_over_whole_blocks_learns_how_their_tokens_depend_on_each_other():
  small = masked_vectors.MaskedVectors(1, clip=0.0).small
  ask = asked((2,))
  one = head(heun.Heun(), small, width=16, depth=2, together=2, multiply=4, steps=12)
  one = trained(one, 700, correlated, ask)
  h, x0 = jnp.zeros((2048, 2, 1)), np.concatenate([
    correlated(*jax.random.split(key))[1] for key in jax.random.split(jax.random.key(7), 32)
  ])
  made = np.asarray(jax.jit(one._sample)(one.read(h, ask), keys((2048, 2))))[..., 0]
  np.testing.assert_allclose(np.cov(made.T), [[1, RHO], [RHO, 1]], atol=0.12)
  nats = 2 * float(np.mean(jax.jit(
    lambda key: one.bound(h, key, ask, jnp.asarray(x0))
  )(jax.random.key(5))))
  exact = np.log(2 * np.pi * np.e) + 0.5 * np.log(1 - RHO**2)
  assert exact - 0.06 < nats < exact + 0.3, (nats, exact)


def test_over_whole_blocks_a_token_hears_of_those_of_its_block_and_of_no_other():
  ask, t = asked((1, 3, 2)), jnp.full((1, 6), 0.5)
  one = bound(head(together=2))
  out = one.read(features((1, 6)), ask)
  x = jax.random.normal(jax.random.key(5), (1, 6, DIM))
  jacobian = jax.jit(jax.jacrev(lambda x: one._out(x, t, out)[0]))(x)[:, :, 0]
  heard = np.abs(jacobian).max((1, 3)) > 1e-7
  block = ask.slots.block
  np.testing.assert_array_equal(heard, block[:, None] == block[None])


def test_samples_of_a_token_attend_apart_as_examples_do():
  ask, one = asked((1, 3)), bound(head(together=2, multiply=3))
  x, t = jax.random.normal(jax.random.key(5), (2, 12, DIM)), jnp.full((2, 12), 0.5)
  h = one.read(features((2, 4)), ask)
  whole = one._out(x, t, jnp.repeat(h, 3, axis=1), 3).reshape(2, 4, 3, DIM)
  for i in range(3):
    own = one._out(x.reshape(2, 4, 3, DIM)[:, :, i], t[:, :4], h)
    np.testing.assert_allclose(whole[:, :, i], own, atol=1e-6)


# ---- Fast and slow -------------------------------------------------------------------------------


@pytest.mark.parametrize('stepper', [
  first_order.FirstOrder(), pytest.param(multistep.Multistep(), marks=pytest.mark.soak),
])
def test_trunk_once_and_head_every_step_is_everything_at_every_step(stepper):
  # The slow way: a walk whose network is trunk and head together, asked at every small step.
  one, raw = bound(head(stepper)), features((2, 4))
  trunk = jax.nn.tanh

  def everything(ask):
    return one._out(ask.x, ask.t, trunk(raw))

  @jax.jit
  def both(keys):
    of_tokens = walk.token_keys(jax.random.clone(keys), 0, 4)
    return one.law(one.read(trunk(raw), None))(of_tokens, jnp.ones((2, 4), bool)), walk.sample(
      ask_lib.from_outputs(everything), keys, plan_lib.Plan(1, one.steps),
      blocks=blocks_lib.Blocks((4,), (0, 1, 2, 3)), process=SMALL, solver=stepper,
      coords=np.zeros((4, 1)),
      given=jnp.zeros((2, 4, DIM)), given_mask=jnp.zeros((2, 4), bool))

  fast, slow = both(keys((2,)))
  np.testing.assert_allclose(fast, slow, atol=1e-5)


def test_only_wanted_tokens_are_sampled_and_none_depends_on_the_others():
  one, num = bound(head()), 40
  h, shape = features((3, num)), (3, num)
  wanted = jnp.arange(num)[None] % jnp.array([[2], [40], [3]]) == 0
  whole = jax.jit(one._sample)(h, keys(shape))
  law = jax.jit(one.sample)
  np.testing.assert_allclose(law(h, keys(shape), wanted)[wanted], whole[wanted], atol=1e-5)
  alone = law(h[1:2], keys(shape)[1:2], wanted[1:2])
  np.testing.assert_allclose(alone[0, 0], whole[1, 0], atol=1e-5)
  none = law(h, keys(shape), jnp.zeros_like(wanted))
  np.testing.assert_array_equal(none, 0)


def test_guidance_moves_every_small_step_by_the_weight():
  one = bound(head())
  one_h, null_h = features((2, 2)), features((2, 2), 4)
  both, wanted = jnp.concatenate([one_h, null_h]), jnp.ones((2, 2), bool)
  sample = jax.jit(one.sample)
  for weight, same in ((1.0, one_h), (0.0, null_h)):
    out = one.combined(both, (jnp.full((2, 2), weight),))
    guided, alone = (sample(h, keys((2, 2)), wanted) for h in (out, same))
    np.testing.assert_allclose(guided, alone, atol=1e-5)


def test_guidance_goes_past_the_condition_by_the_weight():
  one, (x, t) = bound(head()), (jnp.ones((2, 2, DIM)), jnp.full((2, 2), 0.5))
  own, null = features((2, 2)), features((2, 2), 4)
  out = one.combined(jnp.concatenate([own, null]), (jnp.full((2, 2), 3.0),))
  with_label, without = (one._out(x, t, h) for h in (own, null))
  np.testing.assert_allclose(
    one._branches(out, x, t), without + 3 * (with_label - without), atol=1e-5
  )


def test_the_mean_over_more_samples_of_noise_is_the_same_loss():
  x0, h, weight = jnp.ones((8, 16, DIM)), features((8, 16)), jnp.ones((8, 16))
  few, many = (
    float(bound(head(multiply=multiply)).loss(
      h, jax.random.key(2), None, lambda cost, _: cost, weight, x0)[0]) / 128
    for multiply in (1, 64)
  )
  assert abs(few / many - 1) < 0.4
