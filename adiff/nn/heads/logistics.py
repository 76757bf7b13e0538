r"""The law of an ordered symbol, such as a grey level, as a mixture of logistics cut into bins
(PixelCNN++, arXiv:1701.05517, eq. 2).

Symbol v of V stands at 2 v / (V - 1) - 1 and owns the values within 1 / (V - 1) of it; the first
and the last one own what lies beyond, too. Where a_k and b_k are the ends of its bin, less the mean
of component k and over its scale, its mass is

  p(v) = sum_k w_k (sigmoid(b_k) - sigmoid(a_k))
  log (sigmoid(b) - sigmoid(a)) = log sigmoid(b) + log sigmoid(-a) + log(1 - exp(a - b))

The second form is exact in float32 however far from a component a bin lies. Outputs are log p(v)
[V], the logits of a law that sums to one: processes, bounds and samplers take them as any others.
"""

import dataclasses
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from adiff.nn.heads import linear
from adiff.sequence import head as head_lib
from adiff.sequence import values

LEAST = -7.0  # of the logarithm of a component's scale


@dataclasses.dataclass(frozen=True)
class Logistics(head_lib.Head):
  """vocab comes from the process; components: of the mixture."""

  params: Any = None
  dtype: Any = jnp.float32
  vocab: values.Whole = 0
  components: Annotated[values.Count, values.between(1, 256)] = 5

  def needs(self, parts):
    super().needs(parts)
    if self.vocab < 2:
      raise ValueError(
        'head logistics makes laws of ordered symbols, at least two; write process.name=masked and '
        'a codec of symbols (codec.discrete=True), or head.name=chunked'
      )

  def init(self, key, width, num_outputs):
    """The same law everywhere at first, of components side by side."""
    bias = np.zeros((3, self.components), np.float32)
    bias[1] = (2 * np.arange(self.components) + 1) / self.components - 1
    bias[2] = -np.log(self.components)
    return {
      'kernel': jnp.zeros((width, 3 * self.components), jnp.float32),
      'bias': jnp.asarray(bias.reshape(-1)),
    }

  def read(self, h, ask):
    out = linear.read(self.params, h, self.dtype)
    return log_mass(*jnp.split(out, 3, axis=-1), self.vocab)

  def loss(self, h, key, ask, objective, weight, *tokens):
    return head_lib.weighted(self.read(h, ask), objective, weight, *tokens)


def log_mass(weight, mean, log_scale, vocab) -> jax.Array:
  """log p [.., V] of a mixture: logarithms of weights up to their sum, means and logarithms of
  scales, each [.., K]."""
  edges = jnp.asarray((2 * np.arange(1, vocab) - vocab) / (vocab - 1), mean.dtype)  # between bins
  scale = jnp.exp(jnp.maximum(log_scale, LEAST))[..., None]
  at = (edges.reshape((1,) * mean.ndim + (-1,)) - mean[..., None]) / scale  # [.., K, V - 1]
  below = jnp.pad(jax.nn.log_sigmoid(at), [(0, 0)] * mean.ndim + [(0, 1)])
  above = jnp.pad(jax.nn.log_sigmoid(-at), [(0, 0)] * mean.ndim + [(1, 0)])
  bins = 2 / (vocab - 1) / scale
  inside = jnp.log(-jnp.expm1(-bins))
  inside = jnp.pad(
    jnp.broadcast_to(inside, (*at.shape[:-1], vocab - 2)), [(0, 0)] * mean.ndim + [(1, 1)]
  )
  own = below + above + inside
  return jax.nn.logsumexp(own + jax.nn.log_softmax(weight)[..., None], axis=-2)
