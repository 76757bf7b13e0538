"""A solver makes one step of the reverse walk, from level t to s, given the network's output at t.

Shapes: x [B, n, ..] the tokens in flight, t and s [B, n] their levels before and after the step as
planned, key [B, n] one a token and step. A solver's memory of a token has leaves [B, n, ..].
"""

import abc
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adiff.process import base as process_base

# (x, t, s) -> out, on the tokens in flight.
Call = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
# logits [.., V] -> logits: the cut of the law that symbols are sampled from. It reaches that draw
# alone: what is decided (which tokens, and when) or remembered is so by the law as it is.
Narrow = Callable[[jax.Array], jax.Array]


def uncut(logits) -> jax.Array:
  """The Narrow that cuts nothing."""
  return logits


class Solver(abc.ABC):
  """Subclasses are frozen dataclasses, and final."""

  calls: int = 1  # network evaluations a step, at most
  # May a block be finished before its steps are used up (see `finished`)? It is left alone then.
  adaptive: bool = False
  as_process: bool = False  # is a step the process's own, `process.step`?
  renoises: bool = False  # does a step add fresh noise, whatever the process does?
  keeps: bool = False  # does a step read what its block was before earlier ones? See sample/kept.py
  hints: dict[str, int] = {}  # {name: floats a token} that `shown` shows, see model.hinted

  def needs(self, parts: Any) -> None:
    """Raises ValueError where this solver cannot serve parts.process."""
    del parts  # most serve every one

  def level(self, process, x, t, s) -> jax.Array:
    """[B, n] level that the network is told for a step of the plan from t to s; the same for all
    tokens of a block that are not given, as t and s are."""
    del process, x, s
    return t

  def ahead(self, x, level, s) -> jax.Array:
    """[B, n] level that the network is asked for in a step to s: the one that it is told."""
    del x, s
    return level

  def asks(self, s, runs=()) -> jax.Array:
    """int32, of the shape of s [.., n]: network evaluations of a step to level s; runs: of its last
    axis, where there are several kinds."""
    return jnp.full(jnp.shape(s), self.calls, jnp.int32)

  def finished(self, process, x) -> jax.Array:
    """bool [B, n]: tokens that no further step will change."""
    del process
    return jnp.zeros(x.shape[:2], bool)

  def reveals(self, levels, size) -> np.ndarray | None:
    """int [T]: how many of a block's `size` tokens, none of them given, finish in each step of a
    plan with these levels [T + 1]; None: the plan does not settle that."""
    return np.array([size]) if len(levels) == 2 else None

  def shown(self, memory, t, s) -> dict[str, jax.Array]:
    """{name: features [B, n, C]} that the network is shown beside the tokens: the Ask's hints."""
    del memory, t, s
    return {}

  def begun(self, x, keys) -> Any:
    """`init` before a walk; keys [B, N], one a token, for what is random."""
    return self.init(x)

  @abc.abstractmethod
  def init(self, x) -> Any:
    """Memory of tokens that have made no step; leaves lead with x's [B, N], so that nothing leaks
    from block to block."""

  @abc.abstractmethod
  def step(
    self, call: Call, out, process: process_base.Process, key, x, t, s, memory,
    narrow: Narrow = uncut,
  ) -> tuple[jax.Array, Any]:
    """(x at s, memory). `out` = call(x, `level`, `ahead`) is already there: the walk made that
    call, and wrote its cache.

    Tokens with s == t must come back unchanged. The walk holds given tokens fast, here and inside
    `call`. narrow is applied to outputs that are logits, where symbols are drawn from them and
    nowhere else.
    """
