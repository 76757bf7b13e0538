"""What all solvers share that reveal masked tokens for good."""

import abc

import jax
import jax.numpy as jnp

from adiff.process import base as process_base
from adiff.sample.solvers import base
from adiff.sequence import tokens as tokens_lib


class Unmasking(base.Solver):
  """Reveals masked tokens for good: in each step those that `select` chooses, in the last all.

  The network is told the share of masked tokens among those in flight (s < t), which is the level
  at which training and the exactly-k likelihood show such a state; the plan bounds the steps. Given
  tokens count as revealed ones, though they are shown at level 0 (measured: docs/kinds.md).
  """

  adaptive = True
  sure = True  # does it decide by the probabilities of symbols?

  def needs(self, parts):
    """Noise that is the mask alone, and symbols where it asks how likely they are."""
    if not parts.process.absorbing:
      raise ValueError(
        f'solver {type(self).__name__} reveals masked tokens and needs process masked; write '
        'solver first_order for other noise'
      )
    if self.sure and parts.process.by_law:
      raise ValueError(
        f'solver {type(self).__name__} decides by probabilities of symbols, and vectors have none; '
        'write solver.name=scheduled with choose=random, or first_hitting'
      )

  def level(self, process, x, t, s):
    """The share of masked tokens, for tokens in flight."""
    flying = s < t
    hidden = flying & process.hidden(x)
    num_hidden, num_flying = (
      jnp.sum(flags, axis=1, keepdims=True).astype(t.dtype) for flags in (hidden, flying)
    )
    return jnp.where(flying, num_hidden / jnp.maximum(num_flying, 1), t)

  def finished(self, process, x):
    """Whatever is not masked."""
    return ~process.hidden(x)

  def init(self, x):
    """No state: x says what is revealed."""
    return ()

  @abc.abstractmethod
  def select(self, key, probs, eligible, t, s) -> jax.Array:
    """bool [B, n]: which of the eligible (masked, in flight) tokens to reveal.

    probs [B, n, V] of each token were it masked, None where they are not asked for (`sure`); key
    [B, n], t and s [B, n] as planned. May depend
    on the distributions, never on the symbols sampled from them, or the law is another. They are
    the network's own, never cut: at temperature 0 a cut law is sure of everything.
    """

  def rewrite(self, probs, x) -> jax.Array:
    """Tokens x [B, n] as they are to stand, given their probs, as in `select`; asked of revealed
    tokens of rows that still have masked ones."""
    del probs
    return x

  def step(self, call, out, process, key, x, t, s, memory, narrow=base.uncut):
    """Reveals the eligible tokens that are selected, by the law as it is, with samples of the cut
    one."""
    del call
    key_what, key_which = process_base.split(key)
    flying, hidden = s < t, process.hidden(x)
    eligible = flying & hidden
    probs = process.x0_hat(out, process.masks(t.shape), t) if self.sure else None
    chosen = eligible & (self.select(key_which, probs, eligible, t, s) | (s == 0))
    made = process.sample(key_what, narrow(out), chosen)
    changing = flying & ~hidden & jnp.any(eligible, axis=1, keepdims=True)
    old = tokens_lib.pick(changing, self.rewrite(probs, x), x)
    return tokens_lib.pick(chosen, made, old), memory


def first(score, eligible, count=1) -> jax.Array:
  """bool [B, n]: in each row the `count` (a number, or [B, 1]) eligible tokens of highest score
  [B, n]; all, where there are fewer."""
  order = jnp.argsort(jnp.where(eligible, -score, jnp.inf), axis=1)
  return eligible & (jnp.argsort(order, axis=1) < count)
