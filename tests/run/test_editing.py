"""Pictures that begin with others: filled, varied, enlarged, led by maps; from the handle and from
files."""

import functools

import jax
import numpy as np
import pytest
import tiny
from absl import logging

from adiff.machine import sharding
from adiff.run import build, editing, model, modes, shards
from configs import base, digits, generators

STEPS = 3


@functools.cache
def made(blocks='whole', **changes):
  """The handle of a tiny random network of digits that is told their edges and low resolution."""
  config = digits.get_config('short').unlock()
  base.choose(config, 'codec', 'controlled', patch=4, control=('edges', 'low'), factor=4)
  base.choose(config, 'blocks', blocks)
  config.model.width, config.model.depth, config.model.heads, config.model.dropout = 16, 1, 2, 0.0
  config.plan.steps, config.guidance.scale = STEPS, 1.0
  config.guidance.update(changes)
  config.train.cond_dropouts = (('edges', 0.1),)
  parts = build.build(config.lock())
  return model.Model(
    parts, tiny.random_params(parts.model, parts.process, parts.blocks, parts.spec.coords))


def pictures(num=2):
  return made().parts.source.examples('test', np.arange(num))['example']


@pytest.mark.parametrize('blocks', ['whole', pytest.param('tokens', marks=pytest.mark.soak)])
def test_a_variation_of_strength_1_is_a_sample_and_of_strength_0_the_picture(blocks):
  trained, picture = made(blocks), pictures()[0]
  samples = trained.sample(2, label=-1, seed=4, progress=False).examples
  varied = trained.vary(picture, strength=1.0, num=2, seed=4).examples
  np.testing.assert_array_equal(varied, samples)
  same = trained.vary(picture, strength=0.0, num=2, seed=4).examples
  np.testing.assert_array_equal(same, np.stack([picture] * 2))


@pytest.mark.soak
def test_a_variation_of_half_the_strength_is_between_the_picture_and_a_sample():
  picture = pictures()[0]
  half, whole = (
    made().vary(picture, strength=strength, num=8, seed=4).examples for strength in (0.5, 1.0)
  )
  apart = [np.abs(one.astype(int) - picture).mean() for one in (half, whole)]
  assert 0 < apart[0] < apart[1]


def write(path, parts, params, **told):
  """What --edit=path makes, in `out.npz` beside it."""
  mesh = sharding.make_mesh(devices=jax.devices()[:1])
  parts, begun, num = editing.begun(parts, None, str(path), 256)
  out = shards.to_file(
    parts, params, mesh, num=num, out=str(path.parent / 'out.npz'), seed=5, batch_size=2,
    begun=begun, **told)
  return np.load(out)['arr_0']


def test_what_is_given_stays_bit_for_bit_from_the_handle_and_from_a_file(tmp_path):
  trained, hole = made(), np.zeros((2, 8, 8), bool)
  hole[:, :4, 4:] = True
  np.savez(tmp_path / 'edit.npz', pictures(), mask=hole)
  from_file = write(tmp_path / 'edit.npz', trained.parts, trained.params)
  np.testing.assert_array_equal(from_file[~hole], pictures()[~hole])
  filled, again = (
    trained.fill(pictures()[0], hole[0], num=2, seed=5, resamples=count) for count in (0, 2)
  )
  assert filled.labels.tolist() == [-1, -1]  # of no class but what the picture says
  given = pictures()[0][~hole[0]]
  for one in (filled, again):
    np.testing.assert_array_equal(one.examples[:, ~hole[0]], np.stack([given] * 2))
  # Example 0 of a seed is the same; in another program a level may be rounded to the other side.
  assert np.abs(from_file[0].astype(int) - filled.examples[0]).max() <= 1
  assert np.any(filled.examples != again.examples)
  assert again.calls[0] == 3 * filled.calls[0] == 3 * STEPS


def test_a_network_that_never_saw_given_tokens_beside_a_hole_says_so(monkeypatch):
  said, half = [], np.array([[True, False, False, False]])
  monkeypatch.setattr(logging, 'warning', lambda text: said.append(text))
  for parts, known, resamples in (
    (made('tokens').parts, half, 0), (made().parts, ~(half | True), 0), (made().parts, half, 5),
  ):
    editing.tell_untaught(parts, known, resamples)
  assert not said
  editing.tell_untaught(made().parts, half)
  assert len(said) == 1 and 'has not learnt with tokens given' in said[0]


def test_a_file_says_at_which_level_variations_begin_and_how_often_steps_are_made(tmp_path):
  path = str(tmp_path / 'edit.npz')
  np.savez(path, pictures(), strength=0.4)
  parts, begun, num = editing.begun(made().parts, None, path, 256)
  assert parts.plan.start == 0.4 and begun.held.known is None and num == 2
  np.savez(path, pictures(), mask=np.ones((2, 8, 8), bool), resamples=7)
  parts, begun, _ = editing.begun(made().parts, None, path, 256)
  assert parts.plan.resamples == 7 and not begun.held.known.any()


