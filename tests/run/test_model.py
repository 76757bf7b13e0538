"""The handle: what a workdir gives in a notebook, of every medium."""

import contextlib
import dataclasses
import pathlib
import re
import signal
import types

import jax
import numpy as np
import pytest

import adiff
from adiff.judge import subset
from adiff.machine import checkpoint, sharding
from adiff.run import build, evaluate, handle, kept, model, sequences, workdir
from configs import base, digits, toy
from configs import text as text_config

WORDS = 'the cat sat on the mat. ' * 40


def small(config):
  """The config, cut to seconds."""
  with config.unlocked():
    config.model.width, config.model.depth, config.model.heads = 16, 1, 2
    config.train.steps, config.train.batch_size, config.optim.warmup = 3, 8, 0
    config.train.eval_every = config.train.checkpoint_every = 3
    config.eval.num, config.eval.examples, config.eval.batch_size = 16, 16, 16
    config.eval.samples, config.eval.steps, config.eval.features = 1, (), False
    config.eval.samplers, config.plan.steps = (), 2
  return config


def latents_config():
  config = small(base.get_config())
  base.choose(config, 'data', 'latents', shape=(4, 4, 3), num_classes=3, made_up=True)
  base.choose(config, 'codec', 'latents', patch=2)
  base.choose(config, 'process', 'gaussian', clip=0.0)
  base.choose(config, 'blocks', 'tokens')
  return config


def text_model_config(path):
  config = small(text_config.get_config('full'))
  base.choose(config, 'data', 'text', path=str(path), num_tokens=16)
  base.choose(config, 'codec', 'bytes')
  config.plan.steps = 2
  return config


def born(config, folder) -> model.Model:
  """A model of random parameters that say something, from a workdir of its own."""
  parts = build.build(config)
  state = jax.jit(parts.recipe.init)(jax.random.key(0))
  leaves, tree = jax.tree.flatten(state.ema)
  keys = jax.random.split(jax.random.key(1), len(leaves))
  noisy = [leaf + 0.1 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys)]
  workdir.claim(folder, parts.config, parts.contract)
  kept.write(folder, parts)
  with contextlib.closing(checkpoint.Checkpoints(str(folder))) as keeper:
    keeper.save(3, state.replace(ema=jax.tree.unflatten(tree, noisy)))
  return adiff.load(folder)


@pytest.fixture(scope='module', params=['law', 'image', 'latents', 'text'])
def trained(request, tmp_path_factory):
  folder = tmp_path_factory.mktemp(request.param)
  (folder / 'words.txt').write_text(WORDS)
  config = {
    'law': lambda: small(toy.get_config('full')),
    'image': lambda: small(digits.get_config()),
    'latents': latents_config,
    'text': lambda: text_model_config(folder / 'words.txt'),
  }[request.param]()
  (folder / 'run').mkdir()
  return born(config, folder / 'run')


def some(trained, num=3):
  """Held-out examples."""
  return trained.parts.source.examples('test', np.arange(num))['example']


def test_equal_seeds_give_equal_samples_whatever_the_batch(trained):
  one, two = trained.sample(5, seed=1, batch=2), trained.sample(6, seed=1)
  np.testing.assert_array_equal(np.array(one.examples), np.array(two.examples[:5]))
  other = trained.sample(5, seed=2)
  assert not np.array_equal(np.array(one.examples), np.array(other.examples))


def test_a_saved_model_is_the_model_from_another_folder_without_its_data(
  trained, tmp_path, monkeypatch
):
  saved = trained.save(tmp_path / 'kept')

  def gone(*_):
    raise FileNotFoundError('there is no folder data; set data_dir')

  monkeypatch.setattr(sequences, 'coded', gone)
  monkeypatch.chdir(tmp_path)
  loaded = adiff.load('kept')
  assert loaded.step == trained.step == 3 and str(tmp_path) in saved
  np.testing.assert_array_equal(
    np.array(loaded.sample(4).examples), np.array(trained.sample(4).examples)
  )
  with pytest.raises(FileNotFoundError, match='is not here .there is no folder data.; write'):
    loaded.parts.source.examples('test', [0])
  with pytest.raises(ValueError, match='not empty'):
    trained.save(saved)


