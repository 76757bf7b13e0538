"""The linear head where outputs are many: the loss is made of them at once, and they are not kept.

[B, S, O] is the largest array of a step. Where the vocabulary is large, the head is a large share
of the work too, and a token that carries no loss needs none of it. Which tokens do is known when
the program runs, but not how many: every device sorts its own, those that carry loss first, and
goes through them in chunks, of which it skips the last ones. Nothing is dropped and nothing rounded
up to a capacity.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from adiff.nn import layout
from adiff.nn.heads import linear
from adiff.sequence import head as head_lib
from adiff.sequence import turns, values

CHUNKS = 16  # of the tokens of a device


@dataclasses.dataclass(frozen=True)
class Chunked(head_lib.Head):
  """As linear.Linear, and with fewer outputs a token than `least` it is that; value is 0 where
  weight is, and carries no gradient."""

  params: Any = None
  dtype: Any = jnp.float32
  # From here on this is the faster way, were all tokens to carry loss (a fifth at 1024 outputs, a
  # half at 2048; a loss of a tenth at 256).
  least: values.Whole = 1024

  def init(self, key, width, num_outputs):
    return linear.Linear().init(key, width, num_outputs)

  def chunks(self, num_outputs):
    return CHUNKS if num_outputs >= self.least else 1

  def read(self, h, ask):
    return linear.read(self.params, h, self.dtype)

  def loss(self, h, key, ask, objective, weight, *tokens):
    if self.chunks(len(self.params['bias'])) == 1:
      whole = linear.Linear(self.params, self.dtype)
      return whole.loss(h, key, ask, objective, weight, *tokens)

    def value_of(params, h, *tokens):
      return objective(linear.read(params, h, self.dtype), *tokens)

    own = functools.partial(_of_device, value_of)
    sums, value = layout.on_own_tokens(own, self.params, (h, weight, *tokens))
    return jnp.sum(sums), jax.lax.stop_gradient(jnp.where(weight == 0, 0, value))


def _of_device(value_of, params, leaves):
  """(sum [1, 1], value [B, S]) of one device's leaves (h, weight, *tokens) [B, S, ..]."""
  shape = leaves[1].shape
  h, weight, *tokens = (leaf.reshape(-1, *leaf.shape[2:]) for leaf in leaves)
  total, value = _weighted(value_of, params, h, weight, tokens)
  return total.reshape(1, 1), value.reshape(shape)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _weighted(value_of, params, h, weight, tokens):
  """(sum of weight * value, value [n]), value = value_of(params, h [n, W], *tokens [n, ..])."""

  def visit(nothing, h, weight, *tokens):
    return nothing, value_of(params, h, *tokens)

  _, value = _over_chunks(visit, (), (h, weight, *tokens))
  return jnp.sum(weight * value), value


def _forward(value_of, params, h, weight, tokens):
  """With the gradient, which the weights settle: outputs are never kept."""

  def visit(total, h, weight, *tokens):
    value, pull_back = jax.vjp(lambda params, h: value_of(params, h, *tokens), params, h)
    to_params, to_h = pull_back(weight.astype(value.dtype))
    return jax.tree.map(jnp.add, total, to_params), (value, to_h)

  zeros = jax.tree.map(jnp.zeros_like, params)
  to_params, (value, to_h) = _over_chunks(visit, zeros, (h, weight, *tokens))
  return (jnp.sum(weight * value), value), (to_params, to_h)


def _backward(value_of, gradients, cotangents):
  scaled = jax.tree.map(lambda leaf: leaf * cotangents[0].astype(leaf.dtype), gradients)
  return *scaled, None, None


_weighted.defvjp(_forward, _backward)


def _over_chunks(visit, total, leaves):
  """(total, results [n, ..]) of total, results = visit(total, *chunk) over chunks of (h, weight,
  *tokens [n, ..]) in order; a chunk without weight in it is skipped, its results are 0."""
  order = jnp.argsort(leaves[1] == 0, stable=True)
  chunks = math.gcd(len(order), CHUNKS)

  def cut(leaf):
    return leaf[order].reshape(chunks, -1, *leaf.shape[1:])

  def step(total, chunk):
    shapes = jax.eval_shape(visit, total, *chunk)[1]
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    with turns.branch('chunk'):
      return jax.lax.cond(
        jnp.any(chunk[1] != 0), visit, lambda total, *_: (total, nothing), total, *chunk
      )

  total, results = jax.lax.scan(step, total, jax.tree.map(cut, leaves))
  back = jnp.argsort(order)
  return total, jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[back], results)
