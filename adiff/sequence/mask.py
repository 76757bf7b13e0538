"""The one attention rule, on index vectors, and its picture.

A slot reads, within its segment, the readable slots of earlier blocks and its own block in its own
stream. For three blocks of one token with a history copy (w working, h history; the last history
copy is never made):

         w1 w2 w3 h1 h2
    w1    x  .  .  .  .      a working block reads itself and the history *strictly* before it
    w2    .  x  .  x  .      (with >= instead of > the answer leaks and the loss looks great)
    w3    .  .  x  x  x
    h1    .  .  .  x  .      history reads history, its own block included (a token-causal copy:
    h2    .  .  .  x  x      up to its own token)

The same rule is the three-part mask of BD3-LM (arXiv:2503.09573), the quadrants of ACDiT
(arXiv:2412.07720), the scale mask of VAR (arXiv:2404.02905), the causal triangle (blocks of one
token) and the all-ones matrix (one block).
"""

import jax
import jax.numpy as jnp
import numpy as np

from adiff.sequence import blocks as blocks_lib


def attend(q: blocks_lib.Slots, k: blocks_lib.Slots, reach=None, sinks=0) -> jax.Array:
  """May slot q read slot k? bool [(B,) Q, K]; the definition every kernel is tested against.

    same segment and (earlier block, readable, near; or own block, own stream, own rank or less)

  reach: a block reads at most the `reach` blocks before it (None: all, 0: none but itself), and the
  first `sinks` blocks always. Rank orders the tokens of a token-causal history copy; in a working
  copy and in any other all tokens of a block read each other.
  """
  q_block, k_block = q.block[..., :, None], k.block[..., None, :]
  earlier = (k_block < q_block) & k.readable[..., None, :]
  if reach is not None:
    earlier &= (q_block - k_block <= reach) | (k_block < sinks)
  q_stream, k_stream = q.stream[..., :, None], k.stream[..., None, :]
  not_ahead = (k_stream == 0) | (k.rank[..., None, :] <= q.rank[..., :, None])
  own = (k_block == q_block) & (k_stream == q_stream) & not_ahead
  return (k.segment[..., None, :] == q.segment[..., :, None]) & (earlier | own)


def picture(blocks: blocks_lib.Blocks, reach=None, sinks=0) -> np.ndarray:
  """bool [S, S]: what each slot of a training row reads."""
  slots = blocks.slots(jnp.zeros((blocks.num_tokens, 1), jnp.int32))
  return np.asarray(attend(slots, slots, reach, sinks))


def ascii_art(allowed) -> str:
  """A mask as text: x where the slot of the line may read that of the column."""
  return '\n'.join(' '.join('x' if cell else '.' for cell in line) for line in np.asarray(allowed))
