"""Runs on examples of several parts: made, kept, sampled, given in either direction, refused."""

import dataclasses
import json
import os

import binary
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from adiff.machine import sharding
from adiff.run import (
  build,
  codecs,
  directions,
  exported,
  generate,
  handle,
  kept,
  kinds,
  places,
  train,
)
from adiff.run import subject as subject_lib
from adiff.sequence import tokens
from configs import toy


def config(row='joint'):
  c = toy.get_config(row)
  c.model.width, c.model.depth, c.model.heads = 16, 1, 2
  c.data.size, c.optim.warmup = 256, 2
  c.train.steps, c.train.batch_size, c.train.eval_every, c.train.checkpoint_every = 4, 16, 0, 4
  c.eval.num, c.eval.batch_size, c.eval.samples, c.eval.examples = 2048, 32, 1, 32
  for kind in c.kinds.values():
    kind.steps = 2
  return c


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  folder = str(tmp_path_factory.mktemp('joint') / 'run')
  assert train.train(config(), folder, progress=False) == 0
  return folder


@pytest.fixture(scope='module')
def model(workdir):
  return handle.load(workdir)


def test_a_run_on_two_kinds_ends_with_a_page_that_tests_the_joint_law(workdir):
  with open(os.path.join(workdir, 'eval.json')) as file:
    report = json.load(file)
  assert np.isfinite(report['numbers']['nats']) and 0 <= report['numbers']['p_value'] <= 1


def test_samples_are_made_by_kind_and_those_of_an_export_are_equal(model, tmp_path):
  made = model.sample(5, seed=3, batch=5, progress=False).examples
  assert made['symbols'].shape == (5, 4) and made['floats'].shape == (5, 2, 1)
  folder = generate.to_folder(
    model.parts, model.params, str(tmp_path / 'exported'), batch=5, seed=3, step=4)
  again, _ = exported.Sampler(folder).sample(0, 5)
  np.testing.assert_array_equal(again['symbols'], made['symbols'])
  np.testing.assert_allclose(again['floats'], made['floats'], atol=1e-5)


def test_examples_of_two_parts_are_scored_and_shown(model):
  example = build.build(config()).source.sample(3, seed=9)
  score = model.score(example, samples=2)
  assert len(score.nats) == 3 and np.all(np.isfinite(score.nats))
  made = model.sample(3, batch=5, progress=False)
  assert len(made) == 3 and made['floats'].shape == (3, 2, 1)
  assert '<figcaption>symbols</figcaption>' in made._repr_html_() and made._repr_png_() is None


def test_a_judge_rates_one_kind_given_the_other_with_equal_noise_at_every_call(model):
  parts, alone = model.parts, sharding.make_mesh(data=1, devices=jax.devices()[:1])
  subject = subject_lib.make(
    parts, model.params, alone, workdir='', bound={}, attempt=None, tell=None)
  chosen, nothing = parts.coded.examples('test', np.arange(6))['tokens'], np.full(6, -1, np.int32)
  whole, floats = subject.rate(chosen, nothing), subject.rate(chosen, nothing, given=('symbols',))
  given = len(parts.blocks.blocks_of['symbols'])
  np.testing.assert_allclose(floats, whole[:, given:], rtol=1e-5)
  other = tokens.Tokens({**chosen.parts, 'symbols': chosen.parts['symbols'][::-1]}, chosen.runs)
  assert np.all(subject.rate(other, nothing, given=('symbols',)) != floats)  # it has learnt little


@pytest.mark.parametrize('kind, other', [
  ('symbols', 'floats'), pytest.param('floats', 'symbols', marks=pytest.mark.soak)])
def test_one_network_makes_and_scores_either_kind_given_the_other(model, kind, other):
  example = build.build(config()).source.sample(6, seed=9)
  given = model.given(**{kind: example[kind]})
  made, fewer = (given.sample(seed=1, batch=batch, progress=False) for batch in (6, 4))
  np.testing.assert_array_equal(made[kind], example[kind])
  np.testing.assert_allclose(made[other], fewer[other], atol=1e-5)
  nats = given.score(samples=3, **{other: example[other]})
  assert nats.shape == (6, 3) and np.all(np.isfinite(nats))
  # What is given is read: another neighbour's part costs otherwise.
  moved = model.given(**{kind: np.roll(example[kind], 1, axis=0)})
  assert np.any(moved.score(samples=3, **{other: example[other]}) != nats)


