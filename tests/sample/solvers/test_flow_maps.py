"""Solvers that jump: one call to where the flow leads, or to its end and back into noise."""

import flows
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from scipy import stats

from adiff.process import gaussian
from adiff.sample import walk
from adiff.sample.solvers import consistency, flow_map
from adiff.sequence import plan as plan_lib

KEYS = jax.random.split(jax.random.key(4), 6)


def sampled(solver, process, steps, keys=KEYS):
  """(noise, samples) [B] of a walk with the exact map."""
  denoise = flows.Exact(process).denoise({'unused': jnp.zeros(())})
  how = dict(blocks=flows.BLOCKS, process=process)
  plan = plan_lib.Plan(1, steps, spacing=plan_lib.linear())
  x, _ = walk.initial(keys, **how)
  made = walk.sample(denoise, keys, plan, solver=solver, coords=np.zeros((1, 1), int), **how)
  return x[:, 0, 0], made[:, 0, 0]


@pytest.mark.parametrize('steps', [1, 3])
def test_a_flow_map_ends_where_the_flow_does_in_any_number_of_steps(steps):
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    process = flows.gaussian_of()
    noise, made = sampled(flow_map.FlowMap(), process, steps)
    np.testing.assert_allclose(made, flows.MEAN + flows.DEVIATION * noise, atol=1e-12)


def test_consistency_sampling_keeps_the_law_and_forgets_where_it_came_from():
  process = flows.gaussian_of('flow', 'flow')
  noise, once = sampled(consistency.Consistency(), process, 1)
  np.testing.assert_allclose(once, flows.MEAN + flows.DEVIATION * noise, atol=1e-5)
  _, twice = sampled(consistency.Consistency(), process, 2)
  assert np.all(np.abs(twice - once) > 1e-4)
  many = jax.random.split(jax.random.key(5), 4096)
  noise, thrice = sampled(consistency.Consistency(), process, 3, many)
  assert stats.kstest((thrice - flows.MEAN) / flows.DEVIATION, 'norm').pvalue > 1e-3
  assert abs(np.corrcoef(noise, thrice)[0, 1]) < 0.2


def test_its_step_is_that_of_published_schedulers():
  # CMStochasticIterative in x / alpha, where noise has the scale sigma / alpha, with sigma_min = 0;
  # SCM in x itself: cos x - sin F, then cos x0 + sin z.
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    process = gaussian.Gaussian(2, 'cosine', 'v', clip=0.0)
    x, out = (jax.random.normal(jax.random.key(i), (3, 4, 2)) for i in range(2))
    t, s = jnp.full((3, 4), 0.8), jnp.full((3, 4), 0.3)
    made, _ = consistency.Consistency().step(None, out, process, jax.random.key(9), x, t, s, ())
    z = jax.random.normal(jax.random.key(9), x.shape)
    a, b = np.pi / 2 * 0.8, np.pi / 2 * 0.3
    x0 = np.cos(a) * x - np.sin(a) * out
    np.testing.assert_allclose(made, np.cos(b) * x0 + np.sin(b) * z, atol=1e-12)
    np.testing.assert_allclose(made / np.cos(b), x0 + np.tan(b) * z, atol=1e-12)


def test_a_flow_maps_step_is_eulers_of_flow_matching():
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    process = gaussian.Gaussian(2, 'flow', 'flow', clip=0.0)
    x, out = (jax.random.normal(jax.random.key(i), (3, 4, 2)) for i in range(2))
    t, s = jnp.full((3, 4), 0.8), jnp.full((3, 4), 0.3)
    made, _ = flow_map.FlowMap().step(None, out, process, None, x, t, s, ())
    np.testing.assert_allclose(made, x + (0.3 - 0.8) * out, atol=1e-12)


def test_shifted_levels_are_the_published_ones():
  levels = plan_lib.shift(5.0)(np.array([0, 0.25, 0.5, 0.75, 1]))
  np.testing.assert_allclose(1000 * levels, [1000, 937.5, 833.3333333, 625, 0])
  rolling = plan_lib.shift(5.0)(np.linspace(0, 1, 6))[:-1]
  np.testing.assert_allclose(1000 * rolling, [1000, 952.38, 882.35, 769.23, 555.56], atol=5e-3)
  np.testing.assert_allclose(1000 * plan_lib.shift(8.0)(np.array([0.72, 0.88])), [756.76, 521.74],
                             atol=5e-3)


@pytest.mark.soak
@pytest.mark.parametrize('solver', [consistency.Consistency(), flow_map.FlowMap()], ids=repr)
def test_the_cached_walk_asks_for_the_same_levels_as_the_plain_one(solver):
  regime = tiny.regime('block-gaussian')
  told = tiny.told(regime, 'pair')
  plain, cached = (
    told.sampler(cached, solver=solver, guided=False)(*told.arguments())
    for cached in (False, True)
  )
  np.testing.assert_allclose(plain, cached, atol=2e-4)
