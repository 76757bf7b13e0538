"""A trained codec is its file: what it makes of examples, and what it refuses."""

import dataclasses
import functools
import json

import jax
import numpy as np
import pytest

from adiff.codec import base, trained
from adiff.run import build, codecs
from adiff.sequence import conditions
from adiff.sequence import spec as spec_lib
from configs import base as configs

FACTS = base.Facts('image', (4, 4, 1), 17, {'label': conditions.Label(3)})
QUANTISERS = {
  'fsq': dict(name='fsq', levels=(5, 5)),
  'vae': dict(name='vae', dim=3),
  'multiscale': dict(name='multiscale', sides=(1, 2), vocab=8, dim=3),
}
CHOICES = {
  'shape': [4, 4, 1], 'levels': 17, 'medium': 'image',
  'codec': {'name': 'patches', 'shape': [4, 4, 1], 'levels': 17},
  'coder': {'name': 'conv', 'widths': [4, 4]},
}


@functools.cache
def text(name, seed=0):
  """The file of a codec with random parameters; its vectors have mean 1, 2, .. and deviation 2."""
  about = {**CHOICES, 'quantiser': QUANTISERS[name]}
  _, autoencoder = codecs.made(json.loads(json.dumps(about), object_hook=_tuples))
  kind, rng = autoencoder.quantiser.kind, np.random.default_rng(seed)
  abstract = jax.eval_shape(
    lambda key: {'params': autoencoder.init(key), 'extra': autoencoder.init_extra()},
    jax.random.key(0),
  )
  served = jax.tree.map(
    lambda leaf: rng.normal(size=leaf.shape).astype(leaf.dtype), abstract
  )
  width = 0 if kind.discrete else kind.dim
  return trained.told(
    about, served, mean=np.arange(width) + 1.0, std=np.full(width, 2.0), step=7
  )


def _tuples(found):
  return {key: tuple(value) if isinstance(value, list) else value for key, value in found.items()}


@functools.cache
def codec(name):
  return codecs.resolve({'name': 'trained', 'text': text(name)})


def pictures(num):
  return np.random.default_rng(1).integers(0, 17, (num, 4, 4, 1), np.uint8)


@pytest.mark.parametrize('name', QUANTISERS)
def test_tokens_and_pictures_are_those_of_the_network_whatever_the_batch(name, monkeypatch):
  own = codec(name)
  spec, examples = own.spec(FACTS), pictures(5)
  tokens = own.encode((), examples)
  assert tokens.shape[1] == spec.num_tokens == len(spec.coords)
  assert spec.conds == FACTS.conds and spec.dims == 16
  shown = own.decode((), tokens)
  assert shown.shape == examples.shape and shown.dtype == np.uint8
  codes = tokens if spec.kind.discrete else tokens * 2 + np.arange(3, dtype=np.float32) + 1
  parts = own._parts
  x = parts.codec.encode((), examples)
  filled = np.zeros((trained.BATCH, *x.shape[1:]), np.float32)
  filled[:5] = x
  np.testing.assert_allclose(np.asarray(parts.encode(filled))[:5], codes, rtol=1e-5, atol=1e-5)
  monkeypatch.setattr(trained, 'BATCH', 2)
  again = own.encode((), examples)
  if spec.kind.discrete:
    np.testing.assert_array_equal(again, tokens)
  else:
    np.testing.assert_allclose(again, tokens, atol=1e-5)


def test_a_codec_of_scales_has_the_places_of_each():
  spec = codec('multiscale').spec(FACTS)
  assert spec.grid == (5,) and spec.kind == spec_lib.Symbols(8)
  np.testing.assert_array_equal(
    spec.coords, [[0, 0, 0], [1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 1, 1]]
  )


@pytest.mark.parametrize('sides, columns', [
  ((1, 2, 4, 8), ([3], [1, 5], [0, 2, 4, 6], range(8))),
  ((1, 2, 4, 7), ([3], [1, 5], [0, 2, 4, 6], range(7))),
])
def test_codes_of_a_scale_stand_at_their_centres_whether_or_not_it_divides(sides, columns):
  coords = trained._coords([(side, side) for side in sides])
  for number, found in enumerate(columns):
    own = coords[coords[:, 0] == number, 1:].reshape(sides[number], sides[number], 2)
    np.testing.assert_array_equal(own[0, :, 1], found)
    np.testing.assert_array_equal(own[:, 0, 0], found)


