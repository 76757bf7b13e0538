"""Our transformer against a peer's with the same weights.

With its modulation switched off and blocks of one token in one stream, the denoiser is the
architecture of Qwen3: RMSNorm, per-head QK-norm, rotary positions, a gated MLP. So the logits must
be the same.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.nn import denoiser
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks

MISSING = 'the peers extra (torch, transformers) is not installed'
torch = pytest.importorskip('torch', reason=MISSING)
transformers = pytest.importorskip('transformers', reason=MISSING)

VOCAB, WIDTH, DEPTH, HEADS, TOKENS = 11, 32, 3, 4, 9


def test_the_denoiser_gives_the_logits_of_qwen3_with_the_same_weights():
  model = denoiser.Denoiser(VOCAB, VOCAB, width=WIDTH, depth=DEPTH, heads=HEADS, rotary_base=1e4)
  cut = blocks.tokens(TOKENS, history=None)
  slots = cut.slots(np.arange(TOKENS)[:, None])
  x = jax.random.randint(jax.random.key(0), (2, TOKENS), 0, VOCAB)
  ask = ask_lib.Ask(x, jnp.zeros((2, TOKENS)), slots)
  params = jax.tree.map(jnp.zeros_like, model.init(jax.random.key(1), ask))
  hidden = params['last_layer']['mlp_out']['kernel'].shape[0]

  config = transformers.Qwen3Config(
    vocab_size=VOCAB, hidden_size=WIDTH, intermediate_size=hidden, num_hidden_layers=DEPTH,
    num_attention_heads=HEADS, num_key_value_heads=HEADS, head_dim=WIDTH // HEADS,
    rms_norm_eps=1e-6, tie_word_embeddings=False, attention_bias=False,
    rope_parameters={'rope_type': 'default', 'rope_theta': 1e4},
  )
  torch.manual_seed(0)
  peer = transformers.Qwen3ForCausalLM(config).eval()
  with torch.no_grad():
    for name, weight in peer.named_parameters():
      weight.copy_(torch.randn_like(weight) * weight.shape[-1] ** -0.5 + ('norm' in name))
  weights = {name: np.asarray(weight.detach()) for name, weight in peer.named_parameters()}
  layer = lambda i, name: weights[f'model.layers.{i}.{name}.weight']
  kernel = lambda i, *names: np.concatenate([layer(i, name).T for name in names], axis=-1)

  # Signals are (shift, scale, gate) of the attention, then of the MLP: gates of one.
  gates = jnp.repeat(jnp.array([0.0, 0, 1, 0, 0, 1]), WIDTH)

  def of_layer(i):
    return {
      'modulation': gates,
      'norm_attention': {'scale': layer(i, 'input_layernorm')},
      'norm_mlp': {'scale': layer(i, 'post_attention_layernorm')},
      'norm_q': {'scale': layer(i, 'self_attn.q_norm')},
      'norm_k': {'scale': layer(i, 'self_attn.k_norm')},
      'qkv': {'kernel': kernel(i, *(f'self_attn.{name}_proj' for name in 'qkv')).reshape(
        WIDTH, 3, HEADS, -1)},
      'attention_out': {'kernel': kernel(i, 'self_attn.o_proj').reshape(HEADS, -1, WIDTH)},
      'mlp_in': {'kernel': kernel(i, 'mlp.gate_proj', 'mlp.up_proj').reshape(WIDTH, 2, -1)},
      'mlp_out': {'kernel': kernel(i, 'mlp.down_proj')},
    }

  *early, last = (of_layer(i) for i in range(DEPTH))
  params['layers'] = jax.tree.map(lambda *leaves: np.stack(leaves), *early)
  params['last_layer'] = last
  params['token']['symbol']['embedding'] = weights['model.embed_tokens.weight']
  params['norm_out']['scale'] = weights['model.norm.weight']
  params['out']['kernel'] = weights['lm_head.weight'].T

  ours = model.denoise(params)(ask).out
  with torch.no_grad():
    theirs = peer(torch.tensor(np.asarray(x))).logits.numpy()
  assert np.abs(theirs).max() > 0.5
  np.testing.assert_allclose(np.asarray(ours), theirs, atol=2e-5, rtol=1e-4)
