r"""Symbols as the ends of a flow: noise alone decides what is sampled of a law (Distilled Decoding,
Liu et al. 2024, arXiv:2412.17153, section 3.2).

Every symbol j has a vector c_j. Of a law p of symbols, x = (1 - t) c + t eps leads from noise to
vectors, and its flow

  dx / dt = (x - E[c | x]) / t,    P(j | x) = softmax_j(log p_j - |x - (1 - t) c_j|^2 / (2 t^2))

takes almost every eps to one of them: to c_j a share p_j of all. A model of the next symbol, asked
one token after another, so maps a sequence of noise to a sequence of symbols, always the same, and
what normal noise is mapped to has the model's law.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from adiff.process import base

LAST = 0.005  # level at which the nearest vector is where x ends


@functools.cache
def vectors(vocab, dim) -> np.ndarray:
  """[V, D] float32, one a symbol: scattered normally, always the same ones, of mean 0 and root mean
  square 1."""
  scattered = np.random.default_rng(0).normal(size=(vocab, dim))
  scattered -= scattered.mean(0)
  return np.float32(scattered / np.sqrt(np.mean(scattered**2)))


def noise(key, dim, shape=()) -> jax.Array:
  """[.., D] float32 that decides: of one key, or of keys [..], one a token."""
  shape = key.shape if key.ndim else shape
  return base.sampled(jax.random.normal, key, (*shape, dim)).astype(jnp.float32)


def posterior(logits, x, t, codes) -> jax.Array:
  """log P(j | x) [.., V], not normalised, of x [.., D] at level t []; codes [V, D]."""
  near = (1 - t) * jnp.einsum('...d,vd->...v', x, codes)
  size = jnp.broadcast_to(jnp.sum(codes**2, axis=-1), near.shape)
  return logits + (near - (1 - t) ** 2 * size / 2) / t**2


def velocity(logits, x, t, codes) -> jax.Array:
  """dx / dt [.., D]."""
  mean = jnp.einsum('...v,vd->...d', jax.nn.softmax(posterior(logits, x, t, codes)), codes)
  return (x - mean) / t


def path(logits, x, codes, steps, last=LAST) -> jax.Array:
  """Where the flow takes noise x [.., D] at level `last`, in so many steps of the fourth order
  (Runge and Kutta) that are shorter near the end."""
  levels = jnp.asarray(np.linspace(1, np.cbrt(last), steps + 1) ** 3, x.dtype)

  def step(x, ends):
    t, s = ends
    size = s - t
    first = velocity(logits, x, t, codes)
    second = velocity(logits, x + size / 2 * first, t + size / 2, codes)
    third = velocity(logits, x + size / 2 * second, t + size / 2, codes)
    fourth = velocity(logits, x + size * third, s, codes)
    return x + size / 6 * (first + 2 * second + 2 * third + fourth), None

  return jax.lax.scan(step, x, (levels[:-1], levels[1:]))[0]


def symbols(logits, x, codes, steps) -> jax.Array:
  """int32 [..]: the symbols that noise x [.., D] is mapped to by laws of logits [.., V]."""
  logits, codes = jax.nn.log_softmax(logits.astype(x.dtype)), jnp.asarray(codes, x.dtype)
  end = path(logits, x, codes, steps)
  return jnp.argmax(posterior(logits, end, LAST, codes), axis=-1).astype(jnp.int32)
