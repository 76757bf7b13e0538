"""Chains of blocks of one token under their exact denoiser, and the session's network for it."""

import jax
import jax.numpy as jnp
import numpy as np

from adiff.process import gaussian
from adiff.sequence import ask as ask_lib


class Cacheless:
  """What a session reads of a network that needs no cache."""

  reads = ()

  def empty_cache(self, batch, places, axes):
    del batch, places, axes


def mixture(num_blocks, dim, modes, *, turn, std=0.15, eta=0.0):
  """(process, Denoise): blocks of one token, each a mixture around `turn` times the rotated token
  before it, under its exact score; std: of the modes of all blocks, or one a block."""
  rng = np.random.default_rng(0)
  means = jnp.asarray(rng.normal(size=(num_blocks, modes, dim)))
  rotation = jnp.asarray(np.linalg.qr(rng.normal(size=(dim, dim)))[0])
  stds = jnp.broadcast_to(jnp.asarray(std, means.dtype), num_blocks)
  process = gaussian.Gaussian(dim=dim, prediction='x0', clip=0.0, eta=eta)

  def out(ask):
    slots = jax.tree.map(
      lambda leaf: jnp.broadcast_to(leaf, ask.x.shape[:2]), ask.slots._replace(coords=None))
    before = slots.block[:, None] == slots.block[:, :, None] - 1
    before &= (slots.stream == 1)[:, None] & (slots.segment == 0)[:, None]
    past = jnp.einsum('bqk,bkd->bqd', before.astype(ask.x.dtype), ask.x)
    alpha, sigma = process.scales(jnp.broadcast_to(ask.t, ask.x.shape[:2]))
    variance = stds[slots.block][..., None] ** 2
    mean = means[slots.block] + turn * (past @ rotation)[:, :, None]
    total = alpha**2 * variance + sigma**2
    error = ask.x[:, :, None] - alpha[..., None] * mean
    weight = jax.nn.softmax(-jnp.sum(error**2, -1) / (2 * total), -1)
    nearer = mean + (alpha * variance / total)[..., None] * error
    return jnp.einsum('bqm,bqmd->bqd', weight, nearer)

  return process, ask_lib.from_outputs(out)
