"""Both recipes of codecs: what they descend on, in parts and on meshes, and their critic."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adiff.learn import adversarial, autoencoder, base, optim, reconstruction
from adiff.learn import critic as critic_lib
from adiff.machine import sharding
from adiff.nn import autoencoder as autoencoder_lib
from adiff.nn import conv
from adiff.nn.quantisers import fsq

MESHES = {
  'data 8': dict(data=8), 'fsdp 8': dict(data=1, fsdp=8), 'data 2 x fsdp 4': dict(data=2, fsdp=4),
}
ROWS, GRID, DIM = 16, (4, 4), 2


@functools.cache
def recipe(kind=autoencoder.Autoencoder, **how):
  tx, _ = optim.make(learning_rate=1e-2, schedule='constant', warmup=0, total_steps=99)
  how = {'ema': 0.9, 'microbatches': 1, 'tx': tx} | how
  quantiser = fsq.Fsq((5, 5, 5))
  coder = conv.Conv(GRID, DIM, quantiser.num_channels, (8,))
  return kind(autoencoder=autoencoder_lib.Autoencoder(coder, quantiser), **how)


@functools.cache
def batch():
  """Waves."""
  rng = np.random.default_rng(0)
  place = np.arange(16) / 4 + rng.uniform(0, 6, (ROWS, 1))
  tokens = np.stack([np.sin(place), np.cos(place)], -1).astype(np.float32)
  return {'tokens': jnp.asarray(tokens), 'label': jnp.zeros(ROWS, jnp.int32)}


def steps(of, num):
  """(states, scalars), one after each of `num` updates."""
  found, state = [], of.init(jax.random.key(0))
  for _ in range(num):
    state, scalars = of.update(state, batch(), jax.random.fold_in(jax.random.key(1), state.step))
    found.append((state, scalars))
  return found


def same(ours, theirs, rtol=1e-5):
  largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(theirs))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(
    np.asarray(a), np.asarray(b), rtol=rtol, atol=1e-5 * largest), ours, theirs)


def test_it_learns_to_copy_and_serves_the_average_of_its_parameters():
  of = recipe(l1=1.0, l2=0.5)
  found = steps(of, 60)
  assert found[-1][1]['mse'] < 0.25 * found[0][1]['mse']
  state, scalars = found[-1]
  served = of.served(state)
  assert served['params'] is state.ema[base.CODEC] and served['extra'] == {}
  assert scalars['finite'] and scalars['grad_norm'] > 0 and state.step == 60
  np.testing.assert_allclose(scalars['loss'], scalars['l1'] + 0.5 * scalars['mse'], rtol=1e-6)


def test_a_perceptual_distance_is_added_by_its_weight():
  x, y = batch()['tokens'], batch()['tokens'] * 0.5
  of = reconstruction.Distance(0.0, 0.0, 3.0, lambda x, y: jnp.mean(x / y))
  total, terms = of(x, y)
  np.testing.assert_allclose([total, terms['perceptual']], [6.0, 2.0], rtol=1e-6)


KINDS = {
  'autoencoder': (autoencoder.Autoencoder, {}),
  'adversarial': (adversarial.Adversarial, dict(
    start=0, critic_widths=(8,), penalty='r1', penalty_weight=0.1)),
}


PARTS = {'autoencoder': 2, 'adversarial': 1}  # of a batch; each has an adaptive weight of its own


@functools.cache
def descent(kind):
  """The recipe with steps that are the gradient."""
  chosen, how = KINDS[kind]
  return dataclasses.replace(recipe(chosen, **how), tx=optax.sgd(1.0))


@functools.cache
def alone(kind):
  """The state after a step on one device."""
  return steps(descent(kind), 1)[0][0]


@pytest.mark.skipif(jax.device_count() != 8, reason='needs 8 devices')
@pytest.mark.soak
@pytest.mark.parametrize('mesh', MESHES)
@pytest.mark.parametrize('kind', ['autoencoder', 'adversarial'])
def test_a_step_on_a_mesh_in_micro_batches_is_that_of_one_device_in_one_go(kind, mesh):
  of, wanted = dataclasses.replace(descent(kind), microbatches=PARTS[kind]), alone(kind)
  mesh = sharding.make_mesh(**MESHES[mesh])
  before = of.init(jax.random.key(0))
  placed = sharding.state_shardings(mesh, before, min_size=1)
  with jax.set_mesh(mesh):
    update = jax.jit(of.update, out_shardings=(placed, sharding.replicated(mesh)))
    rows = sharding.put_batch(mesh, jax.tree.map(np.asarray, batch()), ROWS)
    key = jax.random.fold_in(jax.random.key(1), 0)
    state, _ = update(jax.device_put(before, placed), rows, key)
  same(jax.device_get(state.params), jax.device_get(wanted.params))
  extra = [jax.tree.leaves(jax.device_get(one.extra)) for one in (state, wanted)]
  np.testing.assert_allclose(*extra, rtol=1e-5)


# The critic.


@pytest.mark.soak
def test_before_its_critic_comes_in_it_is_the_recipe_without_one():
  plain = recipe(l1=1.0, l2=0.5)
  other = recipe(adversarial.Adversarial, l1=1.0, l2=0.5, start=2, critic_widths=(8,))
  ours, theirs = steps(other, 3), steps(plain, 3)
  begun = ours[0][0].params[base.CRITIC]
  for number in range(2):
    same(ours[number][0].params[base.CODEC], theirs[number][0].params[base.CODEC])
    jax.tree.map(np.testing.assert_array_equal, ours[number][0].params[base.CRITIC], begun)
    assert ours[number][1]['adversarial_weight'] == 0
  assert ours[2][1]['adversarial_weight'] > 0
  moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), ours[2][0].params[base.CRITIC], begun)
  assert max(jax.tree.leaves(moved)) > 0
  assert set(ours[2][0].ema) == {base.CODEC}


@pytest.mark.soak
def test_its_gradient_is_that_of_the_distance_and_the_weighted_term_and_the_critics_own():
  of = descent('adversarial')
  state = of.init(jax.random.key(0))
  params, x = state.params, batch()['tokens']
  grads, _, told = jax.jit(of.gradient)(
    params, state.extra, batch(), jax.random.key(3), jnp.float32(1.0)
  )

  def made(own):
    h, _ = of.autoencoder.features(own, {}, x, None)  # of fsq, which samples nothing
    return of.autoencoder.coder.read(own['coder']['head'], h)

  def terms(own):
    y = made(own)
    return jnp.mean(jnp.abs(y - x)), -jnp.mean(of.critic(params[base.CRITIC], y))

  pull, push = jax.jit(lambda own: [
    jax.grad(lambda own: terms(own)[0])(own), jax.grad(lambda own: terms(own)[1])(own)
  ])(params[base.CODEC])
  last = lambda tree: float(jnp.linalg.norm(tree['coder']['head']['kernel']))
  weight = 0.5 * last(pull) / (last(push) + 1e-4)
  np.testing.assert_allclose(told['adversarial_weight'], weight, rtol=1e-4)
  wanted = jax.tree.map(lambda a, b: a + weight * b, pull, push)
  same(grads[base.CODEC], wanted, rtol=1e-4)

  def critic(own):
    logits = functools.partial(of.critic, own)
    return critic_lib.critic_loss('hinge', logits(x), logits(made(params[base.CODEC]))) + (
      0.1 * critic_lib.r1(logits, x))

  same(grads[base.CRITIC], jax.jit(jax.grad(critic))(params[base.CRITIC]), rtol=1e-4)


def test_losses_of_a_critic_are_their_formulas_in_double_precision():
  rng = np.random.default_rng(0)
  real, fake = rng.normal(size=(2, 3, 5)) * 2
  softplus, relu = lambda x: np.log1p(np.exp(x)), lambda x: np.maximum(x, 0)
  wanted = {
    'hinge': (0.5 * (relu(1 - real) + relu(1 + fake)).mean(), -fake.mean()),
    'softplus': (0.5 * (softplus(-real) + softplus(fake)).mean(), softplus(-fake).mean()),
    'relativistic': (softplus(fake - real).mean(), softplus(real - fake).mean()),
  }
  for form, (critic, maker) in wanted.items():
    pair = jnp.asarray(real, jnp.float32), jnp.asarray(fake, jnp.float32)
    np.testing.assert_allclose(critic_lib.critic_loss(form, *pair), critic, rtol=1e-5)
    np.testing.assert_allclose(critic_lib.maker_loss(form, *pair), maker, rtol=1e-5)
  memory = {'real': jnp.float32(0.3), 'fake': jnp.float32(-0.2)}
  lecam = (relu(real + 0.2) ** 2).mean() + (relu(0.3 - fake) ** 2).mean()
  np.testing.assert_allclose(critic_lib.lecam(*pair, memory), lecam, rtol=1e-5)


def test_r1_of_a_linear_critic_is_half_the_square_of_its_weights():
  weights = jnp.asarray([[1.0, 2.0], [3.0, -1.0]])
  x = jnp.ones((5, 2, 2))
  logits = lambda x: jnp.einsum('bnd,nd->b', x, weights)[:, None]
  np.testing.assert_allclose(critic_lib.r1(logits, x), 7.5, rtol=1e-6)


def test_the_weight_makes_both_gradients_alike_and_is_bounded():
  one, other = jnp.full((3, 3), 2.0), jnp.full((3, 3), 0.5)
  np.testing.assert_allclose(adversarial.adaptive_weight(one, other), 4.0, rtol=1e-3)
  assert adversarial.adaptive_weight(1e9 * one, 0 * other) == 1e4
