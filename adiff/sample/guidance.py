"""Classifier-free guidance, as a denoiser made of a network."""

import chex
import jax
import jax.numpy as jnp

from adiff.sequence import copies


def guide(network, cond, *, scale, interval=(0.0, 1.0)):
  """Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598) as one call with both branches
  stacked in the batch.

  network(x, t, s, slots, cond, cache, commit) -> (out, cache); cond {name: [B] or [B, K]}.
  out = null + scale (cond - null) on tokens with a level inside `interval` (Kynkaanniemi et al.
  2024, arXiv:2404.07724); elsewhere scale is 1. scale: one number, or one a block.
  A cache of B examples is read by both branches: right where history carries no condition. One of
  2 B serves them apart.
  """
  twice = lambda tree: jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), tree)
  both = {name: jnp.concatenate([value, jnp.full_like(value, -1)]) for name, value in cond.items()}
  scale = jnp.asarray(scale, float)
  chex.assert_rank(scale, {0, 1})

  def denoise(x, t, s, slots, cache=None, commit=0):
    out, cache = network(*twice((x, t, s)), slots, both, cache, commit)
    with_cond, without = jnp.split(out, 2)
    t = copies.levels(t, slots)
    told = slice(t.shape[1] - out.shape[1], None)  # of finished slots there may be no outputs
    each, t = scale[slots.block[told]][None] if scale.ndim else scale, t[:, told]
    strength = jnp.where((t >= interval[0]) & (t <= interval[1]), each, 1)[..., None]
    return without + strength * (with_cond - without), cache

  return denoise