def test_a_model_whose_saving_is_killed_leaves_nothing(trained, tmp_path, monkeypatch):
  def killed(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr(workdir, 'write', killed)
  with pytest.raises(KeyboardInterrupt):
    trained.save(tmp_path / 'kept')
  assert list(tmp_path.iterdir()) == []


def test_what_is_given_stays_and_what_is_masked_is_made(trained):
  if trained.parts.spec.medium == 'text':
    assert isinstance(trained.fill('the ', 3, ' sat'), str)
    return
  example = some(trained)[0]
  mask = np.zeros(example.shape[:1], bool)
  mask[-2:] = True
  filled = trained.fill(example, mask, num=4)
  assert len(filled) == 4
  kept = np.broadcast_to(~mask.reshape(-1, *[1] * (example.ndim - 1)), example.shape)
  if trained.parts.source.facts.levels == 17:  # two rows of pixels lie in patches of four
    kept = np.broadcast_to(np.arange(8)[:, None, None] < 4, example.shape)
  for one in filled:
    np.testing.assert_allclose(one[kept], example[kept], atol=1e-5)
  assert len({np.asarray(one).tobytes() for one in filled}) > 1


def test_a_hole_that_later_tokens_would_be_needed_for_is_refused(trained):
  if trained.parts.blocks.num_blocks == 1 or trained.parts.spec.medium == 'text':
    pytest.skip('one block reads all of itself')
  example = some(trained)[0]
  mask = np.arange(len(example)) < 2
  with pytest.raises(ValueError, match='later tokens would be ignored'):
    trained.fill(example, mask)


def test_a_score_is_that_of_the_evaluation(trained):
  if trained.parts.spec.medium == 'text':
    score = trained.score(['the cat', 'the mat sat'])
    whole = trained.perplexity(['the cat', 'the mat sat'])
    assert score.dims.tolist() == [8, 12]
    assert abs(score.nats.sum() / 20 / whole['nats_per_token'] - 1) < 1e-6
    return
  source = trained.parts.source
  found = source.examples('test', subset.spread(source.size('test'), 16))  # the evaluation's own
  label = found['label'] if trained.parts.spec.num_classes > 0 else None
  score = trained.score(found['example'], label=label, samples=64)
  mesh = sharding.make_mesh(data=-1, fsdp=1, tensor=1, sequence=1)
  params = jax.device_put(trained.params, sharding.replicated(mesh))
  bound = evaluate.Bound(trained.parts, mesh)
  theirs = bound.samples(params, samples=64).nats.sum(-1)  # [16, 64]
  apart, noise = score.nats - theirs.mean(1), np.hypot(score.ci95 / 1.96, theirs.std(1) / 8)
  assert abs(apart.mean()) < 4 * np.sqrt(np.sum(noise**2)) / len(apart) + 1e-3
  assert score.exact == bound(params, samples=1)['is_likelihood']


@pytest.mark.soak
def test_a_score_of_more_paths_is_closer(trained):
  if trained.parts.spec.medium == 'text':
    few, many = (trained.score(['the cat', 'the mat'], orders=num, samples=3) for num in (1, 16))
  else:
    chain = dataclasses.replace(trained, parts=dataclasses.replace(
      trained.parts, config=trained.parts.config.copy_and_resolve_references()))
    with chain.parts.config.unlocked():
      chain.parts.config.eval.chain = 30
    few, many = (chain.score(some(trained), orders=num, samples=3) for num in (2, 16))
  assert np.all(np.isfinite(many.nats)) and np.all(many.ci95 > 0)
  assert many.mean < few.mean + np.hypot(few.ci95, many.ci95).mean()


def test_paths_that_a_model_has_not_are_refused(trained):
  examples = ['the cat'] if trained.parts.spec.medium == 'text' else some(trained)
  with pytest.raises(ValueError, match='orders=6 must be a power of two'):
    trained.score(examples, orders=6)
  with pytest.raises(ValueError, match='orders'):
    trained.score(examples, orders=0)


def test_results_show_themselves(trained):
  samples, medium = trained.sample(3), trained.parts.spec.medium
  page = samples._repr_html_()
  assert ('data:image/png' in page) == (medium == 'image') == (samples._repr_png_() is not None)
  assert '3 samples' in page and len(samples) == len(np.asarray(samples)) == 3
  assert 'step 3' in repr(trained)


def test_mistakes_are_answered_in_words(trained):
  with pytest.raises(ValueError, match='label 99|without labels'):
    trained.sample(2, label=99)
  if trained.parts.spec.medium != 'text':
    with pytest.raises(ValueError, match='has the shape'):
      trained.fill(np.zeros(3), np.ones(3, bool))


@pytest.mark.parametrize('call, words', [
  (lambda model: model.sample(0), 'num=0.*1 or more'),
  (lambda model: model.sample(-3), 'num=-3'),
  (lambda model: model.sample(2.5), 'num=2.5.*whole number'),
  (lambda model: model.sample(2, batch=0), 'batch=0'),
  (lambda model: model.sample(2, seed=-1), 'seed=-1'),
  (lambda model: model.sample(2, seed=2**32), 'seed=4294967296'),  # it would be that of 0
  (lambda model: model.sample(2, label=[-1, -1, -1]), r'label.*3.*2 examples'),
  (lambda model: model.sample(2, label=[]), r'label.*0.*2 examples'),
  (lambda model: model.sample(2, label=0.5), 'label 0.5.*whole'),
  (lambda model: model.score([]), 'nothing to score|no document'),
], ids=range(10))
def test_a_number_that_means_nothing_is_refused_and_not_taken_for_the_default(trained, call, words):
  with pytest.raises(ValueError, match=words):
    call(trained)


def test_a_class_is_asked_for_by_its_name_or_by_its_number(monkeypatch):
  spec = types.SimpleNamespace(num_classes=2, names=('cats', 'owls'))
  named = model.Model(types.SimpleNamespace(spec=spec), {})
  assert named._labels('owls', 3).tolist() == [1, 1, 1]
  assert named._labels(['owls', 'cats'], 2).tolist() == named._labels([1, 0], 2).tolist() == [1, 0]
  with pytest.raises(ValueError, match="label 'dogs' is none of the classes cats, owls"):
    named.sample(2, label='dogs')
  monkeypatch.setattr(spec, 'names', ())
  with pytest.raises(ValueError, match="label 'cats' is none of the classes here, which have no"):
    named.sample(2, label='cats')


def test_no_draw_of_noise_is_refused_and_one_has_no_interval(trained):
  medium = trained.parts.spec.medium
  examples = ['the cat', 'a'] if medium == 'text' else some(trained)
  for samples in (0, -1):
    with pytest.raises(ValueError, match=f'samples={samples}'):
      trained.score(examples, samples=samples)
  if medium == 'image':
    assert np.isnan(trained.score(examples, samples=1).ci95).all()
  if medium != 'text':
    with pytest.raises(ValueError, match='num=0'):
      trained.fill(examples[0], np.ones(np.shape(examples[0]), bool), num=0)


def test_the_five_lines_of_the_readme_run(trained, monkeypatch, tmp_path):
  if trained.parts.source.facts.levels != 17:
    pytest.skip('they are about digits')
  readme = pathlib.Path(adiff.__file__).parents[1] / 'README.md'
  code, = re.findall(r'```python\n(.*?)```', readme.read_text(), re.DOTALL)
  (tmp_path / 'runs').mkdir()
  (tmp_path / 'runs' / 'digits').symlink_to(trained.workdir)
  monkeypatch.chdir(tmp_path)
  names = {}
  exec(code, names)
  assert len(names['images']) == 16


def test_training_is_interrupted_in_a_cell_and_the_same_call_goes_on(tmp_path, monkeypatch, capsys):
  config = small(digits.get_config())
  with config.unlocked():
    config.train.steps, config.train.eval_every = 4, 2
  shown = []

  def stop(step, name, picture):
    shown.append((step, name, picture.dtype))
    signal.raise_signal(signal.SIGINT)

  with monkeypatch.context() as patch:
    patch.setattr(handle, '_show', stop)
    half = adiff.train(config, tmp_path / 'run', progress=False)
  assert half.step == 3 and shown == [(2, 'samples', np.uint8)]
  assert 'stopped at step 3 of 4; the same call goes on' in capsys.readouterr().out
  assert adiff.train(config, tmp_path / 'run', progress=False).step == 4
