"""Steps of diffusers' schedulers and of our solvers, of the same outputs and noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.process import gaussian
from adiff.sample.solvers import consistency, flow_map

MISSING = 'the peers extra (torch, diffusers) is not installed'
torch = pytest.importorskip('torch', reason=MISSING)
diffusers = pytest.importorskip('diffusers', reason=MISSING)

SHAPE = (3, 4, 2)


@pytest.fixture(autouse=True)
def exact():
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    yield


def case():
  """(x, output of a network, noise), float64."""
  return (jax.random.normal(jax.random.key(i), SHAPE, float) for i in (0, 1, 9))


def ours(solver, process, x, out, t, s):
  """A step from level t to s; the key is that of the noise of `case`."""
  at = (jnp.full(SHAPE[:2], level) for level in (t, s))
  return np.asarray(solver.step(None, out, process, jax.random.key(9), x, *at, ())[0])


def given(monkeypatch, module, noise):
  """Lets a scheduler take this noise."""
  monkeypatch.setattr(module, 'randn_tensor', lambda *a, **b: torch.tensor(np.asarray(noise)))


def test_trigflow_is_stepped_as_scm_is(monkeypatch):
  from diffusers.schedulers import scheduling_scm

  x, out, noise = case()
  given(monkeypatch, scheduling_scm, noise)
  scheduler = diffusers.SCMScheduler(sigma_data=1.0)
  t, s = 0.8, 0.3
  scheduler.set_timesteps(2, max_timesteps=np.pi / 2 * t, intermediate_timesteps=np.pi / 2 * s)
  theirs = scheduler.step(
    torch.tensor(np.asarray(out)), scheduler.timesteps[0], torch.tensor(np.asarray(x))
  )
  process = gaussian.Gaussian(2, 'cosine', 'v', clip=0.0)
  made = ours(consistency.Consistency(), process, x, out, t, s)
  np.testing.assert_allclose(made, theirs.prev_sample.numpy(), atol=1e-5)


def test_consistency_is_stepped_as_the_stochastic_iterative_scheduler_does(monkeypatch):
  from diffusers.schedulers import scheduling_consistency_models as module

  x, out, noise = case()
  given(monkeypatch, module, noise)
  scheduler = diffusers.CMStochasticIterativeScheduler(
    num_train_timesteps=40, sigma_min=1e-8, sigma_max=50.0, sigma_data=0.5, clip_denoised=False
  )
  scheduler.set_timesteps(2)
  sigma, after = (float(one) for one in scheduler.sigmas[:2])
  process = gaussian.Gaussian(2, 'flow', 'x0', clip=0.0)
  t, s = sigma / (1 + sigma), after / (1 + after)  # of x / alpha, noise has the scale sigma / alpha
  # Its output is preconditioned; ours is x0.
  skip, scale = scheduler.get_scalings_for_boundary_condition(torch.tensor(sigma))
  raw = (np.asarray(out) - float(skip) * np.asarray(x) / (1 - t)) / float(scale)
  theirs = scheduler.step(
    torch.tensor(raw), scheduler.timesteps[0], torch.tensor(np.asarray(x) / (1 - t))
  )
  made = ours(consistency.Consistency(), process, x, out, t, s)
  np.testing.assert_allclose(made / (1 - s), theirs.prev_sample.numpy(), rtol=1e-5, atol=1e-5)


def test_a_flow_map_is_stepped_as_eulers_flow_matching():
  x, out, _ = case()
  scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=1.0)
  scheduler.set_timesteps(sigmas=[0.8, 0.3])
  theirs = scheduler.step(
    torch.tensor(np.asarray(out)), scheduler.timesteps[0], torch.tensor(np.asarray(x))
  )
  process = gaussian.Gaussian(2, 'flow', 'flow', clip=0.0)
  made = ours(flow_map.FlowMap(), process, x, out, 0.8, 0.3)
  np.testing.assert_allclose(made, theirs.prev_sample.numpy(), atol=1e-5)
