"""The loss profile: its sum is the bound, and who has one."""

import dataclasses
import functools

import jax
import numpy as np
import tiny

from adiff.data import base
from adiff.judge import subset
from adiff.machine import sharding
from adiff.run import evaluate, loss_profile


@functools.cache
def parts():
  config = tiny.config('block-masked')
  with config.unlocked():
    config.data.size, config.eval.batch_size, config.eval.examples = 512, 16, 64
  return dataclasses.replace(tiny.regime('block-masked').parts, config=config)


def test_one_token_a_call_costs_what_the_likelihood_says():
  own, mesh = parts(), sharding.make_mesh(devices=jax.devices()[:1])
  params, rows = tiny.regime('block-masked').params, own.source.size('test')
  nats = loss_profile.measure(own, params, mesh, range(rows), samples=16)
  assert nats.shape == (rows, 2)
  bound = evaluate.Bound(own, mesh).samples(params, samples=16)[0].sum(2).mean(1)
  total = nats.sum(1) * own.blocks.num_blocks
  error = (total - bound).std() / rows**0.5
  assert abs((total - bound).mean()) < 4 * error + 1e-6


class Noting(base.Coded):
  """Another one, which notes what is asked of it."""

  def __init__(self, other):
    self._other, self.asked = other, []
    self.source, self.codec, self.params = other.source, other.codec, other.params

  @property
  def fingerprint(self):
    return self._other.fingerprint

  def size(self, split):
    return self._other.size(split)

  def examples(self, split, indices):
    self.asked.append(indices)
    return self._other.examples(split, indices)


def test_a_bound_on_few_examples_is_that_of_rows_spread_over_the_split():
  config = parts().config.copy_and_resolve_references().unlock()
  config.eval.examples = 4
  noting, mesh = Noting(parts().coded), sharding.make_mesh(devices=jax.devices()[:1])
  own = dataclasses.replace(parts(), coded=noting, config=config)
  nats, *_ = evaluate.Bound(own, mesh).samples(tiny.regime('block-masked').params, samples=1)
  assert len(nats) == 4
  np.testing.assert_array_equal(noting.asked[0][:4], subset.spread(noting.size('test'), 4))


def test_rows_are_measured_alike_whatever_is_measured_with_them():
  own, mesh = parts(), sharding.make_mesh(devices=jax.devices()[:1])
  params = tiny.regime('block-masked').params
  few, more = (loss_profile.measure(own, params, mesh, range(n), samples=2) for n in (3, 8))
  np.testing.assert_allclose(few, more[:3], rtol=1e-5)


def test_only_equal_blocks_of_masked_tokens_have_a_profile():
  has = {name: loss_profile.has_profile(tiny.regime(name).parts) for name in (
    'block-masked', 'full-masked', 'ar-masked', 'scales-masked', 'block-uniform')}
  assert has == {'block-masked': True, 'full-masked': True, 'ar-masked': False,
                 'scales-masked': False, 'block-uniform': False}
