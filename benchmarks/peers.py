"""Our training step and our samplers beside PyTorch packages, on the same cores.

Packages run in a process of their own (torch_peers.py), which sleeps while we run, and the other
way round: neither has the other's threads or memory.

All networks are transformers of one depth and width on as many tokens and examples, in float32,
trained by AdamW (ours also clips the gradient and averages the parameters). Of a peer's two forms,
eager and torch.compile, the one whose call took less after a warm-up takes part; `form` names it.

FLOPs are those of the matrix products that a program computes, masked scores included: of ours
`adiff.machine.cost`, of peers torch's counter. The matmul rate is the better one of JAX and PyTorch
in this run. `ours over peer` compares calls a second, at equal FLOPs FLOP/s; both are above one
where ours is faster. Samplers draw few samples at once and take a third of the rounds, at least
two.

`equal task` is two_streams.py, our layers in plain PyTorch: no package leaves out the mask on a CPU
as its `one product a block` does. flex_attention has no backward pass on
a CPU: AnyFlow-FAR, which asks for it, is given the dense product with the same mask.
"""

import concurrent.futures
import contextlib
import importlib
import importlib.util
import multiprocessing
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from adiff.machine import cost
from adiff.run import build, generate
from benchmarks import turns
from configs import base, toy

PACKAGES = 'autoregressive_diffusion_pytorch', 'diffusers', 'torch', 'x_transformers'
DEPTH, HEAD = 6, 64  # layers, channels of a head
TOKENS, BATCH, BLOCKS = 256, 16, 4
SAMPLES = 4  # drawn together
LONG, LONG_BATCH = 1024, 2  # the equal task once more
CHANNELS, VOCAB = 4, 256  # a vector token is a patch of 2 x 2 x CHANNELS
STEPS = 25  # of a sampler, a block
ATTENTION = 'one product with a mask', 'one product a block'  # of the equal task


class Candidate(NamedTuple):
  """One program of a task; `thunk` is a call of it."""

  peer: str
  form: str
  thunk: Callable
  parameters: int
  flops: float
  version: str
  remark: str = ''
  compiling: float | None = None  # seconds, of all forms


class Torch(NamedTuple):
  """torch_peers.py in its process."""

  process: concurrent.futures.Executor

  def ask(self, name, *arguments, **how):
    """The result of a function of torch_peers.py."""
    return self.process.submit(_answer, name, arguments, how).result()

  def candidate(self, kind, *arguments, **how) -> Candidate:
    """A program that is made by a function of torch_peers.py."""
    facts = self.ask('prepare', kind, *arguments, **how)
    number = facts.pop('number')
    return Candidate(thunk=lambda: self.ask('call', number), **facts)


def _answer(name, arguments, how):
  return getattr(importlib.import_module('benchmarks.torch_peers'), name)(*arguments, **how)


def measure(task, candidates, rounds, limits, torch, batch=None, *, last=True):
  """Rows of candidates that took turns; the first is ours. batch: samples a call makes; last: are
  the packages' programs forgotten then?"""
  times = turns.take_turns({one.peer: one.thunk for one in candidates}, rounds)
  limits.look(torch.ask('matmul_rate'))
  rows = []
  for one in candidates:
    row = {
      'task': task, 'peer': one.peer, 'form': one.form, 'M parameters': one.parameters / 1e6,
      **turns.summary(times[one.peer]), 'GFLOP': one.flops / 1e9,
    }
    if batch:
      row['s a sample'] = row['ms'] / 1e3 / batch
    row['GFLOP/s'] = 1e3 * row['GFLOP'] / row['ms']
    row['of the matmul rate'] = 1e9 * row['GFLOP/s'] / limits.rate
    if rows:
      row['ours over peer'] = turns.ratio(times[one.peer], times[candidates[0].peer])
      row['ours over peer at equal FLOPs'] = row['ours over peer'] * rows[0]['GFLOP'] / row['GFLOP']
    if one.compiling is not None:
      row['compiling s'] = one.compiling
    rows.append({**row, 'version': one.version, 'remark': one.remark})
  if last:
    torch.ask('clear')
  return rows


