"""One linear map from features to outputs, computed in float32 at least."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from adiff.sequence import head as head_lib


def read(params, h, dtype) -> jax.Array:
  """h [.., W] -> [.., O], in `dtype`."""
  kernel, bias = params['kernel'].astype(dtype), params['bias'].astype(dtype)
  out = jax.lax.dot_general(h.astype(dtype), kernel, (((h.ndim - 1,), (0,)), ((), ())))
  return out + bias.reshape((1,) * (out.ndim - 1) + (-1,))


@dataclasses.dataclass(frozen=True)
class Linear(head_lib.Head):
  """All outputs at once."""

  params: Any = None
  dtype: Any = jnp.float32

  def init(self, key, width, num_outputs):
    """Zeros: a network begins with outputs that know nothing (adaLN-zero)."""
    return {
      'kernel': jnp.zeros((width, num_outputs), jnp.float32),
      'bias': jnp.zeros(num_outputs, jnp.float32),
    }

  def read(self, h, ask):
    return read(self.params, h, self.dtype)

  def loss(self, h, key, ask, objective, weight, *tokens):
    return head_lib.weighted(self.read(h, ask), objective, weight, *tokens)
