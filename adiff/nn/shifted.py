"""One stream for autoregression: a token's slot carries the token before it, and tells this one.

Blocks of one token need no copy of the row: what slot i has to know, the clean tokens before i, are
the inputs of the slots up to its own, and slot i is read by later ones. Half the slots of two
streams; a network of its own, since with two streams a slot carries its own token. The first slot
of a row or document carries noise, and nobody reads it.
"""

import jax
import jax.numpy as jnp
import numpy as np

from adiff.sequence import blocks as blocks_lib


def shift(network, blocks: blocks_lib.Blocks):
  """The function of `recipe.network` that callers of two streams, of the plain walk and of the
  cached one may call, made of one that sees the shifted stream."""
  num_tokens = blocks.num_tokens

  def apply(x, t, s, slots, cond, cache=None, commit=0, **asked):
    if commit:  # the cached walk: finished tokens, and the one behind them
      x, t, s = (leaf[:, :-1] for leaf in (x, t, s))
      slots, start = jax.tree.map(lambda leaf: leaf[1:], slots), np.zeros(x.shape[1], bool)
    elif x.shape[1] == 1:  # its first token
      start = np.ones(1, bool)
    else:  # two streams; or all tokens, as the plain walk has them
      past = slice(num_tokens, None) if x.shape[1] > num_tokens else slice(0, num_tokens - 1)
      coords = slots.coords[..., :num_tokens, :]
      slots = jax.tree.map(lambda leaf: leaf[..., :num_tokens], slots._replace(coords=None))
      slots, start = slots._replace(coords=coords), _starts(slots.segment)
      x, t, s = (_shifted(leaf, leaf[:, past], start) for leaf in (x, t, s))
    slots = slots._replace(stream=np.zeros(x.shape[1], np.int32), readable=~start)
    if slots.segment.ndim == 2:
      slots = slots._replace(stream=slots.stream[None])
    return network(x, t, s, slots, cond, cache, commit, **asked)

  return apply


def _starts(segment):
  """bool [.., N]: the first tokens of the row and of its documents."""
  xp = np if isinstance(segment, np.ndarray) else jnp
  return xp.concatenate([xp.ones_like(segment[..., :1], bool), xp.diff(segment) != 0], axis=-1)


def _shifted(whole, past, start):
  """Noise where a document starts, else what was before."""
  moved = jnp.concatenate([whole[:, :1], past], axis=1)
  if start.ndim == 1:
    return moved
  return jnp.where(start.reshape(start.shape + (1,) * (moved.ndim - 2)),
                   whole[:, :moved.shape[1]], moved)
