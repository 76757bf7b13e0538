"""What is asked of the outputs, made of them at once: [B, S, O] is the largest array of a step.

Where the vocabulary is large, the head is a large share of the work too, and a token that carries
no loss needs none of it. Which tokens do is known when the program runs, but not how many: every
device sorts its own, those that carry loss first, and goes through them in chunks, of which it
skips the last ones. Nothing is dropped and nothing rounded up to a capacity.
"""

import functools
import math

import jax
import jax.numpy as jnp

from adiff.nn import layout

CHUNKS = 16  # of the tokens of a device


def ask(head, params, h, target):
  """(sum of weight * value, value [B, S] without gradient) of target = (function, weight [B, S],
  *tokens [B, S, ..]), value = function(head(params, h [B, S, W]), *tokens), a number a token; 0
  where weight is 0."""
  function, *tokens = target
  some = functools.partial(_of_device, functools.partial(_value, head, function))
  sums, value = layout.on_own_tokens(some, params, (h, *tokens))
  return jnp.sum(sums), jax.lax.stop_gradient(jnp.where(target[1] == 0, 0, value))


def _value(head, function, params, h, *tokens):
  return function(head(params, h), *tokens)


def _of_device(one, params, leaves):
  """(sum [1, 1], value [B, S]) of leaves [B, S, ..]."""
  shape = leaves[1].shape
  h, weight, *tokens = (leaf.reshape(-1, *leaf.shape[2:]) for leaf in leaves)
  total, value = _weighted(one, params, h, weight, tokens)
  return total.reshape(1, 1), value.reshape(shape)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _weighted(one, params, h, weight, tokens):
  """(sum of weight * value, value [n]), value = one(params, h [n, W], *tokens [n, ..])."""
  look = lambda total, h, weight, *tokens: (total, one(params, h, *tokens))
  _, value = _over_chunks(look, (), (h, weight, *tokens))
  return jnp.sum(weight * value), value


def _forward(one, params, h, weight, tokens):
  """With the gradient, which the weights settle: outputs are never kept."""

  def look(total, h, weight, *tokens):
    value, pull = jax.vjp(lambda params, h: one(params, h, *tokens), params, h)
    to_params, to_h = pull(weight.astype(value.dtype))
    return jax.tree.map(jnp.add, total, to_params), (value, to_h)

  zeros = jax.tree.map(jnp.zeros_like, params)
  to_params, (value, to_h) = _over_chunks(look, zeros, (h, weight, *tokens))
  return (jnp.sum(weight * value), value), (to_params, to_h)


def _backward(one, gradients, cotangents):
  scaled = jax.tree.map(lambda leaf: leaf * cotangents[0].astype(leaf.dtype), gradients)
  return *scaled, None, None


_weighted.defvjp(_forward, _backward)


def _over_chunks(look, total, leaves):
  """(total, results [n, ..]) of total, results = look(total, *chunk) over chunks of (h, weight,
  *tokens [n, ..]) in order; without weight in it a chunk is skipped, its results are 0."""
  order = jnp.argsort(leaves[1] == 0, stable=True)
  chunks = math.gcd(len(order), CHUNKS)
  cut = lambda leaf: leaf[order].reshape(chunks, -1, *leaf.shape[1:])

  def step(total, chunk):
    zeros = lambda leaf: jnp.zeros(leaf.shape, leaf.dtype)
    nothing = jax.tree.map(zeros, jax.eval_shape(look, total, *chunk)[1])
    return jax.lax.cond(
      jnp.any(chunk[1] != 0), look, lambda total, *_: (total, nothing), total, *chunk
    )

  total, found = jax.lax.scan(step, total, jax.tree.map(cut, leaves))
  back = jnp.argsort(order)
  return total, jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[back], found)
