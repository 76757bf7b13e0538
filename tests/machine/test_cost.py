"""FLOPs are those of the matrix products that are done: closed forms, and XLA's own count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.learn import base
from adiff.learn import plain as plain_lib
from adiff.machine import cost, sharding
from adiff.nn import denoiser
from adiff.run import build, generate, train
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from configs import toy

A, B = jnp.ones((3, 5)), jnp.ones((5, 7))


def test_a_product_costs_two_an_entry_and_term():
  assert cost.count(jnp.matmul, A, B).flops == 2 * 3 * 5 * 7


def test_a_scan_costs_its_body_a_step_and_branches_the_dearest():
  def run(a, b):
    carry = jax.lax.scan(lambda c, _: (c @ b @ b.T, None), a, length=4)[0]
    return jax.lax.cond(jnp.sum(carry) > 0, lambda c: c @ b @ b.T, lambda c: c + 0, carry)

  assert cost.count(jax.jit(run), A, B).flops == 5 * 2 * (2 * 3 * 5 * 7)


def test_a_step_costs_the_head_where_tokens_carry_loss():
  config = toy.get_config('block-masked')
  config.draw.low, config.draw.high = 0.2, 0.5
  parts = build.build(config)
  plain = cost.step(parts).flops
  config.head.least = 1
  parts = build.build(config, parts.coded)
  tokens = config.train.batch_size * config.data.num_tokens
  products = 3 * 2 * tokens * config.model.width * parts.process.num_outputs
  assert plain - cost.step(parts).flops == products * 10 / 16  # 0.35 of the tokens, in 6 chunks


@pytest.mark.parametrize('least', [1, 1024])
def test_a_step_on_a_mesh_costs_what_all_its_devices_do(least):
  config = toy.get_config('block-masked')
  config.head.least, config.mesh.data, config.mesh.fsdp, config.mesh.tensor = least, 2, 2, 2
  parts = build.build(config)
  assert cost.step(parts, build.build_mesh(parts)).flops == cost.step(parts).flops


def test_a_gradient_costs_the_products_that_it_needs():
  square = lambda a, b: jnp.sum((a @ b) ** 2)
  once = 2 * 3 * 5 * 7
  assert cost.count(jax.grad(square), A, B).flops == 2 * once
  assert cost.count(jax.grad(square, argnums=(0, 1)), A, B).flops == 3 * once


AXES = ('C', 'WC', 'HWC', 'DHWC')  # of an image with so many places besides its channels


def convolved(dims, how):
  """(function of (image, kernel), ShapeDtypeStructs of both)."""
  image = jax.ShapeDtypeStruct((4, *(5, 12, 10)[-dims:], 8), jnp.float32)
  inputs = 8 // how.get('feature_group_count', 1)
  kernel = jax.ShapeDtypeStruct((3,) * dims + (inputs, 16), jnp.float32)
  kernel_axes = AXES[dims][:-1] + 'IO'
  numbers = 'N' + AXES[dims], kernel_axes, 'N' + AXES[dims]

  def out(image, kernel):
    spread = {
      name: (value,) * dims if name.endswith(('strides', 'dilation')) else value
      for name, value in how.items()
    }
    if not isinstance(how['padding'], str):
      spread['padding'] = (how['padding'],) * dims
    return jax.lax.conv_general_dilated(image, kernel, dimension_numbers=numbers, **spread)

  return out, image, kernel


@pytest.mark.parametrize('dims', [1, 2, 3])
@pytest.mark.parametrize('how', [
  dict(window_strides=1, padding='SAME'),
  dict(window_strides=1, padding='VALID'),
  dict(window_strides=2, padding='SAME'),
  dict(window_strides=3, padding=(-1, 2)),
  dict(window_strides=2, padding=(3, 0), rhs_dilation=2),
  dict(window_strides=1, padding=(2, 2), lhs_dilation=2),
  dict(window_strides=2, padding=(2, 3), lhs_dilation=3, rhs_dilation=2),
  dict(window_strides=1, padding='SAME', feature_group_count=4),
  dict(window_strides=2, padding='SAME', feature_group_count=8),
  dict(window_strides=2, padding='SAME', batch_group_count=2),
], ids=str)
def test_a_convolution_and_its_gradients_cost_what_the_compiler_counts(how, dims):
  out, image, kernel = convolved(dims, how)

  def passes(image, kernel, ahead):
    found, back = jax.vjp(out, image, kernel)
    return found, back(ahead)

  ahead = jax.eval_shape(out, image, kernel)
  for function, *arguments in ((out, image, kernel), (passes, image, kernel, ahead)):
    analysis = jax.jit(function).lower(*arguments).cost_analysis()
    assert cost.count(function, *arguments).flops == analysis['flops'], function


def test_a_network_of_convolutions_costs_what_is_left_once_it_is_compiled():
  """Norms and activations, of which nothing is counted, are the few percent between."""
  params = [jax.ShapeDtypeStruct((4, 4, 3, 32), jnp.float32)]  # a stem of patches
  params += 4 * [jax.ShapeDtypeStruct((3, 3, 32, 32), jnp.float32)]
  params += [jax.ShapeDtypeStruct((3, 3, 32, 3), jnp.float32)]
  image = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
  numbers = ('NHWC', 'HWIO', 'NHWC')

  def loss(params, image):
    stem, *inner, last = params
    x = jax.lax.conv_general_dilated(image, stem, (4, 4), 'SAME', dimension_numbers=numbers)
    for kernel in inner:
      normed = jax.nn.silu(x / jnp.sqrt(jnp.mean(x**2, (1, 2, 3), keepdims=True) + 1e-6))
      x += jax.lax.conv_general_dilated(normed, kernel, (1, 1), 'SAME', dimension_numbers=numbers)
    out = jax.lax.conv_transpose(x, last, (4, 4), 'SAME', dimension_numbers=numbers)
    return jnp.mean((out - image) ** 2)

  for function in (loss, jax.grad(loss)):
    compiled = jax.jit(function).lower(params, image).compile().cost_analysis()['flops']
    assert 0.95 * compiled < cost.count(function, params, image).flops <= compiled


def test_a_convolution_of_a_line_and_of_a_solid_costs_two_an_entry_and_term_that_meet():
  line = cost.count(
    lambda a, b: jax.lax.conv(a, b, (1,), 'VALID'), jnp.ones((2, 3, 8)), jnp.ones((5, 3, 4)))
  assert line.flops == 2 * (2 * 5 * 5) * (3 * 4)
  solid = cost.count(
    lambda a, b: jax.lax.conv(a, b, (1, 1, 1), 'SAME'), jnp.ones((1, 2, 4, 4, 4)),
    jnp.ones((3, 2, 3, 3, 3)))
  assert solid.flops == 2 * 2 * 3 * (4 * 3 - 2) ** 3  # at each end one entry is on padding


def test_arrays_need_not_exist():
  shape = lambda *sizes: jax.ShapeDtypeStruct(sizes, jnp.float32)
  product = cost.count(jnp.matmul, shape(10**5, 10**5), shape(10**5, 10))
  assert product.flops == 2 * 10**11
  assert product.bytes == 4 * (10**10 + 2 * 10**6)


def test_a_product_takes_the_longer_of_its_operations_and_its_bytes():
  large, thin = jnp.ones((100, 100)), jnp.ones((100, 1))
  both = cost.count(lambda a, b: (a @ a, a @ b), large, thin)
  operations, moved = 2 * 100**3 / 1e6, 4 * (100**2 + 200) / 1e4
  assert both.seconds(1e6, 1e4) == pytest.approx(12 + moved)
  assert both.seconds(1e5, 1e9) == pytest.approx(10 * operations + 2 * 100**2 / 1e5)


def test_two_streams_cost_what_the_sum_over_their_parts_says():
  width, depth, size, num_blocks, outputs = 32, 3, 80, 4, 7
  blocks = blocks_lib.equal(size * num_blocks, size)
  model = denoiser.Denoiser(outputs, outputs, width=width, depth=depth, heads=2)
  coords = np.arange(blocks.num_tokens)[:, None]
  copies = 2 * num_blocks - 1
  x, t = jnp.zeros((1, blocks.num_slots), int), jnp.zeros((1, copies))
  ask = ask_lib.Ask(x, t, blocks.slots(coords))
  params = jax.eval_shape(lambda key: model.init(key, ask), jax.random.key(0))
  counted = cost.count(lambda params: model.denoise(params)(ask).out, params).flops
  answered, hidden = blocks.num_tokens, round(4 * width * 2 / 3 / 8) * 8
  # blocks of 80 are rectangles of their own: what is computed is what is seen
  pairs = size**2 * num_blocks * (num_blocks + 1) // 2
  pairs_past = size**2 * num_blocks * (num_blocks - 1) // 2
  behind = width**2 + 3 * width * hidden  # after attention
  expected = (
    copies * (32 * width + width**2 + 8 * width**2)  # the level, and what it modulates
    + blocks.num_slots * width * width  # positions
    + blocks.num_slots * (width // 2)**2  # turns of a head, see rotary.py
    + blocks.num_slots * depth * 3 * width**2
    + (blocks.num_slots * (depth - 1) + answered) * behind
    + 2 * width * (depth * pairs + (depth - 1) * pairs_past)
    + answered * width * outputs
  )
  assert counted == 2 * expected


@pytest.mark.parametrize('row', ['full-masked', 'block-gaussian', 'forcing-uniform'])
def test_a_training_step_costs_three_forward_passes_at_most(row):
  parts = build.build(toy.get_config(row))
  key = jax.eval_shape(lambda: jax.random.key(0))
  params = jax.eval_shape(parts.recipe.init, key).params[base.DENOISER]
  size = parts.config.train.batch_size
  rows = {
    'tokens': jax.eval_shape(
      lambda key: parts.process.prior(key, (size, parts.blocks.num_tokens)), key),
    'label': jax.ShapeDtypeStruct((size,), np.int32),
  }
  forward = cost.count(lambda *args: parts.recipe.objective(*args)[0], params, rows, key).flops
  assert 2.7 * forward < cost.step(parts).flops <= 3 * forward


def test_recomputed_activations_and_microbatches_do_not_count():
  config = toy.get_config('block-masked')
  plain = cost.step(build.build(config)).flops
  config.model.remat, config.train.microbatches = 'layers', 2
  assert cost.step(build.build(config)).flops == plain


def test_training_is_not_traced_again_once_its_step_is_counted(monkeypatch):
  traced, share = [], plain_lib.Plain.share
  monkeypatch.setattr(plain_lib.Plain, 'share',
                      lambda self, *args: traced.append(1) or share(self, *args))
  parts = build.build(toy.get_config('block-masked'))
  mesh = build.build_mesh(parts)
  shardings = build.state_shardings(parts, mesh, cost.state(parts))
  cost.step(parts, mesh)
  with jax.set_mesh(mesh):
    state = sharding.placed(cost.state(parts), shardings)
    batch = sharding.placed(cost.examples(parts), sharding.batch_sharding(mesh))
    train.make_update(parts, mesh, shardings).trace(state, batch)
  assert len(traced) == 1


def test_a_rollout_costs_its_calls_and_its_cache():
  config = toy.get_config('block-masked')
  config.data.num_tokens, config.blocks.size, config.plan.steps = 64, 16, 3
  parts = build.build(config)
  cached, plain = (generate.rollout(parts, 2, cached=cached) for cached in (True, False))
  assert cached.evaluations == plain.evaluations == 4 * 3
  assert plain.cache_bytes == 0
  model = config.model
  assert cached.cache_bytes == 2 * 4 * 2 * 48 * model.depth * model.width
  # 3 calls on 16 tokens a block, and 48 finished ones once; against 64 tokens in each of 12 calls
  tokens = (12 * 16 + 48) / (12 * 64)
  assert 0.8 * tokens < cached.flops / plain.flops < 1.2 * tokens


def test_guidance_doubles_the_work_but_not_the_cache():
  config = toy.get_config('block-gaussian')
  once = generate.rollout(build.build(config), 2)
  config.guidance.scale = 1.5
  twice = generate.rollout(build.build(config), 2)
  assert twice.cache_bytes == once.cache_bytes
  assert 1.8 * once.flops < twice.flops <= 2 * once.flops


def test_a_recomputed_layer_keeps_what_enters_it_and_its_parameters():
  def kept(depth):
    c = toy.get_config('block-gaussian')
    c.model.depth, c.model.remat = depth, 'layers'
    parts = build.build(c)
    rows = c.train.batch_size * parts.blocks.num_slots * c.model.width
    return cost.kept(parts), rows, cost.params(parts)['layers']

  (more, rows, layers), (less, *_) = kept(4), kept(3)
  parameters = sum(leaf.size // 3 for leaf in jax.tree.leaves(layers))
  assert more - less == 4 * (rows + parameters)