def test_the_command_makes_an_example_for_each_that_a_file_gives(workdir, tmp_path):
  floats = build.build(config()).source.sample(5, seed=9)['floats']
  path, out = str(tmp_path / 'given.npz'), str(tmp_path / 'made.npz')
  np.savez(path, floats=floats)
  flags = '--mode=sample', f'--workdir={workdir}', f'--given={path}', f'--out={out}', '--batch=4'
  assert binary.start(flags, tmp_path / 'log').wait() == 0, (tmp_path / 'log.err').read_text()
  made = np.load(out)
  np.testing.assert_array_equal(made['floats'], floats)
  assert made['arr_0'].shape == (5, 4) and made['arr_0'].max() < 3
  np.testing.assert_array_equal(
    made['arr_0'], handle.load(workdir).given(floats=floats).sample(batch=4)['symbols'])


FILES = {
  'no array': ({}, 'nothing cannot be given'),
  'an unknown kind': ({'words': np.zeros((2, 4), int)}, "'words' cannot be given"),
  'unequal numbers': (
    {'floats': np.zeros((0, 2, 1), np.float32)}, 'given.npz: 0 of floats: give as many of each'),
  'another shape': (
    {'symbols': np.zeros((2, 5), int)}, r'symbols has the shape \[2, 5\], and the model takes'),
  'symbols that there are not': (
    {'symbols': np.full((2, 4), 3)}, 'symbols holds values from 3 to 3, and the model takes whole '
    'numbers 0..2'),
  'shares of symbols': ({'symbols': np.full((2, 4), 0.5)}, 'takes whole numbers 0..2'),
  'floats that are none': ({'floats': np.full((2, 2, 1), np.nan)}, 'write finite ones'),
}


@pytest.mark.parametrize('name', FILES)
def test_a_file_that_gives_what_cannot_be_given_is_refused(model, tmp_path, name):
  arrays, words = FILES[name]
  np.savez(tmp_path / 'given.npz', **arrays)
  with pytest.raises(ValueError, match=words):
    directions.read(str(tmp_path / 'given.npz'), model.parts)


def test_an_order_that_the_network_has_not_learnt_is_refused():
  c = config()
  c.train.orders = ()
  parts = build.build(c)
  with pytest.raises(ValueError, match='has learnt symbols, floats.*train.orders'):
    directions.toward(parts, ('floats',))


@pytest.mark.parametrize('call, words', [
  (lambda model: model.given(symbols=np.zeros((2, 7), int)), 'symbols has the shape'),
  (lambda model: model.given(symbols=np.full((2, 4), -1)), 'symbols holds values from -1 to -1'),
  (lambda model: model.score({'symbols': np.zeros((2, 4), int)}), 'has the parts floats, symbols'),
  (lambda model: model.score({
    'symbols': np.zeros((2, 4), int), 'floats': np.zeros((1, 2, 1))}), '2 of symbols, 1 of floats'),
  (lambda model: model.given(symbols=np.zeros((2, 4), int)).score(
    floats=np.zeros((2, 2, 1)), batch=0), 'batch=0'),
  (lambda model: model.given(symbols=np.zeros((2, 4), int)).score(
    floats=np.zeros((3, 2, 1))), 'there are 2 given examples'),
])
def test_parts_that_the_data_cannot_have_are_refused(model, call, words):
  with pytest.raises(ValueError, match=words):
    call(model)


@pytest.mark.parametrize('given, words', [
  ((), 'nothing cannot be given'), (('pictures',), "'pictures' cannot be given"),
  (('symbols', 'floats'), 'not all'),
])
def test_what_cannot_be_given_is_refused(model, given, words):
  with pytest.raises(ValueError, match=words):
    directions.toward(model.parts, given)


def test_a_workdir_keeps_the_codecs_and_facts_of_all_kinds(workdir, model):
  told, codec = kept.stored(workdir, model.parts.config)
  assert set(codec.kinds) == set(told['facts']['parts']) == {'symbols', 'floats'}
  spec = codec.spec(model.parts.source.facts)
  assert spec.runs == (('symbols', 4), ('floats', 2)) == model.parts.spec.runs
  choice = codecs.as_choice('joint', codec)
  assert codecs.of_choice(choice) == codec


