"""Classifier-free guidance, between a network and whoever asks it."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adiff.nn import network
from adiff.sequence import ask as ask_lib
from adiff.sequence import conditions, copies
from adiff.sequence import head as head_lib
from adiff.sequence import hidden as hidden_lib


def needs(parts: Any) -> None:
  """Raises ValueError where the config guides towards conditions that the data has not, or the
  network never learns to do without."""
  config, conds = parts.config, parts.spec.conds
  if parts.model.hears_guidance and not parts.recipe.guides:
    raise ValueError(
      f'recipe {config.recipe.name} teaches no guidance that a network could be told; write '
      "model.guided='none'"
    )
  scale, scales = config.guidance.scale, dict(config.guidance.scales)
  if scale != 1 and not conds and not parts.hides:
    raise ValueError(
      f'guidance.scale={scale} needs labels or other conditions, and {config.data.name} has none; '
      'set it to 1, or train with kinds.NAME.dropout of a kind of tokens'
    )
  told = parts.model.hears_guidance
  if scale != 1 and conds and not told and not forgets(config, conds, conds):
    raise ValueError(
      f'guidance.scale={scale} needs a network that learnt without labels too, and cond_dropout=0 '
      'hides none; set guidance.scale=1, or train with cond_dropout=0.1'
    )
  if scale != 1 and scales:
    raise ValueError(
      f'guidance.scale={scale} weighs all conditions together and guidance.scales each by itself; '
      'set guidance.scale=1, or guidance.scales=()'
    )
  for name in scales:
    if name not in conds:
      raise ValueError(
        f'guidance.scales weighs {name!r}, and {config.data.name} has '
        f'{", ".join(conds) if conds else "no conditions"}; name one of these, or write ()'
      )
  for hidden in _hidden(scales)[1:]:
    if not forgets(config, conds, hidden):
      raise ValueError(
        f'guidance.scales asks the network without {" and ".join(hidden)} alone, which it never '
        'learnt; train with train.cond_dropouts for each of them, such as '
        f'{tuple((name, 0.1) for name in hidden)}'
      )


def forgets(config, conds, hidden) -> bool:
  """Does training hide these conditions, and no others, in some examples?"""
  together = config.cond_dropout > 0 and set(hidden) == set(conds)
  alone = {name for name, share in config.train.cond_dropouts if share > 0}
  return together or set(hidden) <= alone


def guide(
  denoise: ask_lib.Denoise, *, scale, interval=(0.0, 1.0), hides=None
) -> ask_lib.Denoise:
  """Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598) as one call with both branches
  stacked in the batch.

    out = null + scale (cond - null)

  on tokens with a level inside `interval` (Kynkaanniemi et al. 2024, arXiv:2404.07724); elsewhere
  scale is 1. scale: one number, or one a block [K], or one an example [B, 1] with ends of the
  interval that may be, too, of all conditions together; or {name: number}, one a condition, nested
  in their order (Brooks et al. 2023, arXiv:2211.09800, eq. 3):

    out = out() + scale_1 (out(c_1) - out()) + scale_2 (out(c_1, c_2) - out(c_1)) + ..

  a call of one branch more than there are names, whose law is the network's own where all scales
  are 1; conditions that are not named are given in every branch.
  hides: {kind: mask_id} of kinds of tokens that the last branch does not see in its history
  (hidden.py), or None.
  A cache of B examples is read by all branches: right where history carries no condition. One with
  B for each branch serves them apart.
  """
  hidden = _hidden(scale) if isinstance(scale, dict) else ((), None)
  weights = tuple(scale.values()) if isinstance(scale, dict) else (scale,)
  weights = tuple(jnp.asarray(weight, float) for weight in weights)
  head = Guided(denoise.head, weights, hidden, interval)

  def trunk(ask):
    asked = branches(ask, hidden)
    if hides:
      last = np.arange(len(hidden) * len(ask.x)) >= (len(hidden) - 1) * len(ask.x)
      asked = hidden_lib.hide(asked, jnp.asarray(last), hides)
    return denoise.trunk(asked)

  return denoise._replace(trunk=trunk, head=head)


def _hidden(names) -> tuple[tuple[str, ...], ...]:
  """The names that are hidden in each branch, from none of them to all."""
  names = tuple(names)
  return tuple(names[len(names) - num:] for num in range(len(names) + 1))


def branches(ask: ask_lib.Ask, hidden=((), None)) -> ask_lib.Ask:
  """Every example with all its conditions, and behind them every one without those `hidden` in
  each further branch; None: without any."""
  x, t, s, hint = jax.tree.map(
    lambda leaf: jnp.concatenate([leaf] * len(hidden)), (ask.x, ask.t, ask.s, ask.hint)
  )
  names = [ask.cond if own is None else own for own in hidden]
  return dataclasses.replace(
    ask, x=x, t=t, s=s, hint=hint, cond=conditions.branches(ask.cond, names)
  )


@dataclasses.dataclass(frozen=True)
class Guided(head_lib.Head):
  """Reads all branches and combines them."""

  head: head_lib.Head
  weights: tuple[jax.Array, ...]  # of what each condition adds; [], [K] or [B, 1]
  hidden: tuple[tuple[str, ...] | None, ...]  # see `branches`
  interval: tuple[Any, Any]  # numbers, or [B, 1]

  def read(self, h, ask):
    out = self.head.read(h, branches(ask, self.hidden))
    _, last = network.wanted(ask.slots, ask.keep)
    answered = slice(last - out.shape[1], last)  # kept slots and history may have no outputs
    t = copies.levels(ask.t, ask.slots)[:, answered]
    inside = (t >= self.interval[0]) & (t <= self.interval[1])
    weights = []
    for scale in self.weights:
      if scale.ndim == 1:
        scale = scale[ask.slots.block[answered]][None]
      weights.append(jnp.where(inside, scale, 1))
    return self.head.combined(out, weights)

  def loss(self, h, key, ask, objective, weight, *tokens):
    return head_lib.weighted(self.read(h, ask), objective, weight, *tokens)

  def law(self, out):
    return self.head.law(out)
