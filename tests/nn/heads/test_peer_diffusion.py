"""The loss of the diffusion head is that of autoregressive-diffusion-pytorch, at equal weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.nn.heads import diffusion
from adiff.process import gaussian

MISSING = 'the bench extra (torch, autoregressive-diffusion-pytorch) is not installed'
torch = pytest.importorskip('torch', reason=MISSING)
peer = pytest.importorskip('autoregressive_diffusion_pytorch', reason=MISSING)

TOKENS, DIM, WIDTH, SPREAD = 5, 3, 8, 0.5  # SPREAD: the deviation of data that EDM assumes


def edm_net(weights, x, time, h):
  """The package's MLP: x [.., D], time [..], h [.., F]."""
  silu = lambda x: x / (1 + np.exp(-x))

  def dense(name, x):
    bias = weights.get(f'{name}.bias', 0)
    return x @ weights[f'{name}.weight'].T + bias

  turns = time[..., None] * weights['to_time_emb.0.weights'] * 2 * np.pi
  waves = np.concatenate([time[..., None], np.sin(turns), np.cos(turns)], axis=-1)
  signal = silu(dense('to_time_emb.1', waves) + h)
  for i in range(3):
    mean, spread = (one(x, axis=-1, keepdims=True) for one in (np.mean, np.var))
    y = (x - mean) / np.sqrt(spread + 1e-5) * (dense(f'layers.{i}.0.to_gamma', signal) + 1)
    y = dense(f'layers.{i}.1.3', silu(dense(f'layers.{i}.1.0', y)))
    x = x + y * (dense(f'layers.{i}.2', signal) + 1)
  return x


def test_the_loss_of_the_head_is_that_of_the_package_at_equal_weights_levels_and_noise(monkeypatch):
  """EDM's preconditioned network is one that predicts -v of data / SPREAD, on the cosine schedule
  with sigma / alpha = its sigma / SPREAD; its weighted error of x0 is the plain one of v."""
  torch.manual_seed(0)
  theirs = peer.AutoregressiveDiffusion(
    dim=WIDTH, max_seq_len=TOKENS, depth=2, dim_head=4, heads=2, mlp_width=16, dim_input=DIM,
    diffusion_kwargs={'clamp_during_sampling': False, 'sigma_data': SPREAD},
  ).eval()
  for weight in theirs.parameters():  # some begin at 0
    torch.nn.init.normal_(weight, std=0.4)
  x = np.random.default_rng(1).normal(size=(2, TOKENS, DIM)).astype(np.float32)
  features = []
  theirs.transformer.register_forward_hook(lambda _, __, out: features.append(out))
  with torch.no_grad():
    theirs(torch.tensor(x))
  weights = {name: one.detach().numpy() for name, one in theirs.denoiser.state_dict().items()}
  asked = []

  def network(self, xt, t, h, samples):
    assert samples == 1
    xt, t, h = map(np.asarray, (xt, t, h))
    asked.append((xt, t))
    time = np.log(SPREAD * np.tan(np.pi / 2 * t)) / 4
    return jnp.asarray(-edm_net(weights, xt, time, h), jnp.float32)

  monkeypatch.setattr(diffusion.Diffusion, '_out', network)
  head = diffusion.Diffusion(process=gaussian.Gaussian(DIM), multiply=1)
  total, found = head.loss(
    jnp.asarray(features[0].numpy()), jax.random.key(2), None, lambda cost, x0: cost,
    jnp.full((2, TOKENS), 1 / (2 * TOKENS)), jnp.asarray(x / SPREAD),
  )
  (xt, t), = asked
  alpha, sigma = (np.asarray(one) for one in head.process.scales(t))
  noise = (np.asarray(xt) - alpha * x / SPREAD) / sigma
  monkeypatch.setattr(torch, 'randn_like', lambda like: torch.tensor(noise).reshape(like.shape))
  levels = torch.tensor(SPREAD * (sigma / alpha)).reshape(-1)
  monkeypatch.setattr(theirs.diffusion, 'noise_distribution', lambda num: levels)
  with torch.no_grad():
    each, mean = (theirs(torch.tensor(x), loss_reduction=how).numpy() for how in ('none', 'mean'))
  assert each.std() > 0.1
  np.testing.assert_allclose(found, each, rtol=1e-4)
  np.testing.assert_allclose(total, mean, rtol=1e-4)
