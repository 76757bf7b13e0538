"""Families over codes: what their likelihood sums to, and that both walks make the same of them."""

import functools
import itertools
import math

import binary
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
import tiny_data

from adiff.judge import likelihood
from adiff.nn import network
from adiff.nn.heads import chunked
from adiff.run import build, choose, generate
from adiff.sample import truncation
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import conditions
from configs import base, coded, generators, imagenet256, tokenizer

QUANTISERS = dict(
  vqgan_ar=dict(name='vq', vocab=3, dim=2),
  var=dict(name='multiscale', sides=(1, 2), vocab=3, dim=2),
  infinity=dict(name='multiscale', sides=(1, 2), vocab=4, dim=2, signs=True),
)

TINY = (
  'model.width=16', 'model.depth=2', 'model.heads=2', 'train.steps=4', 'train.batch_size=8',
  'train.log_every=1', 'train.eval_every=0', 'optim.warmup=0', 'eval.batch_size=8',
  'eval.examples=8', 'eval.num=8', 'eval.features=false',
)


@functools.cache
def parts(family, dtype='float32'):
  """A tiny row of the family, over 2x2 codes of digits, of scales over one before these."""
  of = tokenizer.get_config('digits_vq').unlock()
  base.choose(of, 'quantiser', **QUANTISERS[family])
  of.coder.widths = (4, 4, 4)
  c = generators.get_config(f'{family}-mnist').unlock()
  base.choose(c, 'data', 'digits')
  c.codec.text = tiny_data.codec_text(of.lock())
  if family != 'vqgan_ar':
    c.blocks.sides = QUANTISERS[family]['sides']
  c.model.width, c.model.depth, c.model.heads, c.model.dtype = 16, 2, 2, dtype
  c.guidance.scale = 2.0
  return build.build(c.lock())


def params(own):
  return tiny.random_params(own.model, own.process, own.blocks, own.spec.coords)


@pytest.mark.parametrize('family', ['var', 'infinity'])
def test_the_likelihood_of_codes_sums_to_one_over_all_of_them(family):
  own = parts(family)
  symbols = range(own.spec.kind.vocab)
  codes = np.array(list(itertools.product(symbols, repeat=own.spec.num_tokens)), np.int32)

  @jax.jit
  def nats(params, x0):
    denoise = network.condition(
      own.model.denoise(params), {'label': np.ones(len(codes), np.int32)},
      history_cond=own.history_cond,
    )
    return likelihood.bound(
      own.told(denoise, x0), jax.random.key(0), x0, reveals=own.reveals, blocks=own.blocks,
      process=own.process, coords=own.spec.coords,
    )[0]

  found = np.asarray(nats(params(own), codes), np.float64).sum(axis=1)
  assert found.std() > 0.1 and likelihood.is_exact(own.blocks, own.process, own.reveals)
  np.testing.assert_allclose(np.exp(-found).sum(), 1, rtol=1e-4)


@pytest.mark.parametrize('family', ['vqgan_ar', 'var', 'infinity'])
def test_both_walks_ask_for_the_same_laws_in_float64_whatever_the_batch(family, monkeypatch):
  own, seen = parts(family, 'float64'), []

  def see(halves):
    seen.append(np.ascontiguousarray(halves).view(np.float64)[..., 0])

  def narrow(logits):
    assert logits.dtype == jnp.float64
    halves = jax.lax.bitcast_convert_type(logits, jnp.uint32)  # a callback is given no float64
    jax.debug.callback(see, halves, ordered=True)
    return logits

  monkeypatch.setattr(truncation, 'narrow', lambda **_: narrow)
  keys, labels = generate.example_keys(0, 0, 3), np.array([1, 2, -1], np.int32)
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    random, cached = params(own), generate.make_sampler(own)
    every_row = generate.make_sampler(own, trace=True)(random, keys, labels)
    jax.effects_barrier()
    whole = seen.copy()
    seen.clear()
    x = np.asarray(cached(random, keys, labels)[0])
    jax.effects_barrier()
    windows = seen.copy()
    turned = np.asarray(cached(random, keys[::-1], labels[::-1])[0])
  np.testing.assert_array_equal(every_row[-1], x)
  np.testing.assert_array_equal(turned[::-1], x)
  bounds = np.cumsum([0, *own.blocks.sizes])
  for k, (plain, window) in enumerate(zip(whole, windows, strict=True)):
    np.testing.assert_allclose(window, plain[:, bounds[k]:bounds[k + 1]], rtol=0, atol=1e-8)


