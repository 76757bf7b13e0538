"""A solver makes one step of the reverse walk, from level t to s, given the network's output at
t."""

import abc
from collections.abc import Callable

import jax
import jax.numpy as jnp

from adiff.process import base as process_base

# (x, t, s) -> out, on the tokens being denoised
Denoise = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


class Solver(abc.ABC):
  """Subclasses are frozen dataclasses, and final.

  calls: network evaluations a step. adaptive: a block may be finished before its steps are used up
  (`finished` says when), and is then left alone.
  """

  calls: int = 1
  adaptive: bool = False

  def check(self, process: process_base.Process):
    """Raises ValueError where this solver cannot serve the process."""
    del process  # most serve every one

  def level(self, process, x, t, s):
    """[B, n] level that the network is told for a step of the plan from t [B, n] to s [B, n]; the
    same for all tokens of a block that are not given, as t and s are."""
    del process, x, s
    return t

  def finished(self, process, x):
    """bool [B, n]: tokens that no further step will change."""
    del process
    return jnp.zeros(x.shape[:2], bool)

  def shown(self, x, carry, t, s):
    """What the network is shown for tokens x [B, n, ..]: x, or with a hint beside it; t and s as
    planned."""
    del carry, t, s
    return x

  @abc.abstractmethod
  def init(self, x):
    """State of a token that has made no step; leaves lead with x's [B, N], so that nothing leaks
    from block to block."""

  @abc.abstractmethod
  def step(self, denoise: Denoise, out, process, key, x, t, s, carry):
    """(x at s, carry). `out` = denoise(x, `level`, s) is already there: the sampler made that call,
    and wrote its cache.

    x [B, n, ...], t and s [B, n] as planned, key [B, n] one a token and step. Tokens with s == t
    must come back unchanged. The sampler holds given tokens fast, here and inside `denoise`.
    """


class Unmasking(Solver):
  """Reveals masked tokens for good: in each step those that `select` chooses, in the last all.

  The network is told the share of masked tokens among those in flight (s < t), which is the level
  at which training and the exactly-k likelihood show such a state; the plan bounds the steps.
  """

  adaptive = True

  def check(self, process):
    """Needs noise that is the mask alone."""
    if not process.counts:
      raise ValueError(
        f'solver {type(self).__name__} reveals masked tokens and needs process masked; write '
        'solver first_order for other noise'
      )

  def level(self, process, x, t, s):
    """The share of masked tokens, for tokens in flight."""
    flying = s < t
    hidden = flying & (x == process.mask_id)
    count = lambda flags: jnp.sum(flags, axis=1, keepdims=True).astype(t.dtype)
    return jnp.where(flying, count(hidden) / jnp.maximum(count(flying), 1), t)

  def finished(self, process, x):
    """Whatever is not masked."""
    return x != process.mask_id

  def init(self, x):
    """No state: x says what is revealed."""
    return ()

  @abc.abstractmethod
  def select(self, key, probs, eligible, t, s):
    """bool [B, n]: which of the eligible (masked, in flight) tokens to reveal.

    probs [B, n, V] of each token were it masked, key [B, n], t and s [B, n] as planned. May depend
    on the distributions, never on the symbols drawn from them, or the law of samples is another.
    """

  def rewrite(self, probs, x):
    """Tokens x [B, n] as they are to stand, given their probs; asked of revealed tokens of rows
    that still have masked ones."""
    del probs
    return x

  def step(self, denoise, out, process, key, x, t, s, carry):
    """Draws every eligible token and reveals the selected ones."""
    del denoise
    key_what, key_which = process_base.split(key)
    flying, hidden = s < t, x == process.mask_id
    eligible = flying & hidden
    probs = process.x0_hat(out, jnp.full_like(x, process.mask_id), t)
    chosen = eligible & (self.select(key_which, probs, eligible, t, s) | (s == 0))
    symbols = process_base.categorical(key_what, jnp.log(probs))
    changing = flying & ~hidden & jnp.any(eligible, axis=1, keepdims=True)
    old = jnp.where(changing, self.rewrite(probs, x), x)
    return jnp.where(chosen, symbols, old), carry


def first(score, eligible, count=1):
  """bool [B, n]: in each row the `count` (a number, or [B, 1]) eligible tokens of highest score
  [B, n]; all, where there are fewer."""
  order = jnp.argsort(jnp.where(eligible, -score, jnp.inf), axis=1)
  return eligible & (jnp.argsort(order, axis=1) < count)


def needs_gaussian(solver, process):
  """Refuses a process without a deterministic `move`."""
  if not hasattr(process, 'move'):
    name = type(solver).__name__
    raise ValueError(
      f'solver {name} follows an ODE and needs process gaussian; write solver first_order for '
      'symbols'
    )
