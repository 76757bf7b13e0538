"""A training step of two streams over one of the same network with one block.

`model` is what adiff/machine/cost.py says of that ratio, from the operations and bytes of both
programs; a row fails where the measured ratio is above 1.1 times the model's. All of it: forward,
backward, AdamW, the parameters' average.
"""

import jax
import jax.numpy as jnp
import numpy as np

from adiff.machine import cost
from adiff.run import build
from benchmarks import turns
from configs import toy

CASES = (  # times the width, depth, tokens, batch, numbers of blocks, share of the rounds
  (1, 2, 256, 16, (1, 4, 16), 1),
  (1, 6, 256, 16, (1, 4, 16), 1),
  (3, 6, 1024, 1, (1, 4), 1 / 3),
)


def compiled_step(dtype, width, depth, num_tokens, batch_size, num_blocks):
  """(thunk, cost.Cost, seconds of compilation, bytes of temporary memory)."""
  config = toy.get_config('block-masked')
  config.data.num_tokens, config.blocks.size = num_tokens, num_tokens // num_blocks
  config.model.width, config.model.depth, config.model.dtype = width, depth, dtype
  config.model.heads = max(width // 64, 1)
  config.train.batch_size = batch_size
  parts = build.build(config)
  key = jax.random.key(0)
  state = jax.jit(parts.recipe.init)(key)
  batch = {
    'tokens': jnp.zeros((batch_size, num_tokens), jnp.int32),
    'label': jnp.zeros(batch_size, jnp.int32),
  }
  program, seconds, memory = turns.compiled(parts.recipe.update, state, batch, key)
  return turns.call(program, state, batch, key), cost.step(parts), seconds, memory


def suite(options, limits):
  """Rows by size of the network and number of blocks, as they are measured."""
  for times_wide, depth, num_tokens, batch, counts, share in CASES:
    size = {'wide': times_wide * options.width, 'deep': depth, 'tokens': num_tokens, 'batch': batch}
    steps = {k: compiled_step(options.dtype, *size.values(), k) for k in counts}
    rounds = max(round(share * options.rounds), 3)
    limits.look()
    times = turns.take_turns({k: one[0] for k, one in steps.items()}, rounds)
    limits.look()
    costs = {k: one[1:] for k, one in steps.items()}
    del steps
    jax.clear_caches()
    model = {k: one[0].seconds(limits.rate, limits.bandwidth) for k, one in costs.items()}
    for k, (needed, seconds, memory) in costs.items():
      ratio, predicted = turns.ratio(times[k], times[1]), model[k] / model[1]
      yield {
        **size, 'blocks': k, **turns.summary(times[k]), 'over one block': ratio,
        'model': predicted, 'audit': turns.audit(ratio, predicted), 'GFLOP': needed.flops / 1e9,
        'of the matmul rate': needed.flops / limits.rate / float(np.median(times[k])),
        'memory MiB': memory / 2**20, 'compile s': seconds,
      }
