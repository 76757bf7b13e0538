"""Examples of noise in one call: what both networks descend on, and what the walk makes."""

import contextlib
import dataclasses
import functools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adiff.judge.metrics import energy
from adiff.learn import base
from adiff.learn import critic as critic_lib
from adiff.machine import checkpoint, manifest, sharding
from adiff.run import build, generate, made, model, train
from adiff.sequence import ask as ask_lib
from configs import generators


def config():
  """Four points on a plane, made of two floats of noise."""
  c = generators.get_config('gan-toy').unlock()
  c.data.components, c.data.size, c.model.widths, c.model.blocks = 4, 8192, (24,), 1
  c.recipe.critic_widths, c.recipe.critic_blocks, c.train.batch_size = (24,), 1, 64
  c.optim.schedule, c.optim.warmup, c.train.ema = 'constant', 0, 0.98
  return c


@functools.cache
def parts():
  return build.build(config())


def rows(start=0):
  return parts().coded.examples('train', np.arange(start, start + 64))


@pytest.mark.soak
def test_each_network_descends_on_its_own_loss_of_the_same_examples():
  of = parts().recipe
  state = of.init(jax.random.key(0))
  params, x, labels = state.params, jnp.asarray(rows()['tokens']), rows()['label']

  @jax.jit
  def found(key):
    return of.gradient(params, state.extra[base.CRITIC], rows(), key)[0]

  @jax.jit
  def wanted(key):
    key_noise = jax.random.split(key, 3)[0]
    fake = lambda maker: of.made(of.network(maker), jax.random.clone(key_noise), 64)
    logits = lambda own, x: of.critic(own, x, labels)

    def maker(own):
      critic = params[base.CRITIC]
      return critic_lib.maker_loss('relativistic', logits(critic, x), logits(critic, fake(own)))

    def critic(own):
      y = fake(params[base.DENOISER])
      penalty = sum(critic_lib.r1(functools.partial(logits, own), one) for one in (x, y))
      both = logits(own, x), logits(own, y)
      return critic_lib.critic_loss('relativistic', *both) + 0.1 * penalty

    return {
      base.DENOISER: jax.grad(maker)(params[base.DENOISER]),
      base.CRITIC: jax.grad(critic)(params[base.CRITIC]),
    }

  one, other = found(jax.random.key(3)), wanted(jax.random.key(3))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), one, other)


@pytest.mark.soak
def test_it_learns_a_law_and_is_sampled_as_it_was_trained():
  own, num = parts(), 512
  of, state = own.recipe, own.recipe.init(jax.random.key(0))
  sample, real = generate.make_sampler(own), own.coded.examples('test', np.arange(num))['tokens']

  def distance(state):
    keys = generate.example_keys(0, 0, num)
    x, calls = sample(of.served(state), keys, np.full(num, -1, np.int32))
    assert set(calls.tolist()) == {1}
    return energy.distance(real, x), x

  before, _ = distance(state)
  for step in range(300):
    state, scalars = of.update(state, rows(step * 64 % 8000), jax.random.key(step))
  after, x = distance(state)
  assert after < 0.4 * before, (before, after)
  assert own.source.law_test(np.resize(x, (4096, 1, 2)))['modes']['covered'] == 4
  assert scalars['finite'] and set(state.ema) == {base.DENOISER}
  noise = own.process.prior(
    jax.vmap(lambda key: jax.random.fold_in(jax.random.fold_in(key, 0), 0))(
      generate.example_keys(0, 0, num))[:, None], (num, 1))
  made_here = of.network(of.served(state)).trunk(
    ask_lib.Ask(noise, jnp.ones((num, 1)), own.blocks.slots(own.spec.coords)))[0]
  np.testing.assert_allclose(made_here, x, atol=1e-5)


