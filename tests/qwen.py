"""Our denoiser as a Qwen3 with given weights, and its rows of two streams as SDAR lays them out.

With its modulation switched off the denoiser is the architecture of Qwen3: RMSNorm, per-head
QK-norm, rotary positions, a gated MLP. Repeated heads of keys and values are heads of their own.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import papers

from adiff.nn import denoiser
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib

SIZE = dict(vocab=11, width=32, hidden=88, depth=3, heads=4)
BASE = 1e4
MODEL = denoiser.Denoiser(11, 11, width=32, depth=3, heads=4, rotary_base=BASE)


def params(weights):
  """Parameters of MODEL that make it the Qwen3 of these weights: gates of one, no level."""
  cut = blocks_lib.tokens(2, history=None)
  ask = ask_lib.Ask(jnp.zeros((1, 2), int), jnp.zeros((1, 2)), cut.slots(np.zeros((2, 1))))
  shapes = jax.eval_shape(lambda key: MODEL.init(key, ask), jax.random.key(0))
  found = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
  width, heads = SIZE['width'], SIZE['heads']
  # Signals are (shift, scale, gate) of the attention, then of the MLP.
  gates = np.repeat(np.array([0, 0, 1, 0, 0, 1], np.float32), width)

  def of_layer(i):
    weight = lambda name: weights[f'model.layers.{i}.{name}.weight']

    def heads_of(name):
      each = weight(f'self_attn.{name}_proj').reshape(-1, width // heads, width)
      return np.repeat(each, heads // len(each), axis=0).transpose(2, 0, 1)  # [W, H, D]

    both = [weight(f'mlp.{name}_proj').T for name in ('gate', 'up')]
    return {
      'modulation': gates,
      'norm_attention': {'scale': weight('input_layernorm')},
      'norm_mlp': {'scale': weight('post_attention_layernorm')},
      'norm_q': {'scale': weight('self_attn.q_norm')},
      'norm_k': {'scale': weight('self_attn.k_norm')},
      'qkv': {'kernel': np.stack([heads_of(name) for name in 'qkv'], axis=1)},
      'attention_out': {'kernel': weight('self_attn.o_proj').T.reshape(heads, -1, width)},
      'mlp_in': {'kernel': np.stack(both, axis=1)},
      'mlp_out': {'kernel': weight('mlp.down_proj').T},
    }

  *early, last = (of_layer(i) for i in range(SIZE['depth']))
  found['layers'] = jax.tree.map(lambda *leaves: np.stack(leaves), *early)
  found['last_layer'] = last
  found['token']['symbol']['embedding'] = weights['model.embed_tokens.weight']
  found['norm_out']['scale'] = weights['model.norm.weight']
  found['out']['kernel'] = weights['lm_head.weight'].T
  return found


@functools.cache
def two_streams(documents):
  """(parameters, noisy, clean) -> logits of rows of documents of these lengths, in blocks of 2."""
  num = sum(documents)
  cut = blocks_lib.equal(num, 2)
  segment = jnp.asarray(np.repeat(np.arange(len(documents)), documents))[None]
  position = jnp.asarray(np.concatenate([np.arange(length) for length in documents]))[None]
  packed = {} if len(documents) == 1 else {'segment': segment, 'position': position}
  slots = cut.slots(np.arange(num)[:, None], **packed)

  @jax.jit
  def run(params, noisy, clean):
    x, t = cut.pack(noisy, clean, jnp.full((1, cut.num_blocks), 0.3))
    return cut.unpack(MODEL.denoise(params)(ask_lib.Ask(x, t, slots)).out)

  return run


def sdar_row(documents, noisy, clean):
  """(ids, positions, mask, places of the noisy tokens) as SDAR lays out its rows: every document
  twice, noisy and clean."""
  ids, positions, document, block, is_clean = [], [], [], [], []
  for number, length in enumerate(documents):
    begin = sum(documents[:number])
    for copy in (noisy, clean):
      ids += copy[0, begin:begin + length].tolist()
      positions += range(length)
      document += [number] * length
      block += (np.arange(length) // 2).tolist()
      is_clean += [copy is clean] * length
  is_clean = np.array(is_clean)
  mask = papers.sdar_mask(np.array(document), np.array(block), is_clean)
  return np.array(ids), np.array(positions), mask, np.flatnonzero(~is_clean)