def test_a_checkpoint_is_read_with_what_sampling_of_a_kind_may_change_and_with_nothing_else(
  workdir, model
):
  free = 'kinds.symbols.steps=3', 'kinds.floats.process.clip=2.0', 'kinds.floats.solver.name=heun'
  other = handle.load(workdir, settings=free)
  assert other.parts.process.of('floats').clip == 2 and other.parts.plan.budgets[0] == 3
  assert other.parts.contract == model.parts.contract
  assert other.parts.contract['codec']['kinds'] == {
    'symbols': {'name': 'none'}, 'floats': {'name': 'none'}}
  told = model.parts.contract['process']
  assert told['kinds']['symbols'] == {'name': 'masked', 'vocab': 3}
  assert told['kinds']['floats']['prediction'] == 'v' and 'clip' not in told['kinds']['floats']
  with pytest.raises(ValueError, match='would change what the checkpoint means'):
    handle.load(workdir, settings=['kinds.floats.process.prediction=x0'])


def test_a_batch_of_the_other_order_is_the_same_examples(model):
  recipe, coded = model.parts.recipe, model.parts.coded
  first, other = recipe.blocks
  raster = coded.examples('train', np.arange(4))['tokens']
  batch = {'tokens': first.from_raster(raster), 'label': np.full(4, -1)}
  moved = recipe.taught(batch, jax.random.key(0), 1)['tokens']
  assert moved.runs == other.runs != first.runs
  jax.tree.map(np.testing.assert_array_equal, other.to_raster(moved), raster)


def test_lessons_are_of_the_order_of_batches_whatever_order_the_loss_takes(model):
  seen = []

  def lesson(key, batch):
    seen.append(batch['tokens'].runs)
    return {**batch, 'given': jnp.zeros((4, 6), bool).at[:, 0].set(True)}

  recipe = dataclasses.replace(model.parts.recipe, lessons=(lesson,))
  first, other = recipe.blocks
  raster = model.parts.coded.examples('train', np.arange(4))['tokens']
  rows = {'tokens': first.from_raster(raster), 'label': np.full(4, -1)}
  moved = recipe.taught(rows, jax.random.key(0), 1)
  assert seen == [first.runs] and moved['tokens'].runs == other.runs
  np.testing.assert_array_equal(other.to_raster(moved['given'])[:, 0], True)


def test_weights_of_kinds_reach_the_loss(model):
  parts = build.build(config())
  heavy = config()
  with heavy.unlocked():
    heavy.kinds.floats.weight = 0.25
  weighted = build.build(heavy, parts.coded)
  batch = {'tokens': tokens.Tokens({}, (('symbols', 4), ('floats', 2))), 'label': np.zeros(3)}
  batch['tokens'] = parts.blocks.from_raster(parts.coded.examples('train', np.arange(3))['tokens'])
  weight = weighted.recipe.taught(batch, jax.random.key(0))['weight']
  np.testing.assert_array_equal(weight, np.tile([1, 1, 1, 1, 0.25, 0.25], (3, 1)))
  assert 'weight' not in parts.recipe.taught(batch, jax.random.key(0))


def test_where_the_codec_of_a_kind_lies_is_no_part_of_what_a_run_is():
  told = {'name': 'trained', 'workdir': 'runs/fsq'}
  tree = {**config().to_dict(), 'kinds': {'image': {'codec': told, 'steps': 4}}}
  assert places.without(tree)['kinds'] == {'image': {'codec': {'name': 'trained'}, 'steps': 4}}


