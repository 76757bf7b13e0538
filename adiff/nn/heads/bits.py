r"""Symbols as independent bits (Infinity, arXiv:2412.04431, section 3.2): one logit a bit.

  log p(v) = sum_b bit_b(v) l_b - log(1 + exp l_b),    l = h W + b    [bits]

is the softmax of l B, B the bits of all symbols [bits, V]. So outputs are logits [V] as those of
the linear head with a kernel of rank `bits`: process, solvers and bounds take them as they are, and
a symbol that is sampled is its bits sampled. Bit 0 of a symbol is the lowest.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from adiff.nn.heads import linear
from adiff.sequence import head as head_lib


@dataclasses.dataclass(frozen=True)
class Bits(head_lib.Head):
  """For 2^bits symbols, such as a codec with quantiser bits has."""

  params: Any = None
  dtype: Any = jnp.float32

  def needs(self, parts):
    super().needs(parts)
    num = parts.process.num_outputs
    if not parts.process.discrete or num & (num - 1) or num < 2:
      raise ValueError(
        f'head bits is for 2^n symbols, and these are {num} '
        f'{"symbols" if parts.process.discrete else "floats"}; write head.name=chunked'
      )

  def init(self, key, width, num_outputs):
    return linear.Linear().init(key, width, (num_outputs - 1).bit_length())

  def read(self, h, ask):
    logits = linear.read(self.params, h, self.dtype)
    return logits @ jnp.asarray(bits_of(logits.shape[-1]), logits.dtype)

  def loss(self, h, key, ask, objective, weight, *tokens):
    return head_lib.weighted(self.read(h, ask), objective, weight, *tokens)


def bits_of(num) -> np.ndarray:
  """[num, 2^num] bits 0 and 1 of every symbol."""
  return np.arange(2**num)[None] >> np.arange(num)[:, None] & 1
