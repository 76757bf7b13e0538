"""Codes that make up for what coarser scales show wrongly: a generator corrects itself."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.learn import lessons
from adiff.learn import loss as loss_lib
from adiff.process import masked
from adiff.run import build
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import draw
from configs import base, digits, tokenizer


@functools.cache
def trained():
  """(an autoencoder of digits with scales of 1, 4 and 16 codes, its parameters, held-out x)."""
  c = tokenizer.get_config('debug').unlock()
  base.choose(c, 'quantiser', 'multiscale', sides=(1, 2, 4), vocab=64, dim=4)
  c.optim.schedule, c.optim.warmup, c.train.batch_size = 'constant', 0, 64
  parts = build.build(c.lock())
  state, rng = parts.recipe.init(jax.random.key(0)), np.random.default_rng(0)
  size = parts.coded.size('train')
  update = jax.jit(lambda state, rows: parts.recipe.update(
    state, rows, jax.random.fold_in(jax.random.key(1), state.step)
  )[0])
  for _ in range(150):
    state = update(state, parts.coded.examples('train', rng.integers(0, size, 64)))
  x = parts.coded.examples('test', np.arange(256))['tokens']
  return parts.model.bind(**parts.recipe.served(state)), x


@pytest.mark.soak
def test_targets_made_up_for_flips_reconstruct_better_than_targets_left_as_they_were():
  of, x = trained()
  last = np.arange(21) >= 5  # codes of the finest scale, which nobody corrects

  @jax.jit
  def errors(key):
    lesson = lessons.Requantised(0.6, of.requantise)
    plain = of.encode(x)
    taught = lesson(key, {'tokens': plain})
    error = lambda codes: jnp.mean(jnp.square(of.decode(codes) - x))
    mixed = lambda targets: jnp.where(jnp.asarray(last)[None], targets, taught['history'])
    return error(plain), error(mixed(taught['tokens'])), error(mixed(plain)), plain, taught

  untouched, made_up, left, plain, taught = errors(jax.random.key(2))
  assert untouched < made_up < 0.9 * left
  flipped = np.mean(np.asarray(taught['history'] != taught['tokens']))
  assert 0.2 < flipped < 0.4


def test_a_loss_shows_the_corrupted_codes_and_asks_for_those_that_make_up_for_them():
  blocks = blocks_lib.scales((1, 2))
  x0, shown = jnp.arange(10).reshape(2, 5) % 7, jnp.arange(3, 13).reshape(2, 5) % 7
  seen = []

  def answer(ask):
    seen.append(ask.x)
    return jax.nn.one_hot(ask.x[:, :5] * 0 + x0, 7) * 50.0

  value, _ = loss_lib.loss(
    ask_lib.from_outputs(answer), jax.random.key(0), x0, blocks=blocks, process=masked.Masked(7),
    draw=draw.ones(), coords=np.arange(5)[:, None], history=shown,
  )
  np.testing.assert_array_equal(seen[0][:, 5:], shown[:, :1])
  assert value < 1e-6


def test_codes_without_coarser_scales_are_refused_in_words():
  c = digits.get_config('var').unlock()
  c.train.requantise = 0.3
  with pytest.raises(ValueError, match='several scales'):
    build.build(c)
