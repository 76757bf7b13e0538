"""One network of pictures of several sizes: taught, loaded, sampled, scored."""

import functools
import json

import jax
import numpy as np
import pytest
import tiny

from adiff.data import batches
from adiff.machine import sharding
from adiff.run import build, generate, handle, kept, train
from adiff.run import model as model_lib
from adiff.run import workdir as workdir_lib
from configs import base, digits, edit, generators

WIDE = (8, 16)


def config(**changes):
  """Tiny, of digits in patches of 4 by 4 pixels, one block; changes: of its sections' keys."""
  c = digits.get_config('whole').unlock()
  c.codec.patch = 4
  c.model.width, c.model.depth, c.model.heads, c.model.dropout = 16, 2, 2, 0.0
  c.train.batch_size, c.eval.examples, c.eval.num, c.eval.steps = 8, 16, 16, ()
  c.plan.steps, c.optim.warmup, c.train.eval_every, c.eval.features = 2, 1, 0, False
  for key, value in changes.items():
    section, _, name = key.partition('__')
    c[section][name] = value
  return c.lock()


@functools.cache
def made(blocks='whole'):
  """(parts of the data's size, random parameters)."""
  c = config().unlock()
  base.choose(c, 'blocks', blocks)
  parts = build.build(c.lock())
  return parts, tiny.random_params(parts.model, parts.process, parts.blocks, parts.spec.coords)


def test_at_the_size_of_the_data_the_network_is_the_same():
  parts, params = made()
  own, same = (
    model_lib.Model(one, params).sample(3, progress=False).examples
    for one in (parts, parts.at((8, 8)))
  )
  np.testing.assert_array_equal(own, same)
  assert parts.at(()) is parts.at((8, 8)) is parts
  assert parts.at(WIDE).at(()) is parts and parts.at(WIDE).at((8, 8)) is parts
  assert parts.at(WIDE).each_size == (parts,)


@pytest.mark.parametrize('blocks', [pytest.param('whole', marks=pytest.mark.soak), 'tokens'])
def test_at_another_size_cached_walks_are_plain_ones(blocks):
  parts, params = made(blocks)
  other = parts.at(WIDE)
  assert (parts.spec.grid, other.spec.grid) == ((2, 2), (2, 4))
  keys, labels = generate.example_keys(0, 0, 2), np.array([1, 3])
  cached, _ = generate.make_sampler(other)(params, keys, labels)
  plain = generate.make_sampler(other, trace=True)(params, keys, labels)[-1]
  np.testing.assert_allclose(cached, plain, atol=2e-5)
  found = model_lib.Model(other, params).sample(2, progress=False)
  assert found.examples.shape == (2, *WIDE, 1)


@pytest.mark.soak
def test_steps_of_training_take_the_sizes_in_turn(tmp_path):
  c = config(
    train__sizes=(WIDE, (4, 4)), train__steps=4, train__checkpoint_every=4, train__log_every=4,
  )
  place = str(tmp_path / 'run')
  assert train.train(c, place, progress=False) == 0
  parts = build.build(c)
  mesh = sharding.make_mesh(devices=jax.devices()[:1])
  with jax.set_mesh(mesh):
    state = parts.recipe.init(train.state_lib.stream(c.seed, 'init'))
    shardings = build.state_shardings(parts, mesh, state)
    for step, size in enumerate(((), WIDE, (4, 4), ())):
      one = parts.at(size)
      batch = batches.Batches(
        one.coded, 'train', 8, seed=c.seed, blocks=one.blocks
      ).batch_at(step)
      state, _ = train.make_update(one, mesh, shardings)(state, batch)
  expected = parts.recipe.served(state)
  trained = handle.load(place)
  jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-6), trained.params, expected)
  wide = handle.load(place, settings=['plan.size=[8, 16]'])
  assert wide.sample(2, progress=False).examples.shape == (2, *WIDE, 1)
  real = wide.parts.source.examples('test', np.arange(2))['example']
  assert real.shape == (2, *WIDE, 1) and np.isfinite(wide.score(real, samples=2).nats).all()
  loaded = workdir_lib.load(place, ['plan.size=[8, 16]'])
  there = kept.parts(place, loaded, examples=True)
  found = there.coded.examples('test', np.arange(2))
  assert found['tokens'].shape == (2, 8, 16) and there.contract != trained.parts.contract
  lines = (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()
  losses = [name for line in lines for name in json.loads(line) if name.split('_')[0] == 'loss']
  assert {'loss', 'loss_8x16', 'loss_4x4'} <= set(losses)  # each size has a line, of its name
  saved = handle.load(wide.save(tmp_path / 'saved'))
  np.testing.assert_array_equal(saved.parts.spec.coords, wide.parts.spec.coords)
  own = handle.load(str(tmp_path / 'saved'), settings=['plan.size=[]'])
  assert own.parts.contract == trained.parts.contract


@pytest.mark.parametrize('changes, words', [
  (dict(plan__size=(8, 16)), r'config.plan.size=\(8, 16\) is of samples, and training takes'),
  (dict(plan__size=(8,)), r'plan.size=\(8,\) must be \(rows, columns\) of pixels, or \(\)'),
  (dict(train__sizes=((8, 8, 1),)), r'must be \(rows, columns\) of pixels'),
  (dict(train__sizes=((6, 8),)), r'config.train.sizes has \(6, 8\): patches of 4 pixels do not'),
  (dict(blocks__name='cells', blocks__cell=(2, 2), train__sizes=((4, 8),)), 'cell'),
])
def test_sizes_that_cannot_be_are_told_before_the_folder_is_taken(changes, words, tmp_path):
  c = config(train__steps=2)
  for key, value in changes.items():
    section, _, name = key.partition('__')
    with c.unlocked():
      c[section][name] = value
  with pytest.raises(ValueError, match=words):
    train.train(c, str(tmp_path / 'run'), progress=False)
  assert not (tmp_path / 'run').exists()


def test_networks_and_recipes_of_one_size_say_so():
  c = generators.get_config('gan-digits').unlock()
  c.train.sizes = ((16, 16),)
  with pytest.raises(ValueError, match='recipe gan learns pictures of one size; write'):
    build.build(c.lock()).each_size  # noqa: B018
  with pytest.raises(ValueError, match='model generator has other parameters for pictures'):
    build.build(generators.get_config('gan-digits')).at((16, 16))


def test_layouts_are_asked_for_at_the_size_of_the_picture():
  c = edit.get_config('layout_sizes').unlock()
  c.model.width, c.model.depth, c.data.size = 16, 1, 64
  parts = build.build(c.lock())
  assert [one.spec.num_tokens for one in parts.each_size] == [64, 36, 144, 72, 72]
  wide = parts.each_size[3]
  params = tiny.random_params(parts.model, parts.process, parts.blocks, parts.spec.coords)
  model = model_lib.Model(wide, params)
  real = wide.source.examples('test', np.arange(2))['example']
  made = model.sample(2, cond={'layout': model.maps(real)['layout']}, progress=False)
  assert made.examples.shape == real.shape == (2, 24, 48, 3)
