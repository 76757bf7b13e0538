r"""Symbols as bits (Infinity, arXiv:2412.04431, section 3.2): one logit a bit.

  log p(v) = sum_i bit_i(v) l_i - log(1 + exp l_i),    l = h W + b    [bits]

is the softmax of l B, B the bits of all symbols [bits, V]. So outputs are logits [V] as those of
the linear head with a kernel of rank `bits`: process, solvers and bounds take them as they are, and
a symbol that is sampled is its bits sampled. Bit 0 of a symbol is the lowest.

These bits are independent given h. Chained, a bit depends on those before it, too,

  l_i = (h W + b)_i + sum_{j < i} C_ji bit_j(v),

the chain rule of a sigmoid belief network. What it adds to h is the same for every token, so that
all V symbols cost 2 V sums a token.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adiff.nn.heads import linear
from adiff.sequence import head as head_lib

CHAIN = 'chain'  # its parameters


@dataclasses.dataclass(frozen=True)
class Bits(head_lib.Head):
  """For 2^bits symbols, such as a codec with quantiser bits has. chained: see above; at first
  nothing depends on the bits before."""

  params: Any = None
  dtype: Any = jnp.float32
  chained: bool = False

  def needs(self, parts):
    super().needs(parts)
    num = parts.process.num_outputs
    if not parts.process.discrete or num & (num - 1) or num < 2:
      raise ValueError(
        f'head bits is for 2^n symbols, and these are {num} '
        f'{"symbols" if parts.process.discrete else "floats"}; write head.name=chunked'
      )

  def init(self, key, width, num_outputs):
    num = (num_outputs - 1).bit_length()
    params = linear.Linear().init(key, width, num)
    return params | ({CHAIN: jnp.zeros((num, num), jnp.float32)} if self.chained else {})

  def read(self, h, ask):
    logits = linear.read(self.params, h, self.dtype)
    if self.chained:
      return along(logits, self.params[CHAIN].astype(logits.dtype))
    return logits @ jnp.asarray(bits_of(logits.shape[-1]), logits.dtype)

  def loss(self, h, key, ask, objective, weight, *tokens):
    return head_lib.weighted(self.read(h, ask), objective, weight, *tokens)


def along(logits, chain) -> jax.Array:
  """log p [.., 2^n] of all symbols, a bit after the other. logits [.., n]: of each bit where those
  before are 0; chain [n, n]: what bit j, where it is 1, adds to that of i > j."""
  total = jnp.zeros_like(logits[..., :1])
  for i in range(logits.shape[-1]):
    before = jnp.asarray(bits_of(i).T, logits.dtype) @ chain[:i, i]  # [2^i]
    own = logits[..., i, None] + before.reshape((1,) * (logits.ndim - 1) + (-1,))
    total = jnp.concatenate(
      [total + jax.nn.log_sigmoid(-own), total + jax.nn.log_sigmoid(own)], axis=-1
    )
  return total


def bits_of(num) -> np.ndarray:
  """[num, 2^num] bits 0 and 1 of every symbol."""
  return np.arange(2**num)[None] >> np.arange(num)[:, None] & 1
