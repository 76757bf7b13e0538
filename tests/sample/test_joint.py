"""Walks over several kinds: the program does not grow with the blocks that take turns."""

import jax
import jax.numpy as jnp
import numpy as np
import tiny

from adiff.learn import loss
from adiff.nn import denoiser
from adiff.nn import joint as joint_head
from adiff.nn.heads import linear
from adiff.process import gaussian, masked
from adiff.process import joint as joint_process
from adiff.sample import cached, capacity, joint, walk
from adiff.sample.solvers import first_order, heun
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import draw, tokens
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


def test_a_cut_reaches_the_laws_of_symbols_alone():
  blocks = blocks_lib.joint({'a': blocks_lib.whole(2), 'b': blocks_lib.whole(3)})
  x, seen = PROCESS.prior(jax.random.key(0), blocks.shape(4)), []
  out = tokens.Tokens({'a': jnp.ones((4, 2, 3)), 'b': jnp.ones((4, 3, 1))}, blocks.runs)
  t, s = jnp.full((4, 5), 0.8), jnp.full((4, 5), 0.0)
  keys = walk.token_keys(jax.random.split(jax.random.key(1), 4), 0, 5)

  def second(logits):
    seen.append(logits.shape)
    return jnp.where(jnp.arange(3) == 1, logits, -jnp.inf)

  made, _ = SOLVER.step(
    lambda *asked: out, out, PROCESS, keys, x, t, s, SOLVER.init(x), second)
  assert seen == [(4, 2, 3)]
  np.testing.assert_array_equal(made.parts['a'], 1)
  assert np.all(np.isfinite(made.parts['b']))


def test_sixty_four_blocks_that_take_turns_make_a_program_as_large_as_four_do():
  for few, many in zip(programs(4), programs(64), strict=True):
    assert many.count('\n') < 1.1 * few.count('\n')
