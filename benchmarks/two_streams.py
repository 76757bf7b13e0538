"""Block diffusion in two streams, our layers in plain PyTorch: what benchmarks/peers.py compares.

The streams are those of adiff/sequence/blocks.py: noisy tokens of all blocks, then clean ones of
all blocks but the last. Attention is computed in two ways: `with_mask`, one product under the rule,
and `by_blocks`, one unmasked product a block. As in ours, the last layer leaves out the clean
stream.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from adiff.sequence import blocks as blocks_lib
from adiff.sequence import mask
from benchmarks import peers


def with_mask(tokens, blocks):
  """(q, k, v) -> attention [B, H, Q, D]; q may end behind the noisy stream."""
  slots = blocks_lib.equal(tokens, tokens // blocks).slots(np.zeros((tokens, 1)))
  seen = torch.from_numpy(np.array(mask.attend(slots, slots)))
  bias = torch.zeros(seen.shape).masked_fill(~seen, -torch.inf)
  return lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=bias[:q.shape[2]])


def by_blocks(tokens, blocks):
  """The same from the keys that each block sees."""
  size = tokens // blocks

  def attend(q, k, v):
    out = []
    for first in range(0, q.shape[2], size):
      block = slice(first, first + size)
      if first < tokens:  # its own noisy keys, and the clean ones before it
        keys, values = (
          torch.cat([one[:, :, block], one[:, :, tokens:tokens + first]], dim=2) for one in (k, v)
        )
      else:
        keys, values = (one[:, :, tokens:block.stop] for one in (k, v))
      out.append(F.scaled_dot_product_attention(q[:, :, block], keys, values))
    return torch.cat(out, dim=2)

  return attend


ATTENTION = dict(zip(peers.ATTENTION, (with_mask, by_blocks), strict=True))


def _rotate(x, cos, sin):
  a, b = x.chunk(2, dim=-1)
  return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class Layer(nn.Module):
  """Attention and a gated MLP, each modulated and gated."""

  def __init__(self, width, heads, attend):
    super().__init__()
    self.heads, self.attend = heads, attend
    hidden = round(4 * width * 2 / 3 / 8) * 8
    self.offset = nn.Parameter(torch.zeros(6 * width))
    self.norm_attention, self.norm_mlp = nn.RMSNorm(width), nn.RMSNorm(width)
    self.norm_q, self.norm_k = nn.RMSNorm(width // heads), nn.RMSNorm(width // heads)
    self.qkv = nn.Linear(width, 3 * width, bias=False)
    self.attention_out = nn.Linear(width, width, bias=False)
    self.mlp_in = nn.Linear(width, 2 * hidden, bias=False)
    self.mlp_out = nn.Linear(hidden, width, bias=False)

  def forward(self, x, signal, cos, sin, wanted):
    """x [B, S, width] -> [B, wanted, width]: the first slots, whose results are wanted."""
    signals = (signal + self.offset).chunk(6, dim=-1)
    shift, scale, *_ = signals
    h = self.norm_attention(x) * (1 + scale) + shift
    q, k, v = self.qkv(h).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
    q = _rotate(self.norm_q(q[:, :, :wanted]), cos[:wanted], sin[:wanted])
    h = self.attend(q, _rotate(self.norm_k(k), cos, sin), v).transpose(1, 2).flatten(2)
    _, _, gate, *of_mlp = (signal[:, :wanted] for signal in signals)
    x = x[:, :wanted] + gate * self.attention_out(h)
    shift, scale, gate = of_mlp
    opening, up = self.mlp_in(self.norm_mlp(x) * (1 + scale) + shift).chunk(2, dim=-1)
    return x + gate * self.mlp_out(F.silu(opening) * up)


class TwoStreams(nn.Module):
  """The denoiser; `channels` values a token."""

  def __init__(self, channels, width, depth, heads, tokens, blocks, attend):
    super().__init__()
    self.size, half = tokens // blocks, width // heads // 2
    slots = torch.cat([torch.arange(tokens), torch.arange(tokens - self.size)])
    angle = slots[:, None] * 100 ** (-torch.arange(half) / half)
    self.register_buffer('slots', slots)
    self.register_buffer('cos', angle.cos())
    self.register_buffer('sin', angle.sin())
    self.register_buffer('frequency', 1e3 * 1e4 ** (-torch.arange(width // 2) * 2 / width))
    self.token, self.position = nn.Linear(channels, width), nn.Embedding(tokens, width)
    self.level = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
    self.modulation, self.modulation_out = nn.Linear(width, 6 * width), nn.Linear(width, 2 * width)
    self.layers = nn.ModuleList(Layer(width, heads, attend) for _ in range(depth))
    self.norm, self.out = nn.RMSNorm(width), nn.Linear(width, channels)

  def forward(self, noisy, clean, level):
    """noisy and clean [B, N, channels], level [B, blocks] -> [B, N, channels]."""
    tokens = noisy.shape[1]
    h = torch.cat([noisy, clean[:, :-self.size]], dim=1)
    h = self.token(h) + self.position(self.slots)
    level = torch.cat([level, torch.zeros_like(level[:, 1:])], dim=1)
    angle = level[..., None] * self.frequency
    signal = F.silu(self.level(torch.cat([angle.cos(), angle.sin()], dim=-1)))
    modulation = self.modulation(signal).repeat_interleave(self.size, dim=1)
    for layer in self.layers[:-1]:
      h = layer(h, modulation, self.cos, self.sin, len(self.slots))
    h = self.layers[-1](h, modulation, self.cos, self.sin, tokens)
    last = self.modulation_out(signal[:, :tokens // self.size])
    shift, scale = last.repeat_interleave(self.size, dim=1).chunk(2, dim=-1)
    return self.out(self.norm(h) * (1 + scale) + shift)
