"""Classifier-free guidance, between a network and whoever asks it."""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from adiff.sequence import ask as ask_lib
from adiff.sequence import copies
from adiff.sequence import tokens as tokens_lib

NULL = -1  # "no condition" of a label


def needs(parts: Any) -> None:
  """Raises ValueError where the config guides towards labels and the data has none, or the network
  never learns to do without."""
  scale = parts.config.guidance.scale
  if scale != 1 and not parts.spec.num_classes:
    raise ValueError(
      f'guidance.scale={scale} needs labels, and {parts.config.data.name} has none; set it to 1'
    )
  if scale != 1 and not parts.config.cond_dropout:
    raise ValueError(
      f'guidance.scale={scale} needs a network that learnt without labels too, and cond_dropout=0 '
      'hides none; set guidance.scale=1, or train with cond_dropout=0.1'
    )


def guide(denoise: ask_lib.Denoise, *, scale, interval=(0.0, 1.0)) -> ask_lib.Denoise:
  """Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598) as one call with both branches
  stacked in the batch.

    out = null + scale (cond - null)

  on tokens with a level inside `interval` (Kynkaanniemi et al. 2024, arXiv:2404.07724); elsewhere
  scale is 1. scale: one number, or one a block [K].
  A cache of B examples is read by both branches: right where history carries no condition. One of
  2 B serves them apart.
  """
  scale = np.asarray(scale, float)
  chex.assert_rank(scale, {0, 1})
  head = Guided(denoise.head, scale, interval)
  return ask_lib.Denoise(lambda ask: denoise.trunk(both_branches(ask)), head)


def both_branches(ask: ask_lib.Ask) -> ask_lib.Ask:
  """Every example under its conditions, and behind them every one without."""
  x, t, s, hint = jax.tree.map(_twice, (ask.x, ask.t, ask.s, ask.hint))
  cond = {
    name: jnp.concatenate([value, jnp.full_like(value, NULL)]) for name, value in ask.cond.items()
  }
  return dataclasses.replace(ask, x=x, t=t, s=s, hint=hint, cond=cond)


def _twice(leaf):
  return jnp.concatenate([leaf, leaf])


@dataclasses.dataclass(frozen=True)
class Guided(ask_lib.Head):
  """Reads both branches and combines them."""

  head: ask_lib.Head
  scale: np.ndarray
  interval: tuple[float, float]

  def read(self, h, ask):
    out = self.head.read(h, both_branches(ask))
    t = copies.levels(ask.t, ask.slots)
    answered = slice(t.shape[1] - out.shape[1], None)  # kept slots may have no outputs
    scale, t = jnp.asarray(self.scale), t[:, answered]
    if scale.ndim:
      scale = scale[ask.slots.block[answered]][None]
    inside = (t >= self.interval[0]) & (t <= self.interval[1])
    with_cond, without = (
      jax.tree.map(lambda leaf, half=half: jnp.split(leaf, 2)[half], out) for half in range(2)
    )
    return tokens_lib.map_kinds(_guided, jnp.where(inside, scale, 1), with_cond, without)

  def loss(self, h, key, ask, objective, weight, *tokens):
    return ask_lib.weighted(self.read(h, ask), objective, weight, *tokens)


def _guided(scale, with_cond, without):
  """Outputs [B, n, O] at a scale [B, n]."""
  return without + scale[..., None] * (with_cond - without)
