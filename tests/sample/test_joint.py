"""Walks over several kinds: the program does not grow with the blocks that take turns."""

import jax
import numpy as np
import tiny

from adiff.learn import loss
from adiff.nn import denoiser
from adiff.nn import joint as joint_head
from adiff.nn.heads import linear
from adiff.process import gaussian, masked
from adiff.process import joint as joint_process
from adiff.sample import cached, capacity, joint
from adiff.sample.solvers import first_order, heun
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import draw
from adiff.sequence import plan as plan_lib

PROCESS = joint_process.Joint({'a': masked.Masked(3), 'b': gaussian.Gaussian(1, clip=0.0)})
SOLVER = joint.Joint({'a': first_order.FirstOrder(), 'b': heun.Heun()})


def programs(num_blocks):
  """The programs of a cached walk and of a gradient, as text, for so many blocks of two tokens
  whose kinds take turns."""
  kinds = {kind: blocks_lib.equal(num_blocks, 2) for kind in ('a', 'b')}
  blocks = blocks_lib.joint(kinds, turns=True)
  head = joint_head.Joint({'a': linear.Linear(), 'b': linear.Linear()})
  model = denoiser.Denoiser(
    PROCESS.num_inputs, PROCESS.num_outputs, head=head, width=16, depth=1, heads=2)
  coords, plan = np.arange(2 * num_blocks)[:, None], plan_lib.Plan(num_blocks, 2)
  params = tiny.random_params(model, PROCESS, blocks, coords)
  how = dict(blocks=blocks, process=PROCESS, coords=coords)

  def walk(params, keys):
    cache = model.empty_cache(2, capacity.places(plan, blocks), 1)
    return cached.sample(model.denoise(params), keys, plan, cache, solver=SOLVER, **how)

  def gradient(params, key):
    def value(params):
      x0 = PROCESS.prior(key, blocks.shape(2))
      return loss.loss(model.denoise(params), key, x0, draw=draw.uniform(), **how)[0]

    return jax.grad(value)(params)

  keys = jax.random.split(jax.random.key(0), 2)
  return [jax.jit(f).lower(params, arg).as_text() for f, arg in ((walk, keys), (gradient, keys[0]))]


def test_sixty_four_blocks_that_take_turns_make_a_program_as_large_as_four_do():
  for few, many in zip(programs(4), programs(64), strict=True):
    assert many.count('\n') < 1.1 * few.count('\n')
