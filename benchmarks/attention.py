"""Attention under the rule, forward and backward: ours, dense, dense by chunks of queries, and by
jax's own function with a mask (jax.nn.dot_product_attention).

Gradients are those of queries, keys and values towards a given cotangent; nothing else is computed.
"""

import jax
import jax.numpy as jnp
import numpy as np

from adiff.nn import attention
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import mask
from benchmarks import turns

CHUNKS = (64, 128, 256, 512, 1024)
MOST_CHUNKS = 64  # of two streams: more are slower to run and take long to compile
MOST_BY_JAX = 1024  # tokens: of 4,096, what is kept for all candidates is more than 24 GiB
HEADS, DIM = 8, 64


def dense(q, k, v, allowed):
  """Attention that makes every score."""
  q, k, v = (jnp.swapaxes(leaf, 1, 2) for leaf in (q, k, v))
  scores = jnp.einsum('bhqd,bhkd->bhqk', q, k) * q.shape[-1] ** -0.5
  weights = jax.nn.softmax(jnp.where(allowed[None, None], scores, -1e30))
  return jnp.swapaxes(jnp.einsum('bhqk,bhkd->bhqd', weights, v), 1, 2)


def chunked(chunk):
  """`dense`, `chunk` queries at a time."""

  def run(q, k, v, allowed):
    size = q.shape[1]
    parts = [
      dense(q[:, first:first + chunk], k, v, allowed[first:first + chunk])
      for first in range(0, size, chunk)
    ]
    return jnp.concatenate(parts, axis=1)

  return run


def by_jax(q, k, v, allowed):
  """jax's own, which makes every score too."""
  return jax.nn.dot_product_attention(q, k, v, mask=allowed[None, None])


def ours(slots, dtype='float32'):
  """The project's, for these slots; by the kernel of the platform that has one."""
  head = jax.ShapeDtypeStruct((HEADS, DIM), jnp.dtype(dtype))
  seen = attention.visible(slots, (slots,), head=head)
  return lambda q, k, v, allowed: attention.attention(q, [(k, v)], seen)


def both_passes(f):
  """The result of f and its gradients."""

  def run(q, k, v, allowed, towards):
    out, pull = jax.vjp(lambda *arrays: f(*arrays, allowed), q, k, v)
    return out, pull(towards)

  return run


def suite(options, limits):
  """Rows by length and number of blocks, as they are measured; two streams."""
  cases = [(n, k) for n in options.lengths for k in (1, 4, 16, 64)]
  for num_tokens, num_blocks in cases:
    blocks = blocks_lib.equal(num_tokens, num_tokens // num_blocks)
    slots = blocks.slots(np.zeros((num_tokens, 1)))
    batch = max(1, 1024 // num_tokens)
    shape = (4, batch, blocks.num_slots, HEADS, DIM)
    q, k, v, towards = jax.random.normal(jax.random.key(0), shape, options.dtype)
    arguments = q, k, v, jnp.asarray(mask.attend(slots, slots)), towards
    kinds = {'ours': ours(slots, options.dtype), 'dense': dense}
    if num_tokens <= MOST_BY_JAX:
      kinds['jax.nn, dense'] = by_jax
    chunks = [c for c in CHUNKS if 2 * num_tokens / MOST_CHUNKS <= c < num_tokens]
    kinds |= {f'chunks of {c}': chunked(c) for c in chunks}
    programs = {name: turns.compiled(both_passes(f), *arguments) for name, f in kinds.items()}
    times = turns.take_turns(
      {n: turns.call(p[0], *arguments) for n, p in programs.items()}, options.rounds
    )
    limits.look()
    pairs = int(mask.attend(slots, slots).sum())
    needed = 6 * 2 * batch * HEADS * DIM * pairs  # two products forward, four backward
    median = {name: float(np.median(one)) for name, one in times.items()}
    best = min((name for name in median if name.startswith('chunks')), key=median.get, default=None)
    for name in kinds:
      if name.startswith('chunks') and name != best:
        continue
      yield {
        'tokens': num_tokens, 'blocks': num_blocks, 'batch': batch, 'attention': name,
        **turns.summary(times[name]),
        'over ours': turns.ratio(times[name], times['ours']),
        'over the matmul rate': median[name] * limits.rate / needed,
        'memory MiB': programs[name][2] / 2**20, 'compile s': programs[name][1],
      }