@pytest.mark.soak
def test_both_networks_go_on_from_the_disk_bit_for_bit(tmp_path):
  of = parts().recipe

  def after(state, steps):
    for step in steps:
      state, _ = of.update(state, rows(step * 64), jax.random.key(step))
    return state

  half = after(of.init(jax.random.key(0)), range(2))
  with contextlib.closing(checkpoint.Checkpoints(tmp_path)) as keeper:
    keeper.save(2, half)
    step, restored = keeper.restore(jax.eval_shape(of.init, jax.random.key(0)))
  assert step == 2 and set(restored.opt) == {base.DENOISER, base.CRITIC}
  whole, resumed = (after(state, range(2, 5)) for state in (half, restored))
  jax.tree.map(np.testing.assert_array_equal, resumed, whole)


@pytest.mark.soak
def test_a_run_that_was_killed_ends_bit_for_bit_where_the_other_one_did(tmp_path):
  c, (whole, again) = config(), (tmp_path / 'whole', tmp_path / 'again')
  c.train.steps, c.train.checkpoint_every, c.train.eval_every, c.train.keep = 4, 2, 0, 5
  c.train.microbatches, c.eval.num = 2, 2048
  assert train.train(c, whole, progress=False) == 0
  shutil.copytree(whole, again)
  for place in (manifest.folder(again, 4), manifest.path(again, 4)):
    shutil.rmtree(place, ignore_errors=True)
  assert train.train(c, again, progress=False) == 0
  (step, ours), (_, theirs) = (checkpoint.restore_arrays(one) for one in (again, whole))
  assert step == 4 and set(theirs['params']) == {base.DENOISER, base.CRITIC}
  assert set(theirs['opt']) == {base.DENOISER, base.CRITIC}
  jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.mark.parametrize('change, words', [
  (dict(recipe=dict(name='plain')), 'recipe.name=gan'),
  (dict(plan__steps=2), 'in one call'),
  (dict(model__latent=3), 'at most'),
  (dict(train__given=0.5), 'is about noise and blocks'),
  (dict(cond_dropout=0.1), 'hides no labels'),
])
def test_what_cannot_work_is_refused_in_words(change, words):
  c = generators.get_config('gan-toy').unlock()
  for key, value in change.items():
    section, _, name = key.partition('__')
    if name:
      c[section][name] = value
    else:
      c[key] = value
  with pytest.raises(ValueError, match=words):
    build.build(c)


def test_it_has_no_likelihood_and_says_so():
  own = parts()
  params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), jax.eval_shape(
    lambda: own.recipe.init(jax.random.key(0)).ema[base.DENOISER]))
  of = model.Model(own, params)
  with pytest.raises(ValueError, match='has no likelihood'):
    of.score(np.zeros((1, 1, 2), np.float32))
  c = generators.get_config('gan-toy')
  c.eval.orders = 2
  with pytest.raises(ValueError, match='no likelihood'):
    made.check(build.build(c))


@pytest.mark.soak
@pytest.mark.skipif(jax.device_count() != 8, reason='needs 8 devices')
@pytest.mark.parametrize('axes', [
  dict(data=8), dict(data=1, fsdp=8), dict(data=2, fsdp=4),
], ids=['data 8', 'fsdp 8', 'data 2 x fsdp 4'])
def test_a_step_on_a_mesh_is_that_of_one_device(axes):
  of, mesh = dataclasses.replace(parts().recipe, tx=optax.sgd(1.0)), sharding.make_mesh(**axes)
  before = of.init(jax.random.key(0))
  wanted, _ = of.update(before, rows(), jax.random.key(1))
  placed = sharding.state_shardings(mesh, before, min_size=1)
  with jax.set_mesh(mesh):
    update = jax.jit(of.update, out_shardings=(placed, sharding.replicated(mesh)))
    batch = sharding.put_batch(mesh, {name: rows()[name] for name in ('tokens', 'label')}, 64)
    state, _ = update(jax.device_put(before, placed), batch, jax.random.key(1))
  for one, other in zip(*map(jax.tree.leaves, (state.params, wanted.params)), strict=True):
    np.testing.assert_allclose(np.asarray(one), other, rtol=1e-5, atol=1e-5 * np.abs(other).max())
