"""Kinds of tokens that are hidden in the past: later blocks read them as pure noise, at level 1.

A caption that stands before its picture in the sequence is a condition, and this is its null: it is
hidden in a share of the training examples, and in the second branch of guidance.
"""

import dataclasses

import jax.numpy as jnp

from adiff.sequence import ask as ask_lib
from adiff.sequence import copies
from adiff.sequence import tokens as tokens_lib


def hide(ask: ask_lib.Ask, rows, masks: dict[str, int]) -> ask_lib.Ask:
  """The Ask with the history slots of some kinds masked, in the examples rows [B] bool; masks:
  {kind: its mask_id}."""
  runs, num_slots = ask.x.runs, ask.x.shape[1]
  past = jnp.broadcast_to(ask.slots.stream == 1, (len(rows), num_slots)) & rows[:, None]
  parts, own = dict(ask.x.parts), tokens_lib.deal(past, runs)
  for kind in own:
    if kind in masks:
      parts[kind] = jnp.where(own[kind], masks[kind], parts[kind])
    else:
      own[kind] = jnp.zeros_like(own[kind])
  of_level = hidden = tokens_lib.gather(own, runs)
  if ask.t.shape[1] != num_slots:  # one level a copy, all of one kind
    first, _ = copies.find(ask.slots, ask.t.shape[1])
    of_level = hidden[:, first]
  t, s = (None if level is None else jnp.where(of_level, 1, level) for level in (ask.t, ask.s))
  return dataclasses.replace(ask, x=tokens_lib.Tokens(parts, runs), t=t, s=s)
