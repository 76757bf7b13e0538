"""A solver makes one step of the reverse walk, from level t to s, given the network's output at
t."""

import abc
from collections.abc import Callable

import jax

from adiff.process import base as process_base

# (x, t, s) -> out, on the tokens being denoised
Denoise = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


class Solver(abc.ABC):
  """Subclasses are frozen dataclasses, and final. `calls`: network evaluations a step."""

  calls: int = 1

  def check(self, process: process_base.Process):
    """Raises ValueError where this solver cannot serve the process."""
    del process  # most serve every one

  @abc.abstractmethod
  def init(self, x):
    """State of a token that has made no step; leaves lead with x's [B, N], so that nothing leaks
    from block to block."""

  @abc.abstractmethod
  def step(self, denoise: Denoise, out, process, key, x, t, s, carry):
    """(x at s, carry). `out` = denoise(x, t, s) is already there: the sampler made that call, and
    wrote its cache.

    x [B, n, ...], t and s [B, n], key [B, n] one a token and step. Tokens with s == t must come
    back unchanged.
    """


def needs_gaussian(solver, process):
  """Refuses a process without a deterministic `move`."""
  if not hasattr(process, 'move'):
    name = type(solver).__name__
    raise ValueError(
      f'solver {name} follows an ODE and needs process gaussian; write solver first_order for '
      'symbols'
    )
