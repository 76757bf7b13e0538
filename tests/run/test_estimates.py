"""Likelihoods of held-out examples besides the bound: when they are measured, and of what."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.judge import ode, paths, subset
from adiff.machine import sharding
from adiff.nn import network
from adiff.run import build, estimates, evaluate

NUM = 10


def parts_of(row, **keys):
  config = tiny.config(row)
  config.data.size, config.eval.examples, config.eval.batch_size = 512, NUM, 8
  config.eval.update(keys)
  return build.build(config)


def mesh():
  return sharding.make_mesh(data=-1, fsdp=1, tensor=1, sequence=1)


def test_a_config_asks_for_nothing_by_default_and_for_what_it_names():
  names = lambda **keys: [one.name for one in estimates.further(parts_of(**keys), mesh())]
  assert names(row='block-gaussian') == names(row='block-uniform') == []
  assert names(row='block-gaussian', orders=1) == []
  assert names(row='block-masked', orders=2) == ['weighted']
  assert names(row='block-gaussian', orders=2, ode=8) == ['weighted', 'ode']


def told_apart(value):
  """nats [B, K]: a number of each example's tokens, and noise of the key."""
  def nats(denoise, key, x0, *, blocks, coords, process, **more):
    assert {name: more[name] for name in more if name == 'steps'} == {'steps': value}
    assert coords.shape == (6, 1) and more.get('known') is None
    own = blocks.sum_per_block(x0.reshape(*x0.shape[:2], -1).sum(2).astype(jnp.float32))
    return own + jax.random.uniform(key, own.shape)

  return nats


def test_every_path_and_sign_is_drawn_anew_for_every_example(monkeypatch):
  monkeypatch.setattr(paths, 'nats', told_apart(9))
  monkeypatch.setattr(ode, 'nats', told_apart(5))
  parts = parts_of('block-gaussian', orders=4, chain=9, ode=5, samples=3)
  weighted, density = estimates.further(parts, mesh())
  x0 = parts.source.examples('test', subset.spread(parts.source.size('test'), NUM))
  own = x0['example'].sum((1, 2))
  params = {network.HEAD: {}}  # it is not called
  found = weighted(params), density(params)
  assert found[0]['of'] == 'trajectories of 9 steps' and found[0]['paths'] == 4
  assert found[1]['steps'] == 5 and not found[1]['is_bound']
  assert len({row['nats'] for row in found[0]['rows']}) == 3
  for one in found:  # three blocks of uniform noise
    assert abs(one['nats'] - own.mean() - 1.5) < 0.5 and one['ci95'] > 0
    np.testing.assert_allclose(one['bits_per_dim'], one['nats'] / 6 / np.log(2))


def test_batches_and_examples_share_no_noise(monkeypatch):
  monkeypatch.setattr(
    paths, 'nats', lambda denoise, key, x0, **_: jax.random.uniform(key, (len(x0), 3)))
  parts = parts_of('block-gaussian', orders=4, chain=9, examples=NUM)
  (weighted,) = estimates.further(parts, mesh())
  found = weighted.samples({network.HEAD: {}}, samples=4)
  assert len(found) == NUM > weighted._size and len(np.unique(found)) == found.size


@pytest.mark.soak
@pytest.mark.parametrize('row, keys', [
  ('block-masked', {}), ('forcing-gaussian', {'ode': 12}),
  ('scales_denoised-gaussian', {'ode': 12}),
])
def test_a_report_has_the_bounds_of_a_network(row, keys, tmp_path):
  parts = parts_of(row, orders=8, chain=40, num=512, samples=4, **keys)
  at, params = mesh(), parts.recipe.served(jax.jit(parts.recipe.init)(jax.random.key(0)))
  with jax.set_mesh(at):
    evaluate.evaluate(
      parts, jax.device_put(params, sharding.replicated(at)), str(tmp_path), step=1, mesh=at,
      flops_per_step=1.0, progress=False,
    )
  told = json.loads((tmp_path / 'eval.json').read_text())
  numbers = told['numbers']
  assert told['complete'] and not told['failed']
  # An untrained network knows nothing: all of them are its prior's.
  slack = 3 * numbers['nats_ci95'] + 0.05 * abs(numbers['nats'])
  assert abs(numbers['nats_weighted'] - numbers['nats']) < slack
  assert ('nats_ode' in numbers) == bool(keys)
  if keys:
    assert abs(numbers['nats_ode'] - numbers['nats']) < slack
