"""FLOPs are those of the matrix products that are done: closed forms, and XLA's own count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff import blocks as blocks_lib
from adiff import build, cost
from adiff.nn import denoiser
from configs import toy

A, B = jnp.ones((3, 5)), jnp.ones((5, 7))


def test_a_product_costs_two_an_entry_and_term():
  assert cost.flops(jnp.matmul, A, B) == 2 * 3 * 5 * 7


def test_a_scan_costs_its_body_a_step_and_branches_the_dearest():
  def run(a, b):
    carry = jax.lax.scan(lambda c, _: (c @ b @ b.T, None), a, length=4)[0]
    return jax.lax.cond(jnp.sum(carry) > 0, lambda c: c @ b @ b.T, lambda c: c + 0, carry)

  assert cost.flops(jax.jit(run), A, B) == 5 * 2 * (2 * 3 * 5 * 7)


def test_a_gradient_costs_the_products_that_it_needs():
  square = lambda a, b: jnp.sum((a @ b) ** 2)
  once = 2 * 3 * 5 * 7
  assert cost.flops(jax.grad(square), A, B) == 2 * once
  assert cost.flops(jax.grad(square, argnums=(0, 1)), A, B) == 3 * once


def test_arrays_need_not_exist():
  shape = lambda *sizes: jax.ShapeDtypeStruct(sizes, jnp.float32)
  assert cost.flops(jnp.matmul, shape(10**5, 10**5), shape(10**5, 10)) == 2 * 10**11


def test_two_streams_cost_what_the_sum_over_their_parts_says():
  width, depth, size, num_blocks, outputs = 32, 3, 80, 4, 7
  blocks = blocks_lib.equal(size * num_blocks, size)
  model = denoiser.Denoiser(outputs, outputs, width=width, depth=depth, heads=2)
  coords = np.arange(blocks.num_tokens)[:, None]
  slots, runs = blocks.slots(coords), 2 * num_blocks - 1
  x, t = jnp.zeros((1, blocks.num_slots), int), jnp.zeros((1, runs))
  params = jax.eval_shape(
    lambda key: model.init(key, x, t, t, slots), jax.random.key(0))['params']
  found = cost.flops(lambda p: model.apply({'params': p}, x, t, t, slots)[0], params)
  told, hidden = blocks.num_tokens, round(4 * width * 2 / 3 / 8) * 8
  # blocks of 80 are rectangles of their own: what is computed is what is seen
  pairs = size**2 * num_blocks * (num_blocks + 1) // 2
  pairs_past = size**2 * num_blocks * (num_blocks - 1) // 2
  behind = width**2 + 3 * width * hidden  # after attention
  expected = (
    runs * (32 * width + width**2 + 8 * width**2)  # the level, and what it modulates
    + blocks.num_slots * width * width  # positions
    + blocks.num_slots * depth * 3 * width**2
    + (blocks.num_slots * (depth - 1) + told) * behind
    + 2 * width * (depth * pairs + (depth - 1) * pairs_past)
    + told * width * outputs
  )
  assert found == 2 * expected


@pytest.mark.parametrize('row', ['full-masked', 'block-gaussian', 'forcing-uniform'])
def test_a_training_step_costs_three_forward_passes_at_most(row):
  parts = build.build(toy.get_config(row))
  key = jax.eval_shape(lambda: jax.random.key(0))
  params = jax.eval_shape(parts.recipe.init, key).params
  size = parts.config.train.batch_size
  rows = {
    'tokens': jax.eval_shape(
      lambda key: parts.process.prior(key, (size, parts.blocks.num_tokens)), key),
    'label': jax.ShapeDtypeStruct((size,), np.int32),
  }
  forward = cost.flops(lambda *args: parts.recipe.objective(*args)[0], params, rows, key)
  assert 2.7 * forward < cost.step_flops(parts) <= 3 * forward


def test_recomputed_activations_and_microbatches_do_not_count():
  config = toy.get_config('block-masked')
  plain = cost.step_flops(build.build(config))
  config.model.remat, config.train.microbatches = True, 2
  assert cost.step_flops(build.build(config)) == plain
