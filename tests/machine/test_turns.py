"""Loops and branches that data decide are counted as often as they run, or the count is a bound."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.machine import cost
from adiff.nn import network, pixelcnn
from adiff.nn.heads import diffusion, logistics
from adiff.process import masked
from adiff.run import build, dryrun, generate
from adiff.sample import session
from adiff.sample.solvers import first_hitting, first_order, scheduled
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import conditions, turns
from adiff.sequence import plan as plan_lib
from configs import base, toy

A, B = jnp.ones((3, 5)), jnp.ones((5, 7))
ONCE = 2 * 3 * 5 * 7


def looped(a, b):
  with turns.loop('rows', most=6):
    return jax.lax.while_loop(lambda c: c[0, 0] < 9, lambda c: c + (a @ b)[:, :5], a)


def branched(a, b, share=''):
  with turns.branch('row', share):
    return jax.lax.cond(a[0, 0] > 0, lambda: a @ b @ b.T, lambda: a @ jnp.ones((5, 5)))


def test_a_loop_that_data_end_counts_as_it_is_told_or_at_its_most():
  told, most = cost.count(looped, A, B, often={'rows': 2.5}), cost.count(looped, A, B)
  assert (told.flops, told.said) == (2.5 * ONCE, None)
  assert (most.flops, most.said) == (6 * ONCE, 'at most')


def test_a_branch_counts_at_its_share_as_told_or_as_its_scope_says():
  taken, other = 2 * ONCE, 2 * 3 * 5 * 5
  for found in (
    cost.count(branched, A, B, often={'row': 0.25}),
    cost.count(lambda a, b: branched(a, b, 0.25), A, B),
  ):
    assert (found.flops, found.said) == (0.25 * taken + 0.75 * other, None)
  assert cost.count(branched, A, B).said == 'at most'
  assert cost.count(branched, A, B).flops == taken


def test_scopes_are_found_under_transformations_and_do_not_reach_into_bodies():
  def run(a, b):
    return jnp.sum(jax.lax.scan(lambda c, _: (c + branched(c, b, 1 / 4), None), a, length=8)[0])

  forward, both = cost.count(jax.vmap(run, (0, None)), A[None], B), cost.count(jax.grad(run), A, B)
  assert forward.said is None
  assert forward.flops == 8 * (2 * ONCE + 2 * 3 * 5 * 5)  # a flag a row: both run
  assert both.said is None
  assert both.flops == 8 * 2 * (0.25 * 2 * ONCE + 0.75 * 2 * 3 * 5 * 5)

  def unknown_inside(a, b):
    with turns.loop('rows', most=6):
      return jax.lax.while_loop(
        lambda c: c[0, 0] < 9,
        lambda c: jax.lax.cond(c[0, 0] > 0, lambda: c @ b @ b.T, lambda: c), a)

  found = cost.count(unknown_inside, A, B, often={'rows': 3})
  assert (found.flops, found.said) == (3 * 2 * ONCE, 'at most')


def test_where_nothing_is_known_the_count_is_a_bound_and_says_which():
  def loop(a):
    return jax.lax.while_loop(lambda c: c[0, 0] < 9, lambda c: c @ jnp.ones((5, 5)), a)

  def branch(a):
    return jax.lax.cond(a[0, 0] > 0, lambda: a @ jnp.ones((5, 5)), lambda: a)

  said = [cost.count(f, A).said for f in (loop, branch, lambda a: branch(loop(a)))]
  assert said == ['at least', 'at most', 'about']
  counting = cost.count(lambda a: jax.lax.while_loop(lambda c: c < 9, lambda c: c + 1, a), 1.0)
  assert counting.said is None and counting.flops == 0


def vectors(steps, solver='first_order'):
  """Six vectors of two floats, of which three calls reveal 1, 2 and 3; a head of small `steps`."""
  c = base.get_config()
  base.choose(c, 'data', 'mixture', num_tokens=6, dim=2, size=64)
  base.choose(c, 'blocks', 'whole')
  base.choose(c, 'process', 'masked_vectors', clip=0.0)
  base.choose(c, 'head', 'diffusion', width=8, depth=1, multiply=2, steps=steps, solver=solver)
  base.choose(c, 'solver', 'scheduled')
  base.choose(c, 'spacing', 'cosine')
  c.model.width, c.model.depth, c.model.heads, c.plan.steps = 16, 1, 2, 3
  return build.build(c)


def test_vectors_cost_the_head_as_often_as_they_are_sampled(monkeypatch):
  """One small step more costs one call of the mlp for each chunk that is sampled."""
  few, more = (generate.rollout(vectors(steps), 2) for steps in (2, 3))
  twice = generate.rollout(vectors(2, 'heun'), 2)  # a call, and two: as many as three steps
  assert few.said is more.said is twice.said is None and twice.flops == pytest.approx(more.flops)
  ran, sample = [], diffusion.Diffusion._sample

  def counted(self, out, key):
    jax.debug.callback(lambda: ran.append(1))
    return sample(self, out, key)

  monkeypatch.setattr(diffusion.Diffusion, '_sample', counted)
  parts = vectors(2)
  params = jax.jit(parts.recipe.born)(jax.random.key(0))
  keys, labels = generate.example_keys(0, 0, 2), np.zeros(2, np.int32)
  jax.block_until_ready(generate.make_sampler(parts)(params, keys, labels))
  jax.effects_barrier()
  assert len(ran) == 6  # chunks of one token
  width, hidden, dim = 8, 16, 2
  level = cost.count(
    lambda params, x, t, h: diffusion.Mlp(width, 1, dim, jnp.float32).apply(
      {'params': params}, x, t, h),
    params[network.HEAD], *(jnp.ones(shape) for shape in ((2, 1, dim), (2, 1), (2, 1, hidden))),
  ).flops
  assert more.flops - few.flops == 6 * level


def test_tokens_that_are_given_make_the_count_of_a_walk_a_bound():
  parts = vectors(2)
  params = jax.eval_shape(parts.recipe.born, jax.random.key(0))
  keys = jax.eval_shape(lambda: generate.example_keys(0, 0, 2))
  program = generate.make_sampler(parts).trace(params, keys, np.zeros(2, np.int32)).jaxpr
  found = generate._rollout(parts, 2, parts.plan, program, given=True)
  assert found.said == 'at most' and found.flops > generate.rollout(parts, 2).flops


@pytest.mark.parametrize('solver, revealed', [
  (scheduled.Scheduled(), [0, 2, 3, 0]), (first_hitting.FirstHitting(), [1, 1, 1, 2]),
  (first_order.FirstOrder(), None),
])
def test_a_solver_says_how_many_tokens_its_steps_finish(solver, revealed):
  found = solver.reveals(np.array([1, 0.9, 0.6, 0.05, 0], np.float32), 5)
  assert revealed is None and found is None or list(found) == revealed
  assert list(solver.reveals(np.array([1, 0], np.float32), 5)) == [5]


def test_a_pixel_costs_a_place_and_the_share_of_a_row():
  grid, num = (2, 3), 6
  model = pixelcnn.PixelCNN(
    3, 2, grid, {'label': conditions.Label(3)}, head=logistics.Logistics(vocab=2, components=2),
    width=8, depth=1)
  blocks, process = blocks_lib.tokens(num), masked.Masked(2)
  coords = np.stack(np.divmod(np.arange(num), grid[1]), -1)
  params = tiny.random_params(model, process, blocks, coords)

  def bind(params):
    label = jnp.zeros(1, jnp.int32)
    return network.condition(model.denoise(params), {'label': label}, history_cond=True)

  plan = plan_lib.Plan(num, 1)
  walked = session.Session(model, bind, plan, blocks, process, first_order.FirstOrder(), coords)
  keys = jax.random.split(jax.random.key(0), 1)
  found = cost.count(lambda params: walked.finish(params, walked.start(keys)).x, params)
  width, cells = 8, grid[1]
  padded = 2 * (3 * cells - 2)  # of kernels 2 x 3 on a row; what is on padding is none
  down = 2 * padded * width * (width + width + 2 * width) + 2 * width * 2 * width  # and the label
  right = 2 * 3 * width * (width + width + 2 * width) + 2 * width * (width + 2 * width)
  head = cost.count(
    lambda params: model.head.bind(params, jnp.float32).read(jnp.ones((1, 1, width)), None),
    params[network.HEAD]).flops
  places = num + (num - 1)  # every token's own, and again where it is written into the cache
  assert found.said is None
  assert found.flops == pytest.approx(places * (down / cells + right) + num * head)


@pytest.mark.parametrize('name', ['block-gaussian', 'block-masked', 'ar'])
def test_a_training_step_is_no_bound(name):
  assert cost.step(build.build(toy.get_config(name))).said is None


def test_a_dry_run_says_what_its_count_is():
  program = dryrun.Program({'parameters': 1}, {}, 2e12, 1.0, said='at most')
  assert 'at most 2.000 TFLOP a device' in dryrun._in_words('the sampler', program, None, 1, 1)