def test_a_workdir_of_scales_that_stood_elsewhere_is_told_apart():
  even, uneven = of_size('multiscale', (4, 4, 1)), of_size('multiscale', (6, 6, 1))  # 2 of 3 places
  assert even.told == {'digest': even.digest}
  assert uneven.told == {'digest': uneven.digest, 'places': 'centres'}


def test_any_symbol_and_any_number_is_decoded():
  assert codec('fsq').decode((), np.full((1, 4), 999, np.int32)).shape == (1, 4, 4, 1)
  assert codec('vae').decode((), np.full((1, 4, 3), 1e3)).shape == (1, 4, 4, 1)


def test_its_digest_is_that_of_its_parameters_wherever_they_lie():
  one = codec('fsq')
  elsewhere = dataclasses.replace(one, workdir='there')
  other = codecs.resolve({'name': 'trained', 'text': text('fsq', seed=1)})
  assert one.digest == elsewhere.digest != other.digest
  assert one.told == {'digest': one.digest}


def test_a_workdir_without_a_codec_is_told_what_to_name(tmp_path):
  for workdir in ('', str(tmp_path)):
    with pytest.raises(ValueError, match='name a workdir that has trained a codec'):
      codecs.resolve({'name': 'trained', 'workdir': workdir}).fit(None)
  (tmp_path / trained.FILE).write_text(text('fsq'))
  found = codecs.resolve({'name': 'trained', 'workdir': str(tmp_path)}).fit(None)
  assert found.digest == codec('fsq').digest


@pytest.mark.parametrize('facts', [
  base.Facts('image', (8, 8, 1), 17), base.Facts('image', (4, 4, 1), 256),
  base.Facts('video', (4, 4, 1), 17),
])
def test_examples_of_another_form_are_refused(facts):
  with pytest.raises(ValueError, match=r'was trained on image \[4, 4, 1\] of 17 levels'):
    codec('fsq').spec(facts)


# Pictures of other sides than in training.


def of_size(name, shape, content=None):
  choice = {'name': 'trained', 'text': text(name) if content is None else content}
  return codecs.resolve(choice, shape=shape)


def untrained(name):
  """The file of a codec that has learnt nothing: no place of it reads another one."""
  told = json.loads(text(name))
  _, autoencoder = codecs.made(json.loads(json.dumps(told), object_hook=_tuples))
  params = jax.jit(autoencoder.init)(jax.random.key(3))
  served = {'params': params, 'extra': autoencoder.init_extra()}
  about = {key: told[key] for key in ('shape', 'levels', 'medium', 'codec', 'coder', 'quantiser')}
  return trained.told(about, served, mean=told['mean'], std=told['std'], step=7)


def test_a_picture_that_is_laid_side_by_side_has_its_codes_side_by_side():
  once, twice = (of_size('vae', shape, untrained('vae')) for shape in ((4, 4, 1), (8, 12, 1)))
  examples = pictures(3)
  tiled = np.tile(examples, (1, 2, 3, 1))
  spec = twice.spec(dataclasses.replace(FACTS, shape=(8, 12, 1)))
  assert spec.grid == (4, 6) and spec.dims == 96
  codes, expected = twice.encode((), tiled), once.encode((), examples)
  grid = codes.reshape(3, 4, 6, -1)
  expected = np.tile(expected.reshape(3, 2, 2, -1), (1, 2, 3, 1))
  np.testing.assert_allclose(grid, expected, rtol=1e-4, atol=1e-4)
  shown = np.tile(once.decode((), once.encode((), examples)), (1, 2, 3, 1))
  np.testing.assert_allclose(twice.decode((), codes).astype(int), shown.astype(int), atol=1)


def test_scales_follow_the_sides_of_a_picture_and_the_digest_tells_them_apart():
  once, twice = (of_size('multiscale', shape) for shape in ((4, 4, 1), (8, 8, 1)))
  spec = twice.spec(dataclasses.replace(FACTS, shape=(8, 8, 1)))
  assert spec.num_tokens == 2 * 2 + 4 * 4
  assert twice.decode((), twice.encode((), np.tile(pictures(1), (1, 2, 2, 1)))).shape[1:3] == (8, 8)
  assert once.digest == codec('multiscale').digest != twice.digest
  kept = codecs.of_choice(codecs.as_choice('trained', twice))
  assert kept.digest == twice.digest