def test_enlarged_pictures_have_the_low_resolution_that_was_given():
  trained = made()
  low = trained.maps(pictures())['low']
  near, free = (
    trained.enlarge(low, seed=2, consistent=consistent).examples
    for consistent in (True, False)
  )
  assert np.abs(trained.maps(near)['low'] - low).max() < 0.5
  assert np.abs(trained.maps(free)['low'] - low).mean() > 1


@pytest.mark.soak
def test_pictures_that_a_file_asks_to_be_enlarged_are_those_of_the_handle(tmp_path):
  trained = made()
  low = trained.maps(pictures())['low']
  np.savez(tmp_path / 'low.npz', low=low)
  found = write(tmp_path / 'low.npz', trained.parts, trained.params)
  wanted = trained.enlarge(low, seed=5).examples
  assert np.abs(found.astype(int) - wanted).max() <= 1
  assert np.abs(trained.maps(found)['low'] - low).max() < 0.5


def test_a_map_is_asked_for_as_a_picture_or_as_tokens_and_strength_0_is_without():
  trained = made()
  cond = {'edges': trained.maps(pictures())['edges']}
  told = {'edges': trained.parts.coded.codec.asked('edges', cond['edges'])}
  how = dict(label=-1, seed=6, progress=False)
  led, same, free = (trained.sample(2, cond=one, **how).examples for one in (cond, told, {}))
  np.testing.assert_array_equal(led, same)
  assert np.any(led != free)
  guided = made(scales=(('edges', 0.0),)).sample(2, cond=cond, **how).examples
  assert np.abs(guided.astype(int) - free).max() <= 1


@pytest.mark.parametrize('arrays, words', [
  ({}, 'holds no examples; write one with numpy.savez'),
  ({'arr_0': np.zeros((2, 8, 8, 1), np.uint8)}, 'does not say what is made anew'),
  ({'arr_0': np.zeros((2, 4, 8, 1), np.uint8), 'strength': 0.5}, r'has the shape \[2, 4, 8, 1'),
  ({'arr_0': np.zeros((2, 8, 8, 1), np.uint8), 'strength': 1.5}, 'strength=1.5 must lie in'),
  ({'arr_0': np.zeros((2, 8, 8, 1), np.uint8), 'mask': np.zeros((2, 8, 8))}, 'True somewhere'),
  ({'arr_0': np.zeros((2, 8, 8, 1), np.uint8), 'mask': True}, 'True somewhere'),
  ({'arr_0': np.zeros((2, 8, 8, 1), np.uint8), 'strength': [0.1, 0.2]}, '2 numbers as strength'),
  ({'arr_0': np.zeros((2, 8, 8, 1), np.uint8), 'masks': 1}, "holds 'masks', which nobody reads"),
  ({'arr_0': np.zeros((2, 8, 8, 1), np.uint8), 'strength': 0.5, 'resamples': 2}, 'no mask'),
  ({'arr_0': np.full((2, 8, 8, 1), 0.5), 'strength': 0.5}, 'takes whole numbers 0..16'),
  ({'low': np.zeros((2, 2, 2, 1)), 'mask': np.ones(2)}, 'low resolution, which goes alone'),
])
def test_a_file_that_says_something_else_is_refused_in_a_sentence(tmp_path, arrays, words):
  path = str(tmp_path / 'edit.npz')
  np.savez(path, **arrays)
  with pytest.raises(ValueError, match=words):
    editing.begun(made().parts, None, path, 256)


@pytest.mark.parametrize('other', ['num', 'given'])
def test_what_a_file_to_edit_says_already_is_refused_beside_it(other):
  with pytest.raises(ValueError, match='--edit.*(leave --num away|write one of them)'):
    modes.check('sample', ['workdir', 'edit', other])


def test_what_blocks_cannot_do_is_refused_in_a_sentence():
  hole = np.zeros((8, 8), bool)
  hole[:4] = True
  with pytest.raises(ValueError, match='later tokens would be ignored'):
    made('tokens').fill(pictures()[0], hole)
  hole = ~hole
  with pytest.raises(ValueError, match='these are 4 of floats; write resamples=0'):
    made('tokens').fill(pictures()[0], hole, resamples=2)
  with pytest.raises(ValueError, match='strength=-1 must lie in'):
    made().vary(pictures()[0], strength=-1)
  config = made().parts.config.copy_and_resolve_references().unlock()
  config.parallel.method, config.solver = 'picard', dict(name='first_order')
  with pytest.raises(ValueError, match='parallel.method=none'):
    editing.plan(build.build(config.lock()), start=0.5)


def test_a_network_that_makes_examples_at_once_edits_none_from_a_file(tmp_path):
  np.savez(tmp_path / 'edit.npz', pictures(), strength=0.5)
  parts = build.build(generators.get_config('gan-digits'))
  with pytest.raises(ValueError, match='recipe gan makes examples of noise alone, and edits no'):
    editing.read(tmp_path / 'edit.npz', parts)