def ours(row, width, *, tokens=None, batch=None, remark='', sample=False):
  """A row of configs/toy.py at the size of the suite: its training step or its sampler."""
  config = toy.get_config(row)
  tokens, batch = tokens or TOKENS, batch or BATCH
  config.data.num_tokens = tokens
  if config.process.name == 'gaussian':
    config.data.dim = 4 * CHANNELS
    base.choose(config, 'solver', 'first_order')
  else:
    config.data.vocab = VOCAB
  if config.draw.name == 'ones':
    config.model.shifted = True
  if config.blocks.name == 'equal':
    config.blocks.size = tokens // BLOCKS
  config.plan.steps = 1 if config.draw.name == 'ones' else STEPS
  config.model.width, config.model.depth, config.model.heads = width, DEPTH, width // HEAD
  config.train.batch_size = batch
  return candidate(config, remark=remark, sample=sample)


def candidate(config, *, remark='', sample=False):
  """Our training step, or our sampler, of train.batch_size examples."""
  parts, batch = build.build(config), config.train.batch_size
  key = jax.random.key(0)
  state = jax.jit(parts.recipe.init)(key)
  if sample:
    function = generate.make_sampler(parts)
    labels = generate.balanced_labels(parts.spec.num_classes, 0, batch)
    params = parts.recipe.served(state)
    arguments = params, generate.example_keys(0, 0, batch), jnp.asarray(labels)
  else:
    function = parts.recipe.update
    rows = jnp.zeros_like(parts.process.prior(key, (batch, parts.blocks.num_tokens)))
    arguments = state, {'tokens': rows, 'label': jnp.zeros(batch, jnp.int32)}, key
  counted = generate.rollout(parts, batch) if sample else cost.count(function, *arguments)
  return compiled(function, arguments, state.params, counted, remark)


def compiled(function, arguments, params, counted, remark='') -> Candidate:
  """Our program; counted: its cost.Cost."""
  program, seconds, _ = turns.compiled(function, *arguments)
  size = sum(leaf.size for leaf in jax.tree.leaves(params))
  remark = '; '.join(filter(None, [remark, f'FLOPs: {counted.said}' if counted.said else '']))
  return Candidate(
    'ours', 'jit', turns.call(program, *arguments), size, counted.flops, f'jax {jax.__version__}',
    remark, seconds,
  )


def suite(options, limits):
  """Rows by task and candidate; those of samplers take fewer rounds."""
  with process(options) as torch:
    return _rows(options.width, options.rounds, limits, torch)


@contextlib.contextmanager
def process(options):
  """The process of the packages, as long as the block runs; options.width: of the networks."""
  missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
  if missing:
    raise SystemExit(
      f"The packages {', '.join(missing)} are missing: write python -m pip install 'adiff[bench]'"
    )
  if options.width % HEAD:
    raise SystemExit(f'--width={options.width} must be a multiple of {HEAD}, the size of a head')
  spawn = multiprocessing.get_context('spawn')
  with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as executor:
    yield Torch(executor)


def _rows(width, rounds, limits, torch):
  peer = lambda kind, *arguments, **how: torch.candidate(kind, width, *arguments, **how)
  tasks = {
    'step: one block': lambda: [ours('full-gaussian', width), peer('dit')],
    'step: blocks': lambda: [ours('block-gaussian', width), peer('anyflow')],
    'step: continuous tokens': lambda: [
      ours('ar_continuous', width, remark='two streams; the whole network denoises a token'),
      peer('head', 'AutoregressiveDiffusion'), peer('head', 'AutoregressiveFlow'),
    ],
    'step: next symbol': lambda: [ours('ar', width, remark='one stream'), peer('next_token')],
    'step: masked symbols': lambda: [ours('full-masked', width), peer('masked')],
    **{
      f'step: blocks, equal task, {tokens} tokens, batch {batch}': lambda t=tokens, b=batch: [
        ours('block-gaussian', width, tokens=t, batch=b),
        *(peer('equal_task', t, b, name) for name in ATTENTION),
      ]
      for tokens, batch in ((TOKENS, BATCH), (LONG, LONG_BATCH))
    },
  }
  rows = []
  for task, candidates in tasks.items():
    rows += measure(task, candidates(), rounds, limits, torch)
  samplers = {
    'sample: one block': ('full-gaussian', 'dit'),
    'sample: next symbol': ('ar', 'next_token'),
    'sample: blocks': ('block-gaussian', 'anyflow'),
  }
  for task, (row, kind) in samplers.items():
    pair = [ours(row, width, batch=SAMPLES, sample=True), peer(kind, sample=True)]
    rows += measure(task, pair, max(2, rounds // 3), limits, torch, SAMPLES)
  return rows
