"""Distribution matching: its formulas, and that it finds the law of its teacher."""

import dataclasses

import flows
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.learn import base, matching, optim
from adiff.sample.solvers import flow_map
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import copies
from adiff.sequence import plan as plan_lib

MEAN, DEVIATION = 0.3, 0.5  # of the teacher's law
STEPS = 1000
BLOCKS = blocks_lib.tokens(2)


@dataclasses.dataclass(frozen=True, eq=False)
class Normal(flows.Exact):
  """As a nn.network.Network: the denoiser and the flow map of independent tokens, each normal with
  the parameters as its mean and the logarithm of its deviation."""

  def init(self, key, ask):
    return {'mean': jnp.float32(0), 'log': jnp.float32(0)}

  def empty_cache(self, batch, places, axes):
    return ()

  def denoise(self, params, *, key=None, loops=False):
    def out(ask):
      t = copies.levels(ask.t, ask.slots)
      s = t if ask.s is None else copies.levels(ask.s, ask.slots)
      (a_t, s_t), (a_s, s_s) = self.process.scales(t), self.process.scales(s)
      variance = jnp.exp(2 * params['log'])
      width2 = a_t**2 * variance + s_t**2
      off = ask.x - a_t * params['mean']
      here = params['mean'] + a_t * variance / width2 * off
      end = a_s * params['mean'] + jnp.sqrt((a_s**2 * variance + s_s**2) / width2) * off
      by_x0 = self.process.move(jnp.zeros_like(ask.x), jnp.ones_like(ask.x), t, s)
      rest = end - self.process.move(ask.x, jnp.zeros_like(ask.x), t, s)
      x0 = jnp.where((s < t)[..., None], rest / jnp.where(by_x0 == 0, 1, by_x0), here)
      return flows.out_of(self.process, x0, ask.x, t)

    return ask_lib.from_outputs(out)


def recipe(states, **own):
  """Of two blocks of one token that are made in two steps."""
  model = Normal(flows.gaussian_of())
  of = flows.recipe(
    matching.Matching, model, model,
    tx=optim.make(learning_rate=0.02, warmup=0, total_steps=STEPS, weight_decay=0.0, clip=None)[0],
    plan=plan_lib.Plan(2, 2), solver=flow_map.FlowMap(), states=states, **own,
  )
  plain = dataclasses.replace(of.plain, blocks=(BLOCKS,), coords=np.arange(2)[:, None])
  taught = dataclasses.replace(of.taught, blocks=(BLOCKS,))
  return dataclasses.replace(of, plain=plain, read=lambda _: taught)


def begun(of):
  """The state before the first step: teacher and critic as a workdir says."""
  state = of.init(jax.random.key(0))
  read = {'mean': jnp.float32(MEAN), 'log': jnp.float32(np.log(DEVIATION))}
  fresh = lambda: jax.tree.map(jnp.array, read)
  return state.replace(params={**state.params, base.TEACHER: fresh(), base.CRITIC: fresh()})


def rows(key, num):
  data = MEAN + DEVIATION * jax.random.normal(key, (num, 2, 1))
  return {'tokens': data, 'label': jnp.full(num, -1, jnp.int32)}


@pytest.mark.soak
@pytest.mark.parametrize('states', ['self', 'data'])
def test_three_seeds_find_the_law_of_the_teacher_to_five_hundredths(states):
  of = recipe(states)

  def run(seed):
    def step(state, index):
      keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), index))
      state, scalars = of.update(state, rows(keys[0], 128), keys[1])
      return state, scalars['finite']

    return jax.lax.scan(step, begun(of), jnp.arange(STEPS))

  with jax.debug_key_reuse(False):  # does not know that seeds differ under vmap
    state, finite = jax.jit(jax.vmap(run))(jnp.arange(3))
  student = state.params[base.DENOISER]
  assert bool(jnp.all(finite))
  np.testing.assert_allclose(student['mean'], MEAN, atol=0.05 * DEVIATION)
  np.testing.assert_allclose(jnp.exp(student['log']), DEVIATION, rtol=0.05)


def test_the_critic_moves_at_a_rate_of_its_own():
  params = {'mean': jnp.float32(1), 'log': jnp.float32(-2)}
  moves = []
  for rate in (1.0, 2.5):
    tx = recipe('data', critic_rate=rate).critic_tx
    moves.append(tx.update(params, tx.init(params), params)[0])
  for name in params:
    np.testing.assert_allclose(moves[1][name], 2.5 * moves[0][name], rtol=1e-6)


def test_the_pull_is_the_formula_in_float64_and_an_example_has_one_normaliser():
  rng = np.random.default_rng(0)
  x, real, fake = rng.normal(size=(3, 4, 6, 2))
  size = np.abs(x - real).reshape(4, -1).mean(1)[:, None, None]
  with jax.enable_x64(True):
    found = matching.pull(*map(jnp.asarray, (x, real, fake)))
    np.testing.assert_allclose(found, (fake - real) / size, rtol=1e-14)
    gradient = jax.grad(lambda x: jnp.sum(matching.pull(x, jnp.asarray(real), x)))(jnp.asarray(x))
    assert not np.any(gradient)
    nothing = matching.pull(*[jnp.asarray(x)] * 3)
    assert not np.any(nothing)


def test_the_student_descends_on_the_pull_at_what_it_made_and_moves_every_fifth_time():
  of, seen = recipe('self'), []
  state = begun(of)
  for index in range(5):
    before = state
    key = jax.random.key(index)
    state, scalars = of.update(state, rows(key, 8), jax.random.fold_in(key, 1))
    moved = [
      not np.array_equal(state.params[role]['mean'], before.params[role]['mean'])
      for role in (base.DENOISER, base.CRITIC, base.TEACHER)
    ]
    seen.append((*moved, float(scalars['teacher_calls'])))
  assert seen == [(False, True, False, 0)] * 4 + [(True, True, False, 8)]


def test_the_gradient_of_the_loss_at_what_was_made_is_the_pull_of_a_token():
  of, found = recipe('data'), {}
  state = begun(of)

  def made(params, batch, cond, key):
    x0, asked = matching.Matching._made(of, params, batch, cond, key)
    found['asked'] = asked
    return x0 + found['nudge'], asked

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(matching, 'pull', lambda x, real, fake: found.setdefault('pull', fake - real))
    patched = dataclasses.replace(of)
    object.__setattr__(patched, '_made', made)

    def loss(nudge):
      found['nudge'] = nudge
      batch = rows(jax.random.key(0), 4)
      return patched.share(state, state.params[base.DENOISER], batch, jax.random.key(1))[0]

    found['pull'] = jax.random.normal(jax.random.key(2), (4, 2, 1))
    gradient = jax.jit(jax.grad(loss))(jnp.zeros((4, 2, 1)))
  np.testing.assert_allclose(gradient, found['pull'] / 8, rtol=1e-6)