def test_a_generator_takes_the_size_from_its_data(tmp_path):
  (tmp_path / trained.FILE).write_text(text('fsq'))  # of 4x4 pixels
  c = configs.get_config()
  configs.choose(c, 'data', 'digits')  # of 8x8
  configs.choose(c, 'codec', 'trained', workdir=str(tmp_path))
  configs.choose(c, 'blocks', 'equal', size=4)
  parts = build.build(c)
  assert parts.spec.grid == (4, 4) and parts.coded.codec.shape == (8, 8, 1)
  assert parts.contract['codec']['digest'] == of_size('fsq', (8, 8, 1)).digest
  assert 'shape' not in parts.contract['codec']


@pytest.mark.parametrize('shape, words', [
  ((6, 7, 1), 'a place of the code stands for 2x2, .* multiples of that'),
  ((8, 8, 3), r'was trained on image \[4, 4, 1\]'), ((8, 1), 'was trained on image'),
])
def test_sides_that_no_code_stands_for_are_refused(shape, words):
  with pytest.raises(ValueError, match=words) as error:
    of_size('fsq', shape).spec(dataclasses.replace(FACTS, shape=shape))
  assert '\n' not in str(error.value)


def change(key, value):
  return json.dumps({**json.loads(text('fsq')), key: value})


@pytest.mark.parametrize('told, words', [
  ('{', 'is not JSON'), ('{}', 'has no version'), (change('version', 9), 'has version 9'),
  (change('weights', 'AAAA'), 'is no .npz file'),
  (change('coder', {'name': 'conv', 'widths': [8, 4]}), 'those of another network'),
  (change('quantiser', {'name': 'vq', 'dim': 2, 'vocab': 4}), 'those of another network'),
  (change('mean', [1.0]), 'mean and deviation'), (change('levels', 1), 'of 1 levels'),
  (change('coder', {'name': 'none'}), 'choose one of conv'),
  (change('codec', {'name': 'patches', 'shape': [4, 4, 1], 'discrete': True}), 'trained on floats'),
])
def test_a_file_that_is_no_codec_is_told_in_a_sentence(told, words):
  own = codecs.resolve({'name': 'trained', 'text': told})
  with pytest.raises(ValueError, match=words) as error:
    own.spec(FACTS)
  assert '\n' not in str(error.value)


def test_codes_of_several_scales_bring_hints_of_coarser_ones_inside_a_program():
  own = codec('multiscale')
  spec, tokens = own.spec(FACTS), own.encode((), pictures(3))
  assert spec.hints == {'coarser': 3} and spec.stages.tolist() == [0, 1, 1, 1, 1]
  hints = jax.jit(lambda x: own.hints((), x)['coarser'])
  before = np.asarray(hints(tokens))
  assert not before[:, 0].any() and np.all(np.any(before[:, 1:], -1))
  finer = np.where(spec.stages > 0, (tokens + 3) % 8, tokens)
  np.testing.assert_array_equal(hints(finer), before)
  masked = np.where(spec.stages > 0, 8, tokens).astype(np.int32)  # as a walk has them
  np.testing.assert_array_equal(hints(masked), before)
  assert codec('fsq').spec(FACTS).hints == {}


def test_codes_are_made_anew_after_others_were_replaced_inside_a_program():
  own, tokens = codec('multiscale'), codec('multiscale').encode((), pictures(8))
  again = jax.jit(lambda key, share: own.requantise((), tokens, key, share))
  alike, shown = again(jax.random.key(0), 0.0)
  np.testing.assert_array_equal(alike, shown)
  other, shown = again(jax.random.key(0), 0.9)
  np.testing.assert_array_equal(other[:, 0], alike[:, 0])  # nothing is coarser
  moved = np.asarray(shown[:, 0] != other[:, 0])
  assert moved.any() and np.any(np.asarray(other != alike)[moved])
  np.testing.assert_array_equal(np.asarray(other)[~moved], np.asarray(alike)[~moved])
  assert own.requantises and not codec('fsq').requantises
