"""States of a path in one stream: what is trained is what is sampled, with a cache and without."""

import functools

import flows
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

from adiff.learn import trajectory
from adiff.nn import denoiser
from adiff.process import gaussian
from adiff.sample import cached, kept, walk
from adiff.sample.solvers import trajectory as solver_lib
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import plan as plan_lib
from adiff.sequence import states as states_lib

SOLVER = solver_lib.Trajectory()
PROCESS = gaussian.Gaussian(2, clip=0.0)
BLOCKS, COORDS, PLAN = blocks_lib.whole(3), np.arange(3)[:, None], plan_lib.Plan(1, 3)


@pytest.fixture
def doubled():
  """64 bits, whatever is mixed."""
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    yield


@functools.cache
def made(reach):
  """(a tiny network of floats, its parameters)."""
  model = denoiser.Denoiser(2, 2, width=16, depth=2, heads=2, dtype='float64', reach=reach)
  params = tiny.random_params(model, PROCESS, BLOCKS, COORDS)
  return model, jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)


def walks(reach):
  """(x after every row [R, B, N, D] by definition, x0 with the cache)."""
  model, params = made(reach)
  keys = jax.random.split(jax.random.key(1), 2)
  how = dict(blocks=BLOCKS, process=PROCESS, solver=SOLVER, coords=COORDS)

  @jax.jit
  def run(params):
    denoise, copied = model.denoise(params), jax.random.clone(keys)
    cache = model.empty_cache(2, 0, 1)
    plain = kept.rows(denoise, keys, PLAN, **how)
    return plain, cached.sample(denoise, copied, PLAN, cache, **how)

  return run(params)


@pytest.mark.usefixtures('doubled')
def test_keys_of_each_step_are_kept_for_the_layers_that_read_them_and_training_asks_the_same():
  model, params = made(((1, None), (1, 0)))
  plain, fast = walks(((1, None), (1, 0)))
  np.testing.assert_allclose(fast, plain[-1], atol=1e-8)
  # all states after the first in the stream of training, moved as its loss moves them
  noise, _ = walk.initial(jax.random.split(jax.random.key(1), 2), BLOCKS, PROCESS)
  states, levels = [noise, *plain], jnp.asarray(PLAN.matrix[:, 0], float)
  x = jnp.concatenate(states[:-1], axis=1)
  slots = states_lib.stream(BLOCKS.token_slots(COORDS), 3)
  t, s = (jnp.broadcast_to(own[None], (2, 3)) for own in (levels[:-1], levels[1:]))
  out = jax.jit(lambda x: model.denoise(params)(ask_lib.Ask(x, t, slots)).out)(x)
  t, s = (jnp.repeat(own, 3, axis=1) for own in (t, s))
  moved = PROCESS.move(x, PROCESS.x0_hat(out, x, t), t, s)
  np.testing.assert_allclose(moved, jnp.concatenate(states[1:], axis=1), atol=1e-8)


@pytest.mark.soak
@pytest.mark.usefixtures('doubled')
def test_layers_that_reach_nothing_make_each_state_of_the_one_before_alone():
  alone, _ = walks(((2, 0),))
  model, params = made(((2, 0),))
  x, levels = alone[0], PLAN.matrix[:, 0]
  t, s = (jnp.full((2, 3), level, float) for level in levels[1:3])
  out = model.denoise(params)(ask_lib.Ask(x, t, BLOCKS.token_slots(COORDS))).out
  np.testing.assert_allclose(alone[1], PROCESS.move(x, PROCESS.x0_hat(out, x, t), t, s), atol=1e-8)
  read, _ = walks(((1, None), (1, 0)))
  assert np.abs(read - alone)[1:].max() > 1e-3 > np.abs(read - alone)[0].max()


def recipe(law='normal', **own):
  """Of one token, its teacher the exact denoiser of either law."""
  process = flows.gaussian_of()
  exact = (flows.Exact if law == 'normal' else flows.Mixture)(process, maps=False)
  return flows.recipe(trajectory.Trajectory, flows.Small(process), exact, **own)


@pytest.mark.usefixtures('doubled')
@pytest.mark.parametrize('law', ['normal', pytest.param('mixture', marks=pytest.mark.soak)])
def test_the_path_that_is_taught_is_the_flow_of_either_law(law):
  of = recipe(law, states=2, inner=64)
  state, rows = of.init(jax.random.key(0)), flows.batch(jax.random.key(2), 99, law)
  setting = of.setting(rows, jax.random.key(3), 0)
  teacher = of.taught.denoise(state.params['teacher'], {'label': rows['label']})
  noise, middle, end = jax.jit(lambda key: of.path(teacher, setting, key))(jax.random.key(4))
  u = jax.scipy.special.ndtr(noise[:, 0, 0])
  expected = flows.mixture_quantiles(np.asarray(u))
  if law == 'normal':
    expected = flows.MEAN + flows.DEVIATION * noise[:, 0, 0]
    half = of.taught.model.end(noise, jnp.ones((99, 1)), jnp.full((99, 1), 0.5))
    np.testing.assert_allclose(middle, half, atol=2e-3)
  np.testing.assert_allclose(end[:, 0, 0], expected, atol=1e-2)


def test_a_step_asks_the_teacher_for_the_whole_path_and_logs_a_loss_of_each_state():
  of = recipe(states=3, inner=2, tx=optax.sgd(0.1))
  state = of.init(jax.random.key(0))
  state, scalars = of.update(state, flows.batch(jax.random.key(1), 8), jax.random.key(2))
  assert float(scalars['teacher_calls']) == 8 * 3 * 2
  assert scalars['loss_per_block'].shape == (3,)
  np.testing.assert_allclose(scalars['loss'], jnp.mean(scalars['loss_per_block']), rtol=1e-5)
  assert float(state.params['teacher']['unused']) == 0 and 'teacher' not in state.ema


@pytest.mark.soak
@pytest.mark.parametrize('law', ['normal', 'mixture'])
def test_it_finds_the_map_of_either_law(law):
  tx = optax.adam(optax.cosine_decay_schedule(5e-3, 4000))
  of = recipe(law, states=4, inner=8, tx=tx)
  state, _ = flows.trained(of, 4000, num=512, law=law)
  assert flows.missed(of, state, SOLVER, law=law, steps=4) < 0.05