def test_a_head_over_whole_scales_makes_the_same_of_them_in_both_walks_whatever_the_batch():
  c = generators.get_config('flowar-digits').unlock()
  c.codec.sides = c.blocks.sides = (1, 8)
  c.model.width, c.model.depth, c.model.heads, c.model.dtype = 16, 2, 2, 'float64'
  c.head.width, c.head.depth, c.head.together, c.head.steps = 8, 1, 2, 2
  c.guidance.scale = 2.0
  own = build.build(c.lock())
  keys, labels = generate.example_keys(0, 0, 3), np.array([1, 2, -1], np.int32)
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    random, cached = params(own), generate.make_sampler(own)
    every_row = generate.make_sampler(own, trace=True)(random, keys, labels)
    x = np.asarray(cached(random, keys, labels)[0])
    turned = np.asarray(cached(random, keys[::-1], labels[::-1])[0])
  assert x.std() > 0.1 and x.dtype == np.float64
  np.testing.assert_allclose(every_row[-1], x, rtol=0, atol=1e-8)
  np.testing.assert_allclose(turned[::-1], x, rtol=0, atol=1e-8)


@pytest.mark.parametrize('change, words', [
  (dict(together=2), 'together=2 makes a block at once, and plan.steps reveals it in 8 calls'),
  (dict(together=3), 'head.width=64 must be a multiple of head.together=3'),
])
def test_a_head_over_whole_blocks_refuses_what_it_cannot_make(change, words):
  c = generators.get_config('mar-digits').unlock()
  c.head.update(change)
  with pytest.raises(ValueError, match=words):
    build.build(c.lock())


@pytest.mark.parametrize('family', ['var', 'infinity'])
def test_guidance_grows_with_the_scales_from_none(family):
  scale = parts(family).guidance
  assert scale[0] == 1 and scale[-1] == 2 and np.all(np.diff(scale) > 0)


def test_the_published_size_has_as_many_parameters_as_are_published():
  c = imagenet256.get_config('var_d16')
  blocks = blocks_lib.scales(tuple(c.blocks.sides))
  model = choose.resolve(
    'model', c.model, num_inputs=4097, num_outputs=4096, conds={'label': conditions.Label(1000)},
    hints={'coarser': 32}, grid=(blocks.num_tokens,), head=chunked.Chunked(),
  )

  def init(key, x):
    slots = blocks.token_slots(np.zeros((blocks.num_tokens, 3), np.int32))
    return model.init(key, ask_lib.Ask(x, jnp.ones(x.shape), slots))

  with jax.numpy_dtype_promotion('standard'):
    shapes = jax.eval_shape(init, jax.random.key(0), np.zeros((1, blocks.num_tokens), np.int32))
  num = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
  assert abs(num / 310e6 - 1) < 0.02, num  # VAR-d16, arXiv:2404.02905


@pytest.mark.soak
@pytest.mark.parametrize('family', coded.ROWS)
def test_a_row_of_digits_trains_and_samples_through_the_binary(family, tmp_path):
  row, changes = generators.get_config(f'{family}-digits').unlock(), list(TINY)
  tiny_data.point(row, tmp_path)
  if 'workdir' in row.codec:
    changes.append(f'codec.workdir={row.codec.workdir}')
  config = [f'--config=configs/generators.py:{family}-digits']
  config += [f'--config.{change}' for change in changes]
  for more in (config, ['--mode=sample', '--num=8', f'--out={tmp_path}/made.npz']):
    arguments = [*more, f'--workdir={tmp_path}/run']
    assert binary.start(arguments, tmp_path / 'log').wait(timeout=900) == 0, (
      (tmp_path / 'log.err').read_text()
    )
  made = np.load(tmp_path / 'made.npz')['arr_0']
  assert made.shape == (8, 8, 8, 1) and made.max() <= 16
