"""One stream for autoregression: a token's slot carries the token before it, and makes this one.

Blocks of one token need no copy of the row: what slot i has to know, the clean tokens before i, are
the inputs of the slots up to its own, and slot i is read by later ones. Half the slots of two
streams; a network of its own, since with two streams a slot carries its own token. The first slot
of a row or document carries noise, and nobody reads it.

    two streams    working  n  n  n     history  a  b        (n noise; c is never read)
    shifted                 n  a  b
    makes                   a  b  c
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adiff.sequence import ask as ask_lib
from adiff.sequence import conditions


def needs(parts: Any, who='model.shifted') -> None:
  """Raises ValueError where a token would be shown otherwise than as noise once, then clean."""
  if not parts.model.shifted:
    return
  blocks, plan = parts.blocks, parts.plan
  once = max(plan.budgets) == 1 and plan.delay is None
  alone = set(blocks.sizes) == {1} and blocks.history == 0 and not blocks.causal
  if not (parts.draw.pure_noise and once and alone) or len(parts.geometries) > 1 or (
    parts.model.num_hints or parts.config.train.given or parts.model.hinted != 'none'
  ):
    raise ValueError(
      f'{who} shows a token as noise once, then clean: it needs blocks.name=tokens, '
      'draw.name=ones, history=0.0, plan.steps=1, plan.delay=None, and no train.next_token, '
      'train.block_sizes, train.given, model.hinted or model.self_condition'
    )


def shift(denoise: ask_lib.Denoise) -> ask_lib.Denoise:
  """The Denoise that callers of two streams, of the plain walk and of the cached one may ask, made
  of one that sees the shifted stream."""

  def trunk(ask):
    return denoise.trunk(_shifted(ask))

  return denoise._replace(trunk=trunk)


def _shifted(ask: ask_lib.Ask) -> ask_lib.Ask:
  """The Ask with every working slot's token, level and hints replaced by those before it."""
  num_slots = ask.x.shape[1]
  carried = {'x': ask.x, 't': ask.t, 's': ask.t if ask.s is None else ask.s, 'hint': ask.hint}
  slots, cond = ask.slots, ask.cond
  if ask.keep:  # the cached walk: finished tokens, and the one behind them
    carried = jax.tree.map(lambda leaf: leaf[:, :-1], carried)
    slots = jax.tree.map(lambda leaf: leaf[1:], slots)
    cond = conditions.at(cond, slice(1, None))
    starts = np.zeros(num_slots - 1, bool)
  elif num_slots == 1:  # its first token
    starts = np.ones(1, bool)
  else:  # two streams; or all tokens, as the plain walk has them
    num_tokens = _num_working(slots)
    past = slice(num_tokens, None) if num_slots > num_tokens else slice(0, num_tokens - 1)
    coords = slots.coords[..., :num_tokens, :]
    slots = jax.tree.map(lambda leaf: leaf[..., :num_tokens], slots._replace(coords=None))
    slots, starts = slots._replace(coords=coords), _starts(slots.segment)
    carried = jax.tree.map(lambda leaf: _behind_start(leaf, leaf[:, past], starts), carried)
    cond = conditions.at(cond, slice(0, num_tokens))
  stream = np.zeros(carried['x'].shape[1], np.int32)
  stream = stream[None] if slots.segment.ndim == 2 else stream
  slots = slots._replace(stream=stream, readable=~starts)
  return dataclasses.replace(ask, slots=slots, cond=cond, **carried)


def _num_working(slots) -> int:
  """Slots of the working copy: all, unless a history copy is known as such behind them."""
  num_slots = slots.stream.shape[-1]
  if not isinstance(slots.stream, np.ndarray):
    return num_slots
  return int(np.argmax(np.append(slots.stream.reshape(-1), 1)))


def _starts(segment):
  """bool [.., N]: the first tokens of the row and of its documents."""
  xp = np if isinstance(segment, np.ndarray) else jnp
  return xp.concatenate([xp.ones_like(segment[..., :1], bool), xp.diff(segment) != 0], axis=-1)


def _behind_start(whole, past, starts):
  """Noise where a document starts, else what was before."""
  moved = jnp.concatenate([whole[:, :1], past], axis=1)
  if starts.ndim == 1:
    return moved
  starts = starts.reshape(starts.shape + (1,) * (moved.ndim - 2))
  return jnp.where(starts, whole[:, :moved.shape[1]], moved)
