"""One of every quantiser, small, with a state that has seen something."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adiff.nn.quantisers import base, bits, fsq, multiscale, residual, vae, vq

ROWS = {
  'bits': bits.Bits(5),
  'bits on a sphere': bits.Bits(5, sphere=True, group=3),
  'fsq': fsq.Fsq((5, 4, 3)),
  'multiscale': multiscale.Multiscale((1, 2, 4), 16, 3),
  'multiscale of signs': multiscale.Multiscale((1, 2, 4), 16, 4, signs=True, phi=0.0),
  'residual': residual.Residual(3, 16, 3),
  'vae': vae.Vae(2),
  'vq': vq.Vq(16, 3, entropy=0.1),
  'vq, cosine': vq.Vq(16, 3, cosine=True, rotation=True),
}
GRID, BATCH = (4, 4), 8


class Case(NamedTuple):
  """A quantiser with what it is called with, and what it makes of it."""

  of: base.Quantiser
  params: Any
  extra: Any  # after two batches
  z: jax.Array
  made: base.Quantised  # in training
  plain: base.Quantised  # outside of it
  codes: jax.Array  # of `codes_of`
  again: jax.Array  # of `dequantise`
  passed: jax.Array  # gradient of sum(WEIGHT * made.z)
  leaked: jax.Array  # gradient of all that must have none


def features(of, seed, grid=GRID, batch=BATCH) -> jax.Array:
  """What an encoder might make."""
  z = np.random.default_rng(seed).normal(size=(batch, *grid, of.num_channels))
  return jnp.asarray(1.3 * z, jnp.float32)


def weights(z) -> jax.Array:
  """Numbers that the quantised z is weighted by, whatever its channels."""
  return jnp.asarray(np.cos(np.arange(z.size)).reshape(z.shape), jnp.float32)


@functools.cache
def everything(name):
  """(params, extra, z, key) -> the rest of a Case, one program a row."""
  of = ROWS[name]

  def run(params, extra, z, key):
    def values(z):
      made = of(params, extra, z, jax.random.clone(key), True)
      state = [*jax.tree.leaves(made.extra), made.codes.astype(jnp.float32)]
      return (jnp.sum(weights(made.z) * made.z), sum(jnp.sum(leaf) for leaf in state)), made

    _, pull_back, made = jax.vjp(values, z, has_aux=True)
    passed, leaked = (pull_back(one)[0] for one in ((1.0, 0.0), (0.0, 1.0)))
    again = of.dequantise(params, extra, made.codes, z.shape[1:-1])
    plain = of(params, extra, z, None, False)
    return made, plain, of.codes_of(params, extra, z), again, passed, leaked

  return jax.jit(run)


@functools.cache
def case(name) -> Case:
  """The case of a row."""
  of = ROWS[name]
  params, extra = of.init(jax.random.key(0)), of.init_extra()
  for seed in (1, 2, 3):
    z = features(of, seed)
    made, *rest = everything(name)(params, extra, z, jax.random.key(10 + seed))
    last, extra = extra, made.extra
  return Case(of, params, last, z, made, *rest)
