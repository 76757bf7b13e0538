"""A codec that is trained is a workdir like any other, and then the codec of other configs."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_weights
import safetensors.numpy
import tiny
import tiny_data
import vgg

from adiff.codec import trained
from adiff.judge.metrics import convolutional, inception
from adiff.learn import base as learn_base
from adiff.machine import checkpoint, cost, manifest
from adiff.nn import classifier, efficientnet
from adiff.nn import inception as network
from adiff.run import (
  begin,
  build,
  encode,
  evaluate,
  eyes,
  handle,
  kept,
  published,
  reconstruct,
  roles,
  train,
)
from adiff.run import workdir as workdir_lib
from configs import base, shapes, tokenizer

STEPS = 4


def config(**how):
  """Of digits: all that moves without a gradient, in two parts a batch, with a critic half way."""
  c = tokenizer.get_config('debug').unlock()
  base.choose(c, 'codec', 'patches', patch=2)
  base.choose(c, 'coder', 'conv', widths=(4,))
  base.choose(c, 'quantiser', 'vq', vocab=16, dim=3)
  base.choose(c, 'recipe', 'adversarial', start=2, critic_widths=(4,))
  c.train.steps, c.train.batch_size, c.train.microbatches, c.optim.warmup = STEPS, 16, 2, 0
  c.train.eval_every = c.train.checkpoint_every = 2
  c.train.log_every, c.train.keep = 1, 5
  c.eval.examples = c.eval.batch_size = c.eval.num = 16
  for key, value in how.items():
    c[key] = value
  return c.lock()


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  """Of a run that ended."""
  place = tmp_path_factory.mktemp('runs') / 'codec'
  assert train.train(config(), place, progress=False) == 0
  return place


def test_a_run_that_starts_from_a_codec_has_its_codebook(workdir, tmp_path):
  parts = build.build(config(seed=7, init_from=str(workdir)))
  mesh = build.build_mesh(parts)
  state = begin.born(parts, build.state_shardings(parts, mesh, cost.state(parts)))
  _, wanted = checkpoint.restore_params(workdir, role='codec', part='extra')
  own = jax.tree.leaves(state.extra['codec'])
  for leaf, theirs in zip(own, jax.tree.leaves(wanted), strict=True):
    np.testing.assert_array_equal(leaf, theirs)
  assert own and any(leaf.size > 1 for leaf in own)


def generator(workdir, **how):
  """A config that the codec serves."""
  c = base.get_config().unlock()
  base.choose(c, 'data', 'digits')
  base.choose(c, 'codec', 'trained', workdir=str(workdir))
  base.choose(c, 'blocks', 'equal', size=4)
  c.model.width, c.model.depth, c.model.heads = 8, 1, 1
  c.eval.steps = ()
  for key, value in how.items():
    c[key] = value
  return c.lock()


def test_its_page_tells_what_it_keeps_of_held_out_pictures(workdir):
  report = json.loads((workdir / 'eval.json').read_text())
  titles = [one['title'] for one in report['sections']]
  assert titles[:4] == ['Reconstruction', 'Code', 'Held out', 'Training'] and report['complete']
  assert report['numbers']['bits'] == 64 and report['numbers']['psnr'] > 0
  lines = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
  rated = [line['test/mse'] for line in lines if 'test/mse' in line]
  assert len(rated) == 2 and rated[-1] == pytest.approx(report['numbers']['mse'])
  assert lines[0]['loss'] == pytest.approx(lines[0]['l1'] + lines[0]['commitment'], rel=1e-5)
  assert {'adversarial_weight', 'grad_norm_critic'} <= set(lines[0])


def ends_alike(workdir, again, config):
  """Trains a copy of a finished run that has lost its last checkpoint, and compares the ends; gives
  the state of the first."""
  shutil.copytree(workdir, again)
  for place in (manifest.folder(again, STEPS), manifest.path(again, STEPS)):
    shutil.rmtree(place, ignore_errors=True)
  for name in ('eval.json', 'codec.json'):
    (again / name).unlink()
  assert train.train(config, again, progress=False) == 0
  (step, ours), (_, theirs) = (checkpoint.restore_arrays(one) for one in (again, workdir))
  assert step == STEPS
  jax.tree.map(np.testing.assert_array_equal, ours, theirs)
  assert (again / trained.FILE).read_bytes() == (workdir / trained.FILE).read_bytes()
  return theirs


@pytest.mark.soak
def test_a_run_that_was_killed_ends_bit_for_bit_where_the_other_one_did(workdir, tmp_path):
  state = ends_alike(workdir, tmp_path / 'again', config())
  assert set(state['extra']) == {learn_base.CODEC, learn_base.CRITIC}


@pytest.mark.soak
def test_so_does_one_without_a_critic(tmp_path):
  alone = config().unlock()
  base.choose(alone, 'recipe', 'autoencoder')
  alone = alone.lock()
  assert train.train(alone, tmp_path / 'run', progress=False) == 0
  state = ends_alike(tmp_path / 'run', tmp_path / 'again', alone)
  assert set(state['params']) == {learn_base.CODEC}


def test_a_generator_is_built_on_it_and_keeps_it_whatever_becomes_of_the_other(workdir, tmp_path):
  parts = build.build(generator(workdir))
  tokens = parts.coded.examples('test', np.arange(3))['tokens']
  assert tokens.shape == (3, 16) and parts.process.vocab == 16
  assert parts.coded.decode(tokens).shape == (3, 8, 8, 1)
  place = str(tmp_path / 'generator')
  with workdir_lib.lock(place):
    workdir_lib.claim(place, parts.config, parts.contract)
    kept.write(place, parts)
  gone = generator(str(tmp_path / 'gone'))
  workdir_lib.check(place, gone, build.build(gone, codec=kept.codec(place, parts.config)).contract)
  again = kept.parts(place, workdir_lib.load(place))
  np.testing.assert_array_equal(again.coded.decode(tokens), parts.coded.decode(tokens))


def test_another_codec_is_refused_in_words(workdir, tmp_path):
  parts = build.build(generator(workdir))
  place, other = tmp_path / 'generator', tmp_path / 'other'
  for folder in (place, other):
    folder.mkdir()
  workdir_lib.claim(place, parts.config, parts.contract)
  told = json.loads((workdir / trained.FILE).read_text())
  (other / trained.FILE).write_text(json.dumps({**told, 'step': told['step'] + 1}))
  changed = build.build(generator(str(other)))
  with pytest.raises(ValueError, match=r'was trained with codec\.digest = \w{16}, but here'):
    workdir_lib.check(place, changed.config, changed.contract)


def test_the_codec_of_a_kind_is_kept_for_those_who_name_the_same_one_alone(few, tmp_path):
  c = shapes.get_config('codes_plan').unlock()
  c.data.size = 16
  tiny_data.point(c, few)
  parts, place = build.build(c.lock()), tmp_path / 'generator'
  with workdir_lib.lock(str(place)):
    workdir_lib.claim(place, parts.config, parts.contract)
    kept.write(place, parts)
  assert kept.codec(place, c).kinds['image'].text == parts.coded.codec.kinds['image'].text
  other = c.copy_and_resolve_references().unlock()
  other.kinds.image.codec.workdir = str(tmp_path / 'other')
  assert kept.codec(place, other.lock()) is None


def test_films_are_coded_a_frame_first_and_then_in_groups():
  c = config().unlock()
  base.choose(c, 'data', 'latents', shape=(5, 4, 4, 3), made_up=True)
  base.choose(c, 'codec', 'latents')
  base.choose(c, 'coder', 'conv', widths=(4, 4), frames=2, attention=True)
  base.choose(c, 'quantiser', 'vae', dim=2)
  base.choose(c, 'recipe', 'autoencoder')
  parts = build.build(c.lock())
  assert parts.autoencoder.coder.code_grid == (3, 2, 2)
  state = jax.eval_shape(parts.recipe.init, jax.random.key(0))
  after, _ = jax.eval_shape(parts.recipe.update, state, parts.recipe.batch(4), jax.random.key(0))
  assert jax.tree.structure(after) == jax.tree.structure(state)


def test_nothing_is_sampled_from_a_codec(workdir):
  with pytest.raises(ValueError, match='samples nothing by itself'):
    handle.load(workdir)


def test_tokens_are_encoded_by_the_codec_that_was_trained_and_not_by_the_one_below(
  workdir, tmp_path
):
  encode.encode(workdir, str(tmp_path / 'tokens'), batch=64)
  c = generator('').unlock()
  base.choose(c, 'data', 'encoded', data_dir=str(tmp_path / 'tokens'))
  ours = build.build(c.lock()).coded.examples('test', np.arange(5))['tokens']
  theirs = build.build(generator(workdir)).coded.examples('test', np.arange(5))['tokens']
  np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize('changes, words', [
  ({'quantiser': {'name': ''}}, "config.quantiser.name='' is unknown"),
  ({'coder': {'name': ''}}, "config.coder.name='' is unknown"),
  ({'codec': {'name': 'patches', 'patch': 1, 'discrete': True}}, 'trained on floats on a grid'),
  ({'model': {'name': 'denoiser'}}, 'trains a codec, which has no model'),
  ({'train': {**config().train, 'random_length': 0.5}}, 'train.random_length=0.5 is about blocks'),
  ({'mesh': {'data': 1, 'fsdp': 1, 'tensor': 8, 'sequence': 1, 'slices': 1}}, 'mesh.tensor=8'),
])
def test_a_config_that_cannot_work_is_told_in_a_sentence(changes, words):
  with pytest.raises(ValueError, match=words) as error:
    build.build_mesh(build.build(config(**changes)))
  assert '\n' not in str(error.value)


def test_a_perceptual_distance_is_measured_in_the_features_of_a_file(tmp_path):
  params = classifier.init(jax.random.key(0), (8, 8, 1), 10)
  found = convolutional.Convolutional('it', 0.5, 16.0, np.arange(10), jax.device_get(params))
  eyes.write(tmp_path / eyes.FILE, found, 'data')
  places = tmp_path, tmp_path / 'elsewhere'
  places[1].mkdir()
  assert eyes.remembered(places, 'data', None).digest == found.digest
  assert eyes.remembered(places, 'other data', lambda: found) is found
  assert eyes.read(places[1] / eyes.FILE)[1] == 'other data'
  again, of = eyes.read(tmp_path / eyes.FILE)
  assert (again.digest, again.accuracy, of) == (found.digest, 0.5, 'data')
  c = config().unlock()
  base.choose(c, 'recipe', 'autoencoder', perceptual=2.0, l2=0.0)
  with pytest.raises(ValueError, match='write recipe.perceptual_from='):
    build.build(c)
  c.recipe.perceptual_from = str(tmp_path / 'none.npz')
  with pytest.raises(ValueError, match='there is no such file'):
    build.build(c)
  safetensors.numpy.save_file({'a': np.zeros(1)}, tmp_path / 'lpips.safetensors')
  c.recipe.perceptual_from = str(tmp_path / 'lpips.safetensors')
  with pytest.raises(ValueError, match='perceptual_from=.* the weights lack net.slice1.0.weight'):
    build.build(c)
  safetensors.numpy.save_file(vgg.published(), tmp_path / 'lpips.safetensors')
  with pytest.raises(ValueError, match='sees pictures of 1 or 3 channels and 16 pixels a side'):
    build.build(c)
  c.recipe.perceptual_from = str(tmp_path / eyes.FILE)
  parts = build.build(c)
  assert parts.contract['eyes'] == found.digest
  examples = parts.source.examples('test', np.arange(4))['example']
  x = parts.coded.codec.encode((), examples)
  y = -x
  total, _ = parts.recipe.distance(x, y)
  pictures = np.float32(examples) / 8 - 1
  layers = [np.asarray(classifier.maps(params, sign * pictures)[0]) for sign in (1, -1)]
  wanted = np.square(layers[1] - layers[0]).mean() / np.square(layers[0]).mean()
  np.testing.assert_allclose(total, 2 * wanted, rtol=1e-5)


@pytest.mark.soak
def test_reconstructions_are_compared_in_the_network_of_a_file(workdir, tmp_path, monkeypatch):
  weights = {name: np.zeros(shape, np.float16) for name, shape in network.shapes().items()}
  safetensors.numpy.save_file(weights, tmp_path / 'all.safetensors')
  safetensors.numpy.save_file({'a': np.zeros(1)}, tmp_path / 'other.safetensors')
  for name, words in (('none.npz', 'no such file'), ('other.safetensors', 'lack Conv2d_1a')):
    c = config().unlock()
    c.eval.inception = str(tmp_path / name)
    with pytest.raises(ValueError, match=rf'config.eval.inception=.*{words}'):
      reconstruct.check(build.build(c))
  samples = tiny.config('block-masked')
  samples.eval.inception = str(tmp_path / 'all.safetensors')
  with pytest.raises(ValueError, match='measures what a trained codec reconstructs'):
    evaluate.check(build.build(samples))
  c.eval.inception = str(tmp_path / 'all.safetensors')
  monkeypatch.setattr(inception, '_run', lambda params, shown: np.float32(shown).mean((1, 2)))
  parts = build.build(c)
  mesh = build.build_mesh(parts)
  reconstruct.check(parts)
  served = parts.recipe.served(parts.recipe.init(jax.random.key(0)))
  report = reconstruct.evaluate(
    parts, served, workdir, step=STEPS, mesh=mesh, flops_per_step=1, folder=tmp_path,
    progress=False)
  assert report['numbers']['rfid_inception'] > 0


@pytest.mark.soak
def test_a_perceptual_distance_and_reconstructions_may_be_seen_by_a_network_of_imagenet(
  monkeypatch
):
  weights = random_weights.of(efficientnet.shapes())
  monkeypatch.setattr(published, 'efficientnet_weights', lambda: weights)
  c = config().unlock()
  c.eval.efficientnet = True
  found = reconstruct._published(build.build(c))
  assert found['efficientnet'].scale == 16
  samples = tiny.config('block-masked')
  samples.eval.efficientnet = True
  with pytest.raises(ValueError, match='write eval.efficientnet=False.*--mode=judge --features'):
    evaluate.check(build.build(samples))
  base.choose(c, 'recipe', 'autoencoder', perceptual=2.0, l2=0.0, perceptual_from='efficientnet')
  with pytest.raises(ValueError, match='perceptual_from=efficientnet sees .* 32 pixels a side'):
    build.build(c)
  base.choose(c, 'data', 'drawn')
  parts = build.build(c)
  monkeypatch.setattr(efficientnet, 'distance', lambda params, x, y: jnp.mean(jnp.abs(x - y)))
  again = build.build(c)
  assert parts.contract['eyes'] == again.contract['eyes']
  x = jnp.ones((2, parts.spec.num_tokens, 12))
  np.testing.assert_allclose(again.recipe.distance(x, 0.5 * x)[0], 1.0)


def test_a_step_is_counted_with_its_convolutions_and_its_critic():
  parts = build.build(config())
  plain = config().unlock()
  base.choose(plain, 'recipe', 'autoencoder')
  whole, alone = cost.step(parts).flops, cost.step(build.build(plain.lock())).flops
  assert 1.5 < whole / alone < 4
  assert roles.measuring(parts).BEST == 'mse'
