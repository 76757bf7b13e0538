"""Peers' own code against what tests/papers.py makes of their papers, and against ours.

Ours is compared with the papers in tests/test_papers.py; here nothing rests on our reading of them.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import papers
import pytest
import qwen

from adiff.nn import attention, cross
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib

MISSING = 'the peers extra (torch, transformers, diffusers) is not installed'
torch = pytest.importorskip('torch', reason=MISSING)


def qwen3(weights, kv_heads):
  """Qwen3ForCausalLM with these weights."""
  transformers = pytest.importorskip('transformers', reason=MISSING)
  config = transformers.Qwen3Config(
    vocab_size=qwen.SIZE['vocab'], hidden_size=qwen.SIZE['width'],
    intermediate_size=qwen.SIZE['hidden'], num_hidden_layers=qwen.SIZE['depth'],
    num_attention_heads=qwen.SIZE['heads'], num_key_value_heads=kv_heads,
    head_dim=qwen.SIZE['width'] // qwen.SIZE['heads'], rms_norm_eps=1e-6,
    tie_word_embeddings=False, attention_bias=False, attn_implementation='eager',
    rope_parameters={'rope_type': 'default', 'rope_theta': qwen.BASE},
  )
  peer = transformers.Qwen3ForCausalLM(config).eval()
  peer.load_state_dict({name: torch.tensor(weight) for name, weight in weights.items()})
  return peer


@pytest.mark.parametrize('kv_heads', [4, 2])
def test_token_by_token_the_denoiser_gives_the_logits_of_qwen3(kv_heads):
  weights = papers.qwen3_weights(np.random.default_rng(0), kv_heads=kv_heads, **qwen.SIZE)
  cut = blocks_lib.tokens(9, history=None)
  x = np.random.default_rng(1).integers(0, qwen.SIZE['vocab'], (2, 9))
  slots = cut.slots(np.arange(9)[:, None])

  @jax.jit
  def run(params, x):
    return qwen.MODEL.denoise(params)(ask_lib.Ask(x, jnp.zeros((2, 9)), slots)).out

  found = run(qwen.params(weights), x)
  with torch.no_grad():
    theirs = qwen3(weights, kv_heads)(torch.tensor(x)).logits.numpy()
  assert np.abs(theirs).max() > 0.5
  np.testing.assert_allclose(np.asarray(found), theirs, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize('documents', [(8,), (4, 6)])
@pytest.mark.parametrize('kv_heads', [4, 2])
def test_two_streams_are_qwen3_under_the_mask_of_sdar(documents, kv_heads):
  weights = papers.qwen3_weights(np.random.default_rng(2), kv_heads=kv_heads, **qwen.SIZE)
  noisy, clean = np.random.default_rng(3).integers(0, 11, (2, 1, sum(documents)))
  ids, positions, mask, places = qwen.sdar_row(documents, noisy, clean)
  with torch.no_grad():
    theirs = qwen3(weights, kv_heads)(
      torch.tensor(ids[None]), position_ids=torch.tensor(positions[None]),
      attention_mask=torch.tensor(np.where(mask, 0, -1e30)[None, None], dtype=torch.float32),
    ).logits[0].numpy()
  found = qwen.two_streams(documents)(qwen.params(weights), noisy, clean)
  np.testing.assert_allclose(found[0], theirs[places], rtol=1e-4, atol=2e-5)
  written = papers.qwen3(
    weights, ids, positions, mask, heads=4, kv_heads=kv_heads, base=qwen.BASE
  )
  np.testing.assert_allclose(written, theirs, rtol=1e-4, atol=2e-5)


# ---- Trajectories of diffusers -------------------------------------------------------------------

STEPS = 10
GRID = np.linspace(1, 0, STEPS + 1)
KEPT = np.exp(-0.1 * GRID - 9.95 * GRID**2)  # alpha^2 of schedule linear
X = np.random.default_rng(0).normal(size=(1, 3, 2))


def curve(x, i):
  """What the network says at level i of the grid."""
  return np.tanh(x) * (1 - GRID[i] / 2) + 0.2 * (2 * GRID[i] - 1) ** 2


def scheduler(name, **settings):
  """A scheduler of diffusers whose training levels are those of the grid."""
  diffusers = pytest.importorskip('diffusers', reason=MISSING)
  betas = (1 - KEPT[:-1] / KEPT[1:])[::-1]
  made = getattr(diffusers, name)(
    num_train_timesteps=STEPS, trained_betas=betas.tolist(), **settings
  )
  made.alphas_cumprod = torch.tensor(KEPT[:-1][::-1].copy())
  return made


def walked(made, noise=None, **settings):
  """x after every step of a scheduler, whose draws are `noise`."""
  x, found = torch.tensor(X), []
  for i, t in enumerate(made.timesteps):
    extra = {} if noise is None else {'variance_noise': torch.tensor(noise[i])}
    x = made.step(torch.tensor(curve(x.numpy(), i)), t, x, **extra, **settings).prev_sample
    found.append(x.numpy())
  return found


@pytest.mark.parametrize('eta', [0.0, 0.5, 1.0])
def test_ddim_is_that_of_diffusers(eta):
  noise = np.random.default_rng(1).normal(size=(STEPS, *X.shape))
  made = scheduler('DDIMScheduler', clip_sample=False, prediction_type='epsilon')
  made.set_timesteps(STEPS)
  expected = papers.ddim(X, curve, KEPT, noise, eta)
  np.testing.assert_allclose(walked(made, noise, eta=eta), expected, rtol=1e-5, atol=1e-6)


def test_ddpm_is_that_of_diffusers(monkeypatch):
  noise = np.random.default_rng(1).normal(size=(STEPS, *X.shape))
  made = scheduler('DDPMScheduler', clip_sample=False, variance_type='fixed_small')
  made.betas, made.alphas = (
    torch.tensor((1 - KEPT[:-1] / KEPT[1:])[::-1].copy()),
    torch.tensor((KEPT[:-1] / KEPT[1:])[::-1].copy()),
  )
  made.set_timesteps(STEPS)
  draws = iter(noise)
  module = sys.modules[type(made).__module__]
  monkeypatch.setattr(module, 'randn_tensor', lambda *_, **__: torch.tensor(next(draws)))
  expected = papers.ddpm(X, curve, KEPT, noise)
  np.testing.assert_allclose(walked(made), expected, rtol=1e-5, atol=1e-6)


def test_dpm_solver_plus_plus_is_that_of_diffusers():
  made = scheduler(
    'DPMSolverMultistepScheduler', algorithm_type='dpmsolver++', solver_order=2,
    prediction_type='sample', lower_order_final=True, final_sigmas_type='zero',
  )
  made.set_timesteps(STEPS)
  alpha, sigma = np.sqrt(KEPT), np.sqrt(1 - KEPT)
  made.sigmas = torch.tensor(sigma / alpha)
  expected = papers.dpm_solver_plus_plus(X, curve, alpha, sigma)
  np.testing.assert_allclose(walked(made), expected, rtol=1e-5, atol=1e-6)


# ---- Cross-attention of diffusers ----------------------------------------------------------------


def test_cross_attention_is_the_attention_class_of_diffusers_at_equal_weights():
  processor = pytest.importorskip('diffusers.models.attention_processor', reason=MISSING)
  width, heads, size, rng = 8, 2, 4, np.random.default_rng(2)
  normal = lambda *shape: rng.normal(size=shape).astype(np.float32)
  x, rows, mask = normal(2, 5, width), normal(2, 3, width), rng.random((2, 5, 3)) < 0.6
  mask[..., 0] = True
  weights = {
    'norm_cross': {'scale': 1 + normal(width) / 3}, 'norm_cross_q': {'scale': 1 + normal(size) / 3},
    'cross_q': {'kernel': normal(width, heads, size) / 2},
    'cross_out': {'kernel': normal(heads, size, width) / 2},
  }
  keys_of, scale = normal(width, 2, heads, size) / 2, 1 + normal(size) / 3
  theirs = processor.Attention(
    width, cross_attention_dim=width, heads=heads, dim_head=size, bias=False, out_bias=False,
    qk_norm='rms_norm', eps=1e-6,
  )
  before, flat = torch.nn.RMSNorm(width, eps=1e-6), lambda leaf: torch.tensor(
    leaf.reshape(width, width).T.copy()
  )
  before.load_state_dict({'weight': torch.tensor(weights['norm_cross']['scale'])})
  theirs.load_state_dict({
    'to_q.weight': flat(weights['cross_q']['kernel']), 'to_k.weight': flat(keys_of[:, 0]),
    'to_v.weight': flat(keys_of[:, 1]), 'norm_k.weight': torch.tensor(scale),
    'norm_q.weight': torch.tensor(weights['norm_cross_q']['scale']),
    'to_out.0.weight': flat(weights['cross_out']['kernel']),
  })
  bias = torch.tensor(np.where(mask, 0, -1e30), dtype=torch.float32)
  with torch.no_grad():
    expected = theirs(
      before(torch.tensor(x)), torch.tensor(rows),
      attention_mask=bias.repeat_interleave(heads, dim=0),
    ).numpy()
  k, v = np.einsum('brw,wkhd->kbhrd', rows, keys_of)
  k = k / np.sqrt(np.mean(k**2, -1, keepdims=True) + 1e-6) * scale
  found = cross.Cross(width, heads, jnp.dtype('float32')).apply(
    {'params': weights}, jnp.asarray(x), (jnp.asarray(k), jnp.asarray(v)),
    attention.shown(jnp.asarray(mask), 3),
  )
  assert np.abs(expected).max() > 0.5
  np.testing.assert_allclose(found, expected, atol=1e-5)
