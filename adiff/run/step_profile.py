"""The step profile of a gaussian model: how far from its end a block stops by its number of steps.

Of samples that the model makes, so no data are needed: each block is made in n steps and in
REFERENCE of them, at the same noise and behind the same past (adiff/sample/apart.py), and the error
is the squared distance of the two, summed over the block's values, in units of the tokens. It falls
as fast as the solver's order says once steps are small, and what it is at few steps, where budgets
are made, no order says.
"""

import dataclasses

import jax
import numpy as np

from adiff.machine import checkpoint, cost
from adiff.run import build, generate, kept
from adiff.sample import apart, budget

NUMBERS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)  # of steps; those between are interpolated
REFERENCE = 64  # steps that count as all there are
EXAMPLES = 64  # at most, and of eval.batch_size


def best(workdir, config) -> tuple[int, ...]:
  """The steps of each block, config.plan.steps of them on average, with the least sum of errors; of
  a workdir's averaged parameters at the newest step."""
  parts = kept.parts(workdir, config)
  check(parts)
  num_blocks, mean = parts.blocks.num_blocks, config.plan.steps
  _, params = checkpoint.restore_params(workdir, cost.params(parts))
  most = min(num_blocks * (mean - 1) + 1, NUMBERS[-1])
  return budget.dealt(measure(parts, params, most), num_blocks * mean)


def check(parts: build.Parts) -> None:
  """Raises ValueError where blocks have no steps to share, or steps no end to come near to."""
  if parts.blocks.num_blocks == 1 or not parts.plan.sequential or not parts.in_turn:
    raise ValueError(
      'solver budget deals steps out to several blocks that are made one after another, step by '
      'step; write plan.delay=None, parallel.method=none and speculative.steps=0, or another solver'
    )
  solver = parts.solver
  noisy = parts.process.eta > 0 if solver.as_process else solver.renoises
  if noisy or parts.config.plan.first:
    raise ValueError(
      'solver budget compares few steps with many at the same noise, and says itself what the '
      'first block gets; write process.eta=0.0 and plan.first=0, and a solver that adds no noise'
    )
  if parts.config.plan.steps > NUMBERS[-1]:
    raise ValueError(
      f'solver budget deals at most {NUMBERS[-1]} steps a block out, not '
      f'{parts.config.plan.steps}; write fewer, or leave the solver as it is'
    )


def measure(parts: build.Parts, params, most) -> np.ndarray:
  """[K, most] mean error of each block in 1 .. most steps."""
  seed, blocks = parts.config.seed, parts.blocks
  examples = min(EXAMPLES, parts.config.eval.batch_size)
  keys = generate.example_keys(seed, 0, examples)
  labels = generate.balanced_labels(parts.spec.num_classes, 0, examples)
  plan = dataclasses.replace(parts.plan, steps=REFERENCE)
  reference, _ = generate.make_sampler(parts, plan)(params, keys, labels)

  @jax.jit
  def errors(params, keys, labels, reference, levels, num_steps):
    denoise = parts.recipe.network(params, loops=True)
    return apart.errors(
      generate.guided(parts, denoise, generate.asked_for(parts, labels)), keys, levels, num_steps,
      reference, blocks=blocks, process=parts.process, solver=parts.solver,
      coords=parts.spec.coords, hints=parts.hints,
    )

  numbers = [number for number in NUMBERS if number < most] + [most]
  found = [
    errors(params, keys, labels, reference, _levels(plan, number), number) for number in numbers
  ]
  return between(numbers, np.stack(found, 1))


def between(numbers, errors) -> np.ndarray:
  """[K, M]: errors [K, len(numbers)] at every number of steps from 1 to M = numbers[-1]; those
  between are as a power of the number would have it."""
  every = np.log(np.arange(1, numbers[-1] + 1))
  logs = np.log(np.maximum(np.asarray(errors, np.float64), np.finfo(np.float32).tiny))
  return np.exp([np.interp(every, np.log(numbers), own) for own in logs])


def _levels(plan, number) -> np.ndarray:
  """[REFERENCE + 1] levels of `number` steps of a block, 0 behind them."""
  own = dataclasses.replace(plan, num_blocks=1, steps=number).matrix[:, 0]
  return np.pad(own, (0, REFERENCE - number))
