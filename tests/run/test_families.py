"""Families of generators: what they begin with, and that their trainings cost the same."""

import jax
import numpy as np
import pytest
import tiny_data

from adiff.learn import base
from adiff.machine import cost
from adiff.run import build, generate
from configs import digits, generators

TFLOP = 1e12
SMALL = {  # of families that are no transformers
  'unet': dict(widths=(8, 16), head_width=8), 'pixelcnn': dict(width=8, depth=1),
  'gan': dict(latent=4, widths=(8, 8)),
}


def changes(config, other):
  """{dotted key: (its values)} that differ."""
  found, pairs = {}, [('', config.to_dict(), other.to_dict())]
  while pairs:
    key, one, two = pairs.pop()
    if isinstance(one, dict) and isinstance(two, dict):
      pairs += [
        (f'{key}.{name}'.lstrip('.'), one.get(name), two.get(name)) for name in {*one, *two}
      ]
    elif one != two:
      found[key] = one, two
  return found


@pytest.mark.parametrize('family, row, others', [
  ('block', 'short', set()), ('dit', 'whole', {'train.steps'}),
])
def test_blocks_and_the_whole_of_digits_are_the_rows_of_the_first_run(family, row, others):
  found = changes(generators.get_config(f'{family}-digits'), digits.get_config(row))
  assert set(found) == {
    'name', 'train.log_every', 'train.eval_every', 'train.checkpoint_every', *others}


def test_every_family_is_a_row_of_its_data_and_changes_something():
  assert set(generators.MAKE) == set(generators.ROWS)
  for family in set(generators.ROWS) - {'dit'}:
    data = min(set(generators.ROWS[family]['steps']) - {'toy'})
    found = changes(generators.get_config(f'{family}-{data}'), generators.get_config(f'dit-{data}'))
    assert set(found) - {'name', 'train.steps'}


@pytest.mark.parametrize('family', SMALL)
def test_a_sample_is_the_same_whatever_is_made_beside_it(family):
  config = generators.get_config(f'{family}-digits').unlock()
  config.model.update(SMALL[family])
  config.plan.steps = min(config.plan.steps, 2)
  own = build.build(config.lock())
  began, rng = own.recipe.init(jax.random.key(0)).params[base.DENOISER], np.random.default_rng(0)
  params = jax.tree.map(lambda leaf: leaf + 0.1 * rng.normal(size=leaf.shape), began)
  sample, keys = generate.make_sampler(own), generate.example_keys(0, 0, 5)
  made = np.asarray(sample(params, keys[:3], np.array([1, 2, 3]))[0])
  among_others = keys[np.array([3, 1, 4])], np.array([7, 2, 0])
  again = np.asarray(sample(params, *among_others)[0])
  np.testing.assert_array_equal(again[1], made[1])
  assert np.any(again[0] != made[0]) and np.any(again[2] != made[2])


def flops(config):
  """Of a training."""
  return config.train.steps * cost.step(build.build(config)).flops


@pytest.mark.soak
def test_rows_of_pictures_have_equal_flops_of_training(few):
  first = flops(digits.get_config('short'))
  for argument in generators.ARGUMENTS:
    config = generators.get_config(argument)
    tiny_data.point(config, few)
    if config.data.name != 'mixture':
      asked = first if config.data.name == 'digits' else 12 * TFLOP
      assert flops(config) == pytest.approx(asked, rel=0.02), argument
