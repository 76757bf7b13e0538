"""The U-Net: what it reads, how it is walked, what it cannot serve, its published size."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

from adiff.machine import cost, sharding
from adiff.nn import network, unet
from adiff.process import gaussian
from adiff.run import build
from adiff.sample import session, walk
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import conditions
from configs import base

CONDS = {'label': conditions.Label(3)}
MODEL = unet.Unet(2, 2, (4, 2), CONDS, widths=(8, 16), blocks=1, head_width=8)
WHOLE = blocks_lib.whole(8)
COORDS = np.zeros((8, 2), int)


@functools.cache
def params(model=MODEL):
  """Parameters without zeros."""
  return tiny.random_params(
    _Wide(model), gaussian.Gaussian(2), WHOLE, COORDS)


@dataclasses.dataclass(frozen=True)
class _Wide:
  """A network with the width that tiny.random_params scales parameters by."""

  of: network.Network
  width = 64

  def init(self, key, ask):
    return self.of.init(key, ask)


def run(params, x, t, label, model=MODEL):
  label = jnp.broadcast_to(jnp.asarray(label)[:, None], x.shape[:2])
  return model.denoise(params)(ask_lib.Ask(x, t, WHOLE.slots(COORDS), cond={'label': label})).out


compiled = jax.jit(run)
X = jax.random.normal(jax.random.key(0), (2, 8, 2))
T = jnp.array([[0.3], [0.8]])
LABEL = np.array([1, -1])


def call(x, t, label):
  return compiled(params(), x, t, np.asarray(label))


def test_an_output_is_a_matter_of_all_places_of_its_example_the_level_and_the_label():
  before = call(X, T, LABEL)
  assert before.shape == X.shape
  others = (
    call(X.at[0, 7].add(1.0), T, LABEL), call(X, T.at[0].add(0.1), LABEL), call(X, T, [2, -1]),
  )
  for after in others:
    assert float(jnp.min(jnp.max(jnp.abs(after[0] - before[0]), axis=-1))) > 1e-5
    np.testing.assert_allclose(after[1], before[1], atol=1e-5)


def test_a_token_that_is_given_is_read_and_the_level_stays_that_of_the_others():
  whole = call(X, T, LABEL)
  np.testing.assert_allclose(
    call(X, jnp.broadcast_to(T, (2, 8)).at[:, 3].set(0.0), LABEL), whole, atol=1e-5)
  assert float(jnp.max(jnp.abs(call(X.at[:, 3].add(1.0), T, LABEL) - whole))) > 1e-3


def test_at_its_initial_values_it_says_nothing():
  ask = ask_lib.Ask(X, T, WHOLE.slots(COORDS))
  fresh = jax.eval_shape(lambda key: MODEL.init(key, ask), jax.random.key(0))
  assert jax.tree.structure(fresh) == jax.tree.structure(params())
  silent = {**params(), 'out': jax.tree.map(jnp.zeros_like, params()['out'])}
  np.testing.assert_array_equal(compiled(silent, X, T, LABEL), 0)


@functools.cache
def parts(**changes):
  """The config of a U-Net on eight floats in a row; changes: SECTION__KEY=value."""
  c = base.get_config()
  base.choose(c, 'data', 'mixture', num_tokens=4, dim=2, size=64)
  base.choose(c, 'blocks', 'whole')
  base.choose(c, 'process', 'gaussian', eta=1.0)
  base.choose(c, 'model', 'unet', widths=(8,), blocks=1, attend=(), head_width=8)
  c.plan.steps, c.train.batch_size = 3, 16
  for key, value in changes.items():
    section, _, name = key.partition('__')
    if name == 'name':
      base.choose(c, section, value)
    else:
      c[section][name] = value
  return build.build(c)


@pytest.mark.soak
def test_a_session_makes_what_the_plain_walk_makes_on_a_grid_of_one_axis():
  own = parts()
  fresh = jax.eval_shape(own.recipe.born, jax.random.key(0))
  rng = np.random.default_rng(0)
  weights = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) * 0.3, 'f'), fresh)
  keys, label = jax.random.split(jax.random.key(1), 3), jnp.array([0, 1, -1])
  how = dict(blocks=own.blocks, process=own.process, solver=own.solver, coords=own.spec.coords)

  def bind(params):
    return network.condition(own.model.denoise(params), {'label': label})

  @jax.jit
  def both(params, keys):
    walked = session.Session(own.model, bind, own.plan, **how)
    return (
      walked.finish(params, walked.start(keys)).x, walk.sample(bind(params), keys, own.plan, **how)
    )

  made, plain = both(weights, keys)
  np.testing.assert_allclose(made, plain, atol=1e-5)
  assert len(np.unique(np.asarray(made).reshape(3, -1), axis=0)) == 3


@pytest.mark.parametrize('changes, words', [
  (dict(blocks__name='tokens'), 'write blocks.name=whole'),
  (dict(blocks__name='backwards', blocks__size=4), 'another order; write blocks.name=whole'),
  (dict(train__block_sizes=(2,)), 'no train.block_sizes'),
  (dict(data__name='chain', process__name='masked'), 'vectors of one kind'),
  (dict(data__num_tokens=6, model__widths=(8, 8, 8)), 'multiples of 4 places'),
  (dict(train__given=0.5), 'write train.given=0.0'),
  (dict(mesh__tensor=2), 'a larger mesh.fsdp'),
  (dict(model__attend=(2,)), 'names grids'),
  (dict(model__head_width=3), 'multiples of model.head_width'),
])
def test_what_it_cannot_serve_is_refused_in_words(changes, words):
  with pytest.raises(ValueError, match=words):
    parts(**changes)


@pytest.mark.soak
def test_recomputing_changes_no_gradient_and_costs_what_it_says():
  def loss(policy):
    model = MODEL.recomputing(policy)
    return lambda params: jnp.mean(jnp.sin(run(params, X, T, LABEL, model)))

  found = {policy: jax.jit(jax.grad(loss(policy)))(params()) for policy in unet.REMAT}
  for policy in unet.REMAT:
    for a, b in zip(*map(jax.tree.leaves, (found['none'], found[policy])), strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
  work = {policy: cost.count(jax.grad(loss(policy)), params()).flops for policy in unet.REMAT}
  assert work['none'] == work['dots'] < work['layers']


@pytest.mark.soak
@pytest.mark.skipif(jax.device_count() != 8, reason='needs 8 devices')
@pytest.mark.parametrize('axes', [dict(data=8), dict(data=2, fsdp=4)], ids=['data', 'both'])
def test_a_step_on_a_mesh_is_that_of_one_device(axes):
  of, mesh = dataclasses.replace(parts().recipe, tx=optax.sgd(1.0)), sharding.make_mesh(**axes)
  before = of.init(jax.random.key(0))
  rows = parts().coded.examples('train', np.arange(16))
  batch = {name: rows[name] for name in ('tokens', 'label')}
  wanted, _ = of.update(before, batch, jax.random.key(1))
  placed = sharding.state_shardings(mesh, before, min_size=1)
  with jax.set_mesh(mesh):
    update = jax.jit(of.update, out_shardings=(placed, sharding.replicated(mesh)))
    rows = sharding.put_batch(mesh, batch, 16)
    state, _ = update(jax.device_put(before, placed), rows, jax.random.key(1))
  for one, other in zip(*map(jax.tree.leaves, (state.params, wanted.params)), strict=True):
    np.testing.assert_allclose(np.asarray(one), other, rtol=1e-4, atol=1e-5)