BAD = {
  'no section': ('kinds', 3, 'must be a section'),
  'a kind that is no section': ('kinds.symbols', 3, 'config.kinds.symbols=3'),
  'an unknown key': ('kinds.symbols.size', 3, "has no key 'size'"),
  'an unknown kind': ('kinds.pictures', {'steps': 1}, 'pictures.*is no kind'),
  'a wrong type': ('kinds.symbols.steps', 'many', 'kinds.symbols.steps'),
  'no process of its own': (
    'kinds.symbols', {'codec': {'name': 'none'}, 'blocks': {'name': 'tokens'}}, 'names no process'
  ),
  'a process of the other kind': ('kinds.symbols.process', {'name': 'gaussian'}, 'symbols'),
  'a process of one kind': ('process', {'name': 'masked'}, 'process.name=joint'),
  'blocks of one kind': ('blocks', {'name': 'whole'}, 'blocks.name=joint'),
  'an order without a kind': ('blocks.order', ('symbols',), 'must name every kind once'),
  'its own estimate': ('model.self_condition', True, 'self_condition=True is for tokens of one'),
  'a next token': ('train.next_token', 0.5, 'next_token=0.5 is for tokens of one kind'),
  'further sizes of blocks': ('train.block_sizes', (2,), 'block_sizes'),
  'steps by the place of a block': ('plan.budgets', (2, 2, 2), 'plan.budgets'),
  'other steps of the first block': ('plan.first', 2, 'plan.first'),
  'a level of history for one kind alone': ('history', None, 'history is None'),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_kinds_are_refused_in_a_sentence(name):
  key, value, words = BAD[name]
  tree = config().to_dict()
  tree['kinds']['symbols']['history'] = 0.0
  *sections, last = key.split('.')
  place = tree
  for section in sections:
    place = place[section]
  place[last] = value
  with pytest.raises(ValueError, match=words):
    build.build(ml_collections.ConfigDict(tree))


def test_a_kind_that_learns_from_pure_noise_is_judged_there_in_either_direction():
  c = config().unlock()
  c.kinds.symbols.blocks, c.kinds.symbols.draw = {'name': 'whole'}, {'name': 'ones'}
  c.kinds.symbols.steps = 1
  parts = build.build(c)
  assert not parts.draw.pure_noise and parts.blocks.sizes == (4, 2)
  assert parts.reveals == ((4,), None)
  served = lambda key: parts.recipe.served(parts.recipe.init(key))
  params = jax.eval_shape(served, jax.random.key(0))
  rng = np.random.default_rng(0)
  params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), params)
  given = directions.Given(
    directions.toward(parts, ('floats',)), params, {'floats': np.zeros((3, 2, 1), np.float32)},
  )
  nats = given.score(symbols=np.zeros((3, 4), np.int32), samples=4, batch=2)
  np.testing.assert_allclose(nats, nats[:1, :1].repeat(3, 0).repeat(4, 1), rtol=1e-6)


def test_a_kind_says_what_it_says_and_the_config_the_rest():
  c = config()
  assert kinds.own(c, 'floats', 'solver').name == 'heun'
  assert kinds.own(c, 'symbols', 'solver').name == 'first_order' == c.solver.name
  assert kinds.own(c, 'symbols', 'weight', 1.0) == 1.0


@pytest.mark.soak
def test_a_trained_network_of_both_orders_has_the_exact_law_in_every_direction(tmp_path):
  """Minutes. The bound comes within 0.1 nats of the exact one, not below it, and samples pass the
  test of the law, jointly and for either part given the other."""
  c, folder = toy.get_config('joint'), str(tmp_path / 'run')
  assert train.train(c, folder, progress=False) == 0
  trained, source = handle.load(folder), build.build(c).source
  example = source.sample(4096, seed=21)
  exact = source.nats(example)
  whole = trained.score(example, samples=8)
  close_above(whole.nats, exact['symbols'] + exact['floats_given_symbols'])
  made = trained.sample(2048, seed=5, batch=1024, progress=False).examples
  assert source.law_test(made)['p_value'] > 1e-3
  for given, other in (('symbols', 'floats'), ('floats', 'symbols')):
    asked = trained.given(**{given: example[given]})
    nats = asked.score(samples=8, **{other: example[other]}).mean(1)
    close_above(nats, exact[f'{other}_given_{given}'])
    fewer = trained.given(**{given: example[given][:2048]}).sample(batch=1024, progress=False)
    assert source.law_test(fewer)['p_value'] > 1e-3


def close_above(nats, exact):
  excess = nats - exact
  error = 1.96 * excess.std(ddof=1) / np.sqrt(len(excess))
  assert -error < excess.mean() < 0.1 + error, (excess.mean(), error)
