"""What all solvers share that reveal masked tokens for good."""

import abc

import jax
import jax.numpy as jnp

from adiff.process import base as process_base
from adiff.sample.solvers import base


class Unmasking(base.Solver):
  """Reveals masked tokens for good: in each step those that `select` chooses, in the last all.

  The network is told the share of masked tokens among those in flight (s < t), which is the level
  at which training and the exactly-k likelihood show such a state; the plan bounds the steps. Given
  tokens count as revealed ones, though they are shown at level 0 (measured: docs/kinds.md).
  """

  adaptive = True

  def needs(self, parts):
    """Noise that is the mask alone."""
    if not parts.process.absorbing:
      raise ValueError(
        f'solver {type(self).__name__} reveals masked tokens and needs process masked; write '
        'solver first_order for other noise'
      )

  def level(self, process, x, t, s):
    """The share of masked tokens, for tokens in flight."""
    flying = s < t
    hidden = flying & (x == process.mask_id)
    num_hidden, num_flying = (
      jnp.sum(flags, axis=1, keepdims=True).astype(t.dtype) for flags in (hidden, flying)
    )
    return jnp.where(flying, num_hidden / jnp.maximum(num_flying, 1), t)

  def finished(self, process, x):
    """Whatever is not masked."""
    return x != process.mask_id

  def init(self, x):
    """No state: x says what is revealed."""
    return ()

  @abc.abstractmethod
  def select(self, key, probs, eligible, t, s) -> jax.Array:
    """bool [B, n]: which of the eligible (masked, in flight) tokens to reveal.

    probs [B, n, V] of each token were it masked, key [B, n], t and s [B, n] as planned. May depend
    on the distributions, never on the symbols sampled from them, or the law is another. They are
    the network's own, never cut: at temperature 0 a cut law is sure of everything.
    """

  def rewrite(self, probs, x) -> jax.Array:
    """Tokens x [B, n] as they are to stand, given their probs, as in `select`; asked of revealed
    tokens of rows that still have masked ones."""
    del probs
    return x

  def step(self, call, out, process, key, x, t, s, memory, narrow=base.uncut):
    """Samples every eligible token, from the cut law, and reveals those that were selected, by the
    law as it is."""
    del call
    key_what, key_which = process_base.split(key)
    flying, hidden = s < t, x == process.mask_id
    eligible, masks = flying & hidden, jnp.full_like(x, process.mask_id)
    probs, cut = (process.x0_hat(logits, masks, t) for logits in (out, narrow(out)))
    chosen = eligible & (self.select(key_which, probs, eligible, t, s) | (s == 0))
    symbols = process_base.categorical(key_what, jnp.log(cut))
    changing = flying & ~hidden & jnp.any(eligible, axis=1, keepdims=True)
    old = jnp.where(changing, self.rewrite(probs, x), x)
    return jnp.where(chosen, symbols, old), memory


def first(score, eligible, count=1) -> jax.Array:
  """bool [B, n]: in each row the `count` (a number, or [B, 1]) eligible tokens of highest score
  [B, n]; all, where there are fewer."""
  order = jnp.argsort(jnp.where(eligible, -score, jnp.inf), axis=1)
  return eligible & (jnp.argsort(order, axis=1) < count)
