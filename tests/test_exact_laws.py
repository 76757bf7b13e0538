"""Exact answers: the order of every solver, and the laws and entropies of known data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.data import chain as chain_lib
from adiff.data import coupled as coupled_lib
from adiff.data import mixture as mixture_lib
from adiff.judge import likelihood
from adiff.process import gaussian, masked, uniform
from adiff.process import joint as joint_process
from adiff.sample import joint, walk
from adiff.sample.solvers import first_hitting, first_order, heun, multistep
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import plan as plan_lib
from adiff.sequence import tokens

# ---- The order of a solver ----------------------------------------------------------------------


def slope(solver, counts):
  """Fitted order of the error on Gaussian data with a known denoiser, from level 0.95 to 0.05.

  At the very ends one step is of first order in log SNR, which adds a logarithm to the slope.
  """
  process = gaussian.Gaussian(1, prediction='x0', clip=0.0)
  mean, std = 0.4, 0.6

  def call(x, t, s):
    alpha, sigma = process.scales(t)
    return mean + alpha * std**2 / (alpha**2 * std**2 + sigma**2) * (x - alpha * mean)

  def exact(x, t, s):
    spread = lambda a, b: jnp.sqrt(a**2 * std**2 + b**2)
    start, end = process.scales(t), process.scales(s)
    return end[0] * mean + spread(*end) / spread(*start) * (x - start[0] * mean)

  @jax.jit
  def error(grid):
    def row(state, now):
      x, memory = state
      t, s = (jnp.full((1, 1), level) for level in now)
      return solver.step(call, call(x, t, s), process, None, x, t, s, memory), None

    x = jnp.full((1, 1, 1), 1.5)
    (end, _), _ = jax.lax.scan(row, (x, solver.init(x)), (grid[:-1], grid[1:]))
    first, last = (level.reshape(1, 1) for level in (grid[0], grid[-1]))
    return jnp.abs(end - exact(x, first, last))[0, 0, 0]

  errors = [float(error(jnp.linspace(0.95, 0.05, count + 1))) for count in counts]
  return -np.polyfit(np.log(counts), np.log(errors), 1)[0]


@pytest.mark.parametrize('solver, order, counts', [
  (first_order.FirstOrder(), 1, (16, 32, 64)),
  (heun.Heun(), 2, (8, 16, 32)),
  (multistep.Multistep(), 2, (8, 16, 32)),
])
def test_solvers_converge_at_their_order(solver, order, counts):
  assert abs(slope(solver, counts) - order) < 0.3


# ---- Bounds and samples with the exact denoiser -------------------------------------------------


def excess(denoise, x0, log_prob, *, blocks, process, coords, samples=8):
  """(mean, standard error) of bound + log p(x0), which is pointwise zero in expectation."""

  def once(key):
    nats, *_ = likelihood.bound(
      denoise, key, x0, blocks=blocks, process=process, coords=coords)
    return jnp.sum(nats, axis=-1)

  run = jax.jit(lambda keys: jax.lax.map(once, keys))
  nats = np.asarray(run(jax.random.split(jax.random.key(0), samples)), np.float64)
  excess_of = nats.mean(0) + log_prob
  return excess_of.mean(), excess_of.std(ddof=1) / np.sqrt(len(excess_of))


@pytest.mark.parametrize('name, size', [
  ('masked', 1), ('masked', 2), ('uniform', 4),
  *(pytest.param(*one, marks=pytest.mark.soak) for one in (
    ('masked', 4), ('uniform', 1), ('uniform', 2),
  )),
])
def test_the_bound_of_the_exact_denoiser_is_the_entropy_of_a_chain(name, size):
  """Sizes of 4 tokens: autoregression, blocks, one block."""
  chain, blocks = chain_lib.Chain(num_tokens=4, vocab=3), blocks_lib.equal(4, size)
  process = masked.Masked(3) if name == 'masked' else uniform.Uniform(3)
  exact = {
    'masked': lambda: tiny.exact_masked(chain, blocks, process),
    'uniform': lambda: tiny.exact_uniform(chain, blocks),
  }[name]()
  x0 = chain.sample(2048, seed=3)
  mean, error = excess(
    exact, jnp.asarray(x0), chain.log_prob(x0), blocks=blocks, process=process,
    coords=np.arange(chain.num_tokens)[:, None], samples=64 if name == 'uniform' else 8)
  # Ends of the integral and rounding leave a few thousandths of a nat.
  assert abs(mean) < 4 * error + 2e-3, (mean, error)
  assert error < 0.05 * chain.exact['nats']


@pytest.mark.parametrize('size, prediction', [
  (2, 'x0'), (4, 'v'), pytest.param(1, 'v', marks=pytest.mark.soak),
])
def test_the_bound_of_the_exact_denoiser_is_the_entropy_of_a_mixture(size, prediction):
  mixture, blocks = mixture_lib.Mixture(num_tokens=4, dim=1), blocks_lib.equal(4, size)
  process = gaussian.Gaussian(1, prediction=prediction, log_snr=(-10.0, 9.0), clip=0.0)
  x0, _ = mixture.sample(2048, seed=3)
  mean, error = excess(
    tiny.exact_gaussian(mixture, blocks, process), jnp.asarray(x0), mixture.log_prob(x0),
    blocks=blocks, process=process, coords=np.arange(mixture.num_tokens)[:, None], samples=32)
  # The integral stops at a finite log-SNR: a bias of a few thousandths of a nat a value.
  assert abs(mean) < 4 * error + 0.01, (mean, error)
  assert error < 0.05


def chain_law(blocks, plan):
  """p value of 8,192 samples of the exact masked denoiser of a chain of three tokens."""
  chain, process = chain_lib.Chain(num_tokens=3, vocab=3), masked.Masked(3)
  denoise = ask_lib.from_outputs(
    lambda ask: jnp.log(jnp.maximum(chain.posterior(ask.x, process.mask_id), 1e-30)))
  run = jax.jit(lambda keys: walk.sample(
    denoise, keys, plan, blocks=blocks, process=process, solver=first_order.FirstOrder(),
    coords=np.arange(chain.num_tokens)[:, None]))
  return chain.law_test(run(jax.random.split(jax.random.key(5), 8192)))['p_value']


def test_one_token_after_another_samples_the_exact_law():
  assert chain_law(blocks_lib.tokens(3), plan_lib.Plan(3, 1)) > 1e-3


def test_all_tokens_at_once_do_not():
  assert chain_law(blocks_lib.whole(3), plan_lib.Plan(1, 1)) < 1e-6


HOLES = ('1111', '1110', '0111', '1011', '0110', '1001', '0101', '1000', '0010', '0001')


def test_whatever_is_given_the_exact_denoiser_of_one_block_samples_the_conditional_law():
  chain, process, num = chain_lib.Chain(num_tokens=4, vocab=3), masked.Masked(3), 1024
  given = chain.sample(num * len(HOLES), seed=2)  # so that examples as a whole have their law
  known = np.repeat([[token == '0' for token in hole] for hole in HOLES], num, axis=0)
  denoise = ask_lib.from_outputs(
    lambda ask: jnp.log(jnp.maximum(chain.posterior(ask.x, process.mask_id), 1e-30)))
  run = jax.jit(lambda keys, given, known: walk.sample(
    denoise, keys, plan_lib.Plan(1, 4), blocks=blocks_lib.whole(4), process=process,
    solver=first_hitting.FirstHitting(), coords=np.arange(4)[:, None], given=given,
    given_mask=known))
  made = np.asarray(run(jax.random.split(jax.random.key(6), len(given)), given, known))
  np.testing.assert_array_equal(made[known], given[known])
  for hole, rows in zip(HOLES, np.split(made, len(HOLES)), strict=True):
    assert chain.law_test(rows)['p_value'] > 1e-3, hole


IN_BLOCKS = (  # of three tokens: what is given comes before the hole, or in its block
  '111111', '011111', '110111', '010111', '000111',
  '000110', '000011', '000101', '000100', '000001',
)


def made_around(denoise, given, *, holes, **how):
  """What a walk makes of examples given [holes x n, N, ..], n of each of the holes, '1' where a
  token is to be made."""
  known, plan = [[token == '0' for token in hole] for hole in holes], how.pop('plan')
  known = np.repeat(known, len(given) // len(holes), axis=0)
  run = jax.jit(lambda keys, given, known: walk.sample(
    denoise, keys, plan, given=given, given_mask=known, **how))
  made = np.asarray(run(jax.random.split(jax.random.key(6), len(given)), given, known))
  np.testing.assert_array_equal(made[known], given[known])
  return np.split(made, len(holes))


@pytest.mark.soak
def test_whatever_is_given_that_blocks_can_read_symbols_follow_the_conditional_law():
  chain, process = chain_lib.Chain(num_tokens=6, vocab=2), masked.Masked(2)
  denoise = ask_lib.from_outputs(
    lambda ask: jnp.log(jnp.maximum(chain.posterior(ask.x, process.mask_id), 1e-30)))
  made = made_around(
    denoise, chain.sample(2048 * len(IN_BLOCKS), seed=2), holes=IN_BLOCKS, plan=plan_lib.Plan(2, 3),
    blocks=blocks_lib.equal(6, 3), process=process, solver=first_hitting.FirstHitting(),
    coords=np.arange(6)[:, None])
  for hole, rows in zip(IN_BLOCKS, made, strict=True):
    assert chain.law_test(rows)['p_value'] > 1e-3, hole


@pytest.mark.soak
@pytest.mark.parametrize('size, holes', [(4, HOLES), (2, ('1111', '0111', '1011', '0011', '0001'))])
def test_whatever_is_given_that_blocks_can_read_floats_follow_the_conditional_law(size, holes):
  mixture, blocks = mixture_lib.Mixture(num_tokens=4, dim=1), blocks_lib.equal(4, size)
  process = gaussian.Gaussian(1, prediction='x0', log_snr=(-10.0, 12.0), clip=0.0)
  given = mixture.sample(2048 * len(holes), seed=2)[0]
  made = made_around(
    tiny.exact_gaussian(mixture, blocks, process), given, holes=holes,
    plan=plan_lib.Plan(blocks.num_blocks, 64), blocks=blocks, process=process, solver=heun.Heun(),
    coords=np.arange(4)[:, None])
  for hole, rows in zip(holes, made, strict=True):
    assert mixture.law_test(rows)['p_value'] > 1e-3, hole
    wrong = np.where(np.array([token == '1' for token in hole])[None, :, None],
                     np.roll(rows, 1, 0), rows)
    assert hole == '1111' or mixture.law_test(wrong)['p_value'] < 1e-3, hole


# ---- Two kinds of tokens -------------------------------------------------------------------------

COUPLED = coupled_lib.Coupled(num_symbols=3, num_floats=2)
ORDERS = {
  'symbols first': (dict(), ('symbols', 'floats_given_symbols')),
  'floats first': (dict(order=('floats', 'symbols')), ('floats', 'symbols_given_floats')),
  'in turns': (dict(turns=True), None),
}


def joint_parts(**how):
  """(blocks of one symbol and of two floats, process) of COUPLED."""
  kinds = {'symbols': blocks_lib.tokens(3), 'floats': blocks_lib.whole(2)}
  process = joint_process.Joint({
    'symbols': masked.Masked(3), 'floats': gaussian.Gaussian(1, prediction='x0', clip=0.0),
  })
  return blocks_lib.joint(kinds, **how), process


def coupled_examples(num, blocks, *, seed):
  example = COUPLED.sample(num, seed=seed)
  runs = (('symbols', 3), ('floats', 2))
  return example, jax.tree.map(jnp.asarray, blocks.from_raster(tokens.Tokens(example, runs)))


@pytest.mark.parametrize('name', [
  'symbols first', 'floats first', pytest.param('in turns', marks=pytest.mark.soak),
])
def test_the_bound_of_the_exact_denoiser_of_two_kinds_is_exact_jointly_and_given_the_other(name):
  how, parts = ORDERS[name]
  blocks, process = joint_parts(**how)
  example, x0 = coupled_examples(2048, blocks, seed=3)
  exact, denoise = COUPLED.nats(example), tiny.exact_coupled(COUPLED, blocks, process)
  run = jax.jit(lambda keys: jax.lax.map(lambda key: likelihood.bound(
    denoise, key, x0, blocks=blocks, process=process, coords=np.zeros((5, 1)))[0], keys))
  nats = np.asarray(run(jax.random.split(jax.random.key(0), 16)), np.float64).mean(0)
  wanted = {'whole': (nats.sum(1), exact['symbols'] + exact['floats_given_symbols'])}
  for kind, part in zip(dict.fromkeys(blocks.kinds), parts or (), strict=False):
    wanted[part] = nats[:, blocks.blocks_of[kind]].sum(1), exact[part]
  for own, truth in wanted.values():
    excess = own - truth
    error = excess.std(ddof=1) / np.sqrt(len(excess))
    assert abs(excess.mean()) < 4 * error + 0.01 and error < 0.05, (excess.mean(), error)


@pytest.mark.parametrize('name', [
  'floats first', *(pytest.param(name, marks=pytest.mark.soak)
                    for name in ('symbols first', 'in turns'))
])
def test_samples_of_two_kinds_follow_the_joint_law_whatever_the_order_of_blocks(name):
  blocks, process = joint_parts(**ORDERS[name][0])
  plan = plan_lib.Plan(4, tuple(1 if kind == 'symbols' else 24 for kind in blocks.kinds))
  solver = joint.Joint({'symbols': first_order.FirstOrder(), 'floats': heun.Heun()})
  run = jax.jit(lambda keys: walk.sample(
    tiny.exact_coupled(COUPLED, blocks, process), keys, plan, blocks=blocks, process=process,
    solver=solver, coords=np.zeros((5, 1))))
  x = blocks.to_raster(run(jax.random.split(jax.random.key(5), 8192)))
  assert COUPLED.law_test(x.parts)['p_value'] > 1e-3
  wrong = {**x.parts, 'floats': np.roll(x.parts['floats'], 1, axis=0)}
  assert COUPLED.law_test(wrong)['p_value'] < 1e-6
