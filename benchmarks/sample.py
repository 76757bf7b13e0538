"""A rollout block by block, against full-sequence diffusion at equal steps.

A network of 6 layers with random parameters, 1,024 tokens, 4 steps a block; one sample at a time,
and four: a product of few rows spends much of its time on laying out its weights.
`ratio` is over the row that is named; `model` is what adiff/machine/cost.py says of the same ratio,
from the operations and bytes of both programs. A row fails where the measured ratio is above 1.1
times the model's: then the baseline was handicapped. Causality saves attention (a block does not
see later ones) and makes the first block early; it saves no steps, and the rest is linear in
tokens. Last rows: with a reach of 4 blocks a 16 times longer rollout takes the same time a block.
"""

from unittest import mock

import jax
import numpy as np

from adiff.run import build, generate
from adiff.sample import capacity
from benchmarks import turns
from configs import base, toy

STEPS, DEPTH, SAMPLES = 4, 6, 4
RING = 32, (16, 256)  # tokens a block, numbers of blocks


def parts_of(num_tokens, size, width, *, dtype='float32', reach=None, guided=False):
  """A gaussian model of blocks of `size` tokens."""
  config = toy.get_config('block-gaussian')
  with config.unlocked():
    config.data.num_tokens, config.blocks.size, config.plan.steps = num_tokens, size, STEPS
    base.choose(config, 'solver', 'first_order')
    base.choose(
      config, 'model', 'denoiser', width=width, depth=DEPTH, heads=max(width // 64, 1), reach=reach,
      dtype=dtype,
    )
    config.guidance.scale = config.guidance.first = 1.5 if guided else 1.0
  return build.build(config)


def program(parts, num=1, *, cached=True, one_room=False):
  """(thunk of `num` samples, cost.Rollout, seconds of compilation)."""
  params = parts.recipe.served(jax.jit(parts.recipe.init)(jax.random.key(0)))
  arguments = params, generate.example_keys(0, 0, num), np.zeros(num, np.int32)
  run = generate.make_sampler(parts, trace=not cached)
  with mock.patch.object(capacity, 'PARTS', 1 if one_room else capacity.PARTS):
    compiled, seconds, _ = turns.compiled(run, *arguments)
    needed = generate.rollout(parts, num, cached=cached)
  return turns.call(compiled, *arguments), needed, seconds


def suite(options, limits):
  """Rows of one table, as they are measured."""
  width, long, dtype = options.width, options.tokens, options.dtype
  size = long // 8
  blocks = lambda **how: parts_of(long, size, width, dtype=dtype, **how)
  whole = lambda **how: parts_of(long, long, width, dtype=dtype, **how)
  several = f', {SAMPLES} samples'
  programs = {
    'full sequence': program(whole()),
    'blocks, recomputed': program(blocks(), cached=False),
    'blocks, one cache for all': program(blocks(), one_room=True),
    'blocks': program(blocks()),
    'full sequence, guided': program(whole(guided=True)),
    'blocks, guided': program(blocks(guided=True)),
    'full sequence' + several: program(whole(), SAMPLES),
    'blocks, recomputed' + several: program(blocks(), SAMPLES, cached=False),
    'blocks' + several: program(blocks(), SAMPLES),
  }
  over = {
    'blocks, recomputed': 'full sequence', 'blocks, one cache for all': 'blocks, recomputed',
    'blocks': 'blocks, recomputed', 'full sequence, guided': 'full sequence',
    'blocks, guided': 'full sequence, guided',
    'blocks, recomputed' + several: 'full sequence' + several,
    'blocks' + several: 'blocks, recomputed' + several,
  }
  nothing = turns.call(jax.jit(lambda *leaves: leaves[0]), np.zeros(1, np.float32))
  times = turns.take_turns({**{n: p[0] for n, p in programs.items()}, '': nothing}, options.rounds)
  limits.look()
  median = {name: float(np.median(one)) for name, one in times.items()}
  model = {name: one[1].seconds(limits.rate, limits.bandwidth) for name, one in programs.items()}
  for name, (_, needed, seconds) in programs.items():
    row = {
      'rollout': name, **turns.summary(times[name]), 'evaluations': needed.evaluations,
      'GFLOP': needed.flops / 1e9, 'cache MiB': needed.cache_bytes / 2**20,
      'of the matmul rate': needed.flops / limits.rate / median[name],
      'dispatch share': median[''] / median[name], 'compile s': seconds,
    }
    if name in over:
      ratio = turns.ratio(times[over[name]], times[name])
      predicted = model[over[name]] / model[name]
      row |= {
        'over': over[name], 'ratio': ratio, 'model': predicted,
        'audit': turns.audit(ratio, predicted),
      }
    yield row
  # Time a block with a reach, as the rollout grows.
  size, counts = RING
  ring = {k: program(parts_of(size * k, size, width, dtype=dtype, reach=4)) for k in counts}
  times = turns.take_turns({k: one[0] for k, one in ring.items()}, max(3, options.rounds // 3))
  for k, (_, needed, seconds) in ring.items():
    measured = turns.summary(times[k] / np.float64(k))
    yield {
      'rollout': f'reach 4, {k} blocks of {size}, a block', **measured,
      'evaluations': needed.evaluations, 'GFLOP': needed.flops / 1e9,
      'cache MiB': needed.cache_bytes / 2**20, 'compile s': seconds,
    }
