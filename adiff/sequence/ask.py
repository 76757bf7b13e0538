"""The contract: what a network is asked, and what it answers.

  loss, walk, likelihood --Ask--> [condition, guidance, shifted stream ..] --Ask--> network

An `Ask` is all that a network may know of where it is called from: tokens, levels, slots, and what
stands beside them. A `Denoise` is a network with its parameters bound: a trunk, from an Ask to
features, and a head, from features to outputs. What stands between them and the caller is made of
the same two parts: it changes the Ask before the trunk sees it, or the outputs after the head has
read them. Nothing here knows regimes, training or sampling.

Neither class is a pytree: transformations are taken of functions of arrays that build the Ask
inside, so that `keep` and slots that are known beforehand stay static.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax

from adiff.sequence import blocks as blocks_lib
from adiff.sequence import conditions
from adiff.sequence import head as head_lib
from adiff.sequence import tokens as tokens_lib


@dataclasses.dataclass(frozen=True)
class Ask:
  """One call of a network on S slots of B examples; changed with dataclasses.replace."""

  # symbols int [B, S], or vectors [B, S, D]; of several kinds, both (tokens.py)
  x: tokens_lib.Tokens | jax.Array
  t: jax.Array  # their levels: [B, S], or [B, M] one a copy (copies.py)
  slots: blocks_lib.Slots  # who they are; leaves [S], or [B, S]
  s: jax.Array | None = None  # the level asked for, as t, for flow maps; None: s = t
  # {name: features [B, S, C]} that walk or recipe make of a token's own past, such as the last
  # estimate of self-conditioning: never dropped, never guided
  hint: dict[str, jax.Array] = dataclasses.field(default_factory=dict)
  # {name: value}: what a user gives, as each slot sees it; see conditions.over_slots
  cond: dict[str, Any] = dataclasses.field(default_factory=dict)
  cache: Any = None  # finished blocks that are read besides; opaque outside nn/
  keep: int = 0  # how many of the first slots are finished, and written behind the cache, or as one

  def __post_init__(self):
    batch, num_slots = len(self.x), self.slots.block.shape[-1]
    assert self.x.shape[1] == num_slots, (self.x.shape, num_slots)
    chex.assert_shape(self.t, (batch, None))
    if self.s is not None:
      chex.assert_equal_shape([self.t, self.s])
    for feature in (*self.hint.values(), *map(conditions.leading, self.cond.values())):
      assert feature.shape[:2] == self.x.shape[:2], (feature.shape, self.x.shape)


class Answer(NamedTuple):
  """Outputs [B, T, O] of the last T slots or, where a history copy is known, of the first T: those
  that anybody may want (network.wanted); and the cache with the kept slots behind it."""

  out: jax.Array
  cache: Any


class Denoise(NamedTuple):
  """A network, or what stands before one, with everything but the Ask bound."""

  trunk: Callable[[Ask], tuple[jax.Array, Any]]  # Ask -> (features [B, T, W], cache)
  head: head_lib.Head
  # {name: value of examples} -> the same with every Memory as a conditions.Recall, made once for
  # all calls
  remember: Callable[[dict[str, Any]], dict[str, Any]] = dict

  def __call__(self, ask: Ask) -> Answer:
    h, cache = self.trunk(ask)
    return Answer(self.head.read(h, ask), cache)


def from_outputs(function: Callable[[Ask], jax.Array]) -> Denoise:
  """The Denoise of a function Ask -> out [B, S, O] without a cache: an exact law, or a network of
  somebody else."""
  return Denoise(lambda ask: (function(ask), ask.cache), head_lib.Outputs())
