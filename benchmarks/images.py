"""A U-Net, and samplers of codes and of vectors, beside PyTorch packages, on the same cores.

Laid out as peers.py: packages run in a process of their own, which sleeps while we run, and the
other way round. Of a peer's two forms, eager and torch.compile, the one whose call took less after
a warm-up takes part, in inference mode. `compiling s` is no part of a call: of ours the whole, of a
peer the first compiled call.

U-Nets have the same layers (tests/nn/test_peer_networks.py sets one's weights into the other) and
make 32x32 pixels of three colours: a training step, and DDIM of 8 steps. All others are
transformers of one width and depth on 64 tokens:

  codes             one of 256 a call, with a cache
  vectors           one a call, with a cache; a small network denoises it, 16 steps of Heun's
                    method. Between its layers ours has the trunk's width, theirs a vector's
  vectors, 8 calls  ours as MAR: a few a call in a random order, without a cache, the head as above

FLOPs are those of matrix products, of ours `adiff.machine.cost`, of peers torch's counter. `ours
over peer` compares calls a second, at equal FLOPs FLOP/s; both are above one where ours is faster.
One sample is measured, and a few together.
"""

from benchmarks import peers
from configs import base

TOKENS, VOCAB, DIM = 64, 256, 16  # symbols, or vectors of DIM
DEPTH, SMALL = 6, 16  # layers, small steps of a vector
TOGETHER = (1, 8)  # samples
SIDE, COLOURS, STEPS = 32, 3, 8  # of the U-Net's pictures, and of its sampler
LEVELS, ATTEND = 3, 2  # grids, and which of them attends


def suite(options, limits):
  """Rows by task and candidate."""
  with peers.process(options) as torch:
    return _rows(options.width, options.rounds, limits, torch)


def _rows(width, rounds, limits, torch):
  most = TOGETHER[-1]
  pair = [peers.candidate(unet(width, most)), torch.candidate('unet_step', width, most)]
  rows = peers.measure(f'step: U-Net, {most}', pair, rounds, limits, torch)
  for batch in TOGETHER:
    tasks = {
      'unet': {'sample: U-Net': unet},
      'codes': {'sample: codes': codes},
      'vectors': {'sample: vectors': vectors, 'sample: vectors, 8 calls': few_calls},
    }
    for kind, samplers in tasks.items():
      theirs = torch.candidate(kind, width, batch)
      for task, config in samplers.items():
        pair = [peers.candidate(config(width, batch), sample=True), theirs]
        last = task == list(samplers)[-1]
        rows += peers.measure(f'{task}, {batch}', pair, rounds, limits, torch, batch, last=last)
  return rows


def unet(width, batch):
  """The config of a U-Net whose finest grid has half the width."""
  c = base.get_config()
  base.choose(c, 'data', 'latents', shape=(SIDE, SIDE, COLOURS), made_up=True)
  base.choose(c, 'codec', 'latents', patch=1)
  base.choose(c, 'blocks', 'whole')
  base.choose(c, 'process', 'gaussian')
  base.choose(c, 'solver', 'first_order')
  base.choose(
    c, 'model', 'unet', widths=unet_widths(width), blocks=2, attend=(ATTEND,), head_width=peers.HEAD
  )
  c.plan.steps, c.train.batch_size = STEPS, batch
  return c


def unet_widths(width):
  """Features of each grid, from fine to coarse."""
  return (width // 2, *[width] * (LEVELS - 1))


def _transformer(width, batch):
  c = base.get_config()
  base.choose(c, 'solver', 'first_order')
  base.choose(
    c, 'model', 'denoiser', width=width, depth=DEPTH, heads=width // peers.HEAD, shifted=True)
  c.plan.steps, c.train.batch_size = 1, batch
  return c


def codes(width, batch):
  """The config of symbols, one a call."""
  c = _transformer(width, batch)
  base.choose(c, 'data', 'chain', num_tokens=TOKENS, vocab=VOCAB)
  base.choose(c, 'blocks', 'tokens')
  base.choose(c, 'process', 'masked')
  base.choose(c, 'draw', 'ones')
  return c


def vectors(width, batch):
  """The config of vectors, one a call, each sampled by the head."""
  c = _transformer(width, batch)
  base.choose(c, 'data', 'mixture', num_tokens=TOKENS, dim=DIM, size=64)
  base.choose(c, 'blocks', 'tokens')
  base.choose(c, 'process', 'masked_vectors')
  base.choose(c, 'draw', 'ones')
  base.choose(c, 'head', 'diffusion', width=width, depth=3, steps=SMALL, solver='heun')
  return c


def few_calls(width, batch):
  """The config of MAR: a few vectors a call, by the cosine."""
  c = vectors(width, batch)
  base.choose(c, 'blocks', 'whole')
  base.choose(c, 'draw', 'uniform')
  base.choose(c, 'solver', 'scheduled')
  base.choose(c, 'spacing', 'cosine')
  c.model.shifted, c.model.apart, c.plan.steps = False, True, 8
  return c
