"""A training step of two streams over one of the same network with one block.

`model` is what adiff/cost.py says of that ratio, from the operations and bytes of both programs;
a row fails where the measured ratio is above 1.1 times the model's. All of it: forward, backward,
AdamW, the parameters' average.
"""

import jax
import jax.numpy as jnp
import numpy as np

from adiff import build, cost, logs
from benchmarks import turns
from configs import toy

CASES = (  # times the width, depth, tokens, batch, numbers of blocks, share of the rounds
  (1, 2, 256, 16, (1, 4, 16), 1),
  (1, 6, 256, 16, (1, 4, 16), 1),
  (3, 6, 1024, 1, (1, 4), 1 / 3),
)


def compiled_step(width, depth, num_tokens, batch_size, num_blocks):
  """(thunk, cost.Cost, seconds of compilation, bytes of temporary memory)."""
  config = toy.get_config('block-masked')
  config.data.num_tokens, config.blocks.size = num_tokens, num_tokens // num_blocks
  config.model.width, config.model.depth = width, depth
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


def suite(options, rate):
  """Rows by size of the network and number of blocks."""
  bandwidth, rows = logs.bandwidth(), []
  for times_wide, depth, num_tokens, batch, counts, share in CASES:
    network = times_wide * options.width, depth
    steps = {k: compiled_step(*network, num_tokens, batch, k) for k in counts}
    rounds = max(round(share * options.rounds), 2)
    times = turns.take_turns({k: one[0] for k, one in steps.items()}, rounds)
    median = {k: float(np.median(one)) for k, one in times.items()}
    model = {k: one[1].seconds(rate, bandwidth) for k, one in steps.items()}
    for k, (_, needed, seconds, memory) in steps.items():
      ratio, predicted = median[k] / median[1], model[k] / model[1]
      rows.append({
        'wide': network[0], 'deep': network[1], 'tokens': num_tokens, 'batch': batch, 'blocks': k,
        **turns.summary(times[k]), 'over one block': ratio, 'model': predicted,
        'audit': turns.audit(ratio, predicted),
        'GFLOP': needed.flops / 1e9, 'of the matmul rate': needed.flops / rate / median[k],
        'memory MiB': memory / 2**20, 'compile s': seconds,
      })
    jax.clear_caches()
  return rows
