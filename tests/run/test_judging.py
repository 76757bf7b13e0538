"""Samples that anybody made: judged as those of a run's own page, or refused in a sentence."""

import json
import types

import judged
import numpy as np
import PIL.Image
import pytest

from adiff.judge import base
from adiff.judge import reference as reference_lib
from adiff.judge.metrics import baselines, classifier, efficientnet, frechet, two_sample
from adiff.nn import efficientnet as network
from adiff.run import build, evaluate, foreign, judging, kept, published, references
from adiff.run import workdir as workdir_lib
from configs import digits

SHARED = ('frechet', 'precision', 'recall', 'density', 'coverage', 'inception_score', 'nn_ratio',
          'accuracy', 'two_sample')
NUM = 60


def row(folder):
  """The numbers of the samples in the table of a page."""
  told = json.loads((folder / 'eval.json').read_text())
  table, = [part for one in told['sections'] if one['title'] == 'Quality'
            for part in one['parts'] if part['part'] == 'table']
  (found,) = table['groups'][0]['rows']
  return found


@pytest.fixture(scope='module', autouse=True)
def quick():
  """What takes time beside the distances is cut down: the same for all pages."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(classifier, 'SEEN', 30_000)
    patch.setattr(two_sample, 'forest_accuracy', lambda real, fake: 0.25 + len(fake) / 1000)
    patch.setattr(baselines, 'gaussian_mixture', lambda train, num, **_: train[:num])
    patch.setattr(baselines, 'class_gaussians', lambda train, labels, num, **_: (
      np.repeat(train[:10], num, 0), np.repeat(labels[:10], num)))
    yield patch


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A run on digits as an evaluation leaves it: its samples are given, all else is measured."""
  config = digits.get_config().unlock()
  config.eval.num, config.eval.steps = NUM, ()
  parts = build.build(config.lock())
  workdir = tmp_path_factory.mktemp('run')
  workdir_lib.claim(workdir, config, parts.contract)
  rng = np.random.default_rng(0)
  real = parts.source.examples('test', np.arange(NUM))
  noise = rng.integers(-2, 3, real['example'].shape)
  images = np.clip(real['example'] + noise, 0, 16).astype(np.uint8)
  made = judged.sampled(images, real['label'], steps=config.plan.steps)
  trace = base.Trace(np.stack([images[:10]] * 2), None, np.zeros(64, int), np.zeros(1), 2)

  def make(*_, attempt, tell, reference, **__):
    return judged.subject(
      made, attempt=attempt, tell=tell, reference=reference, num_classes=10, levels=17,
      size=parts.source.size, examples=parts.source.examples, trace=lambda num: trace,
      data=evaluate.subject_lib.data(parts),
    )

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(evaluate.subject_lib, 'make', make)
    evaluate.evaluate(
      parts, None, str(workdir), step=1, mesh=None, flops_per_step=1.0, progress=False,
      programs=evaluate.Programs(lambda *_, **__: dict(judged.BOUND), None),
    )
  return types.SimpleNamespace(workdir=workdir, images=images, labels=made.labels, parts=parts)


def as_numpy(path, run):
  np.savez(path / 's.npz', run.images, run.labels)


def as_before(path, run):
  np.savez(path / 's.npz', examples=run.images[..., 0], labels=run.labels)


def as_floats(path, run):
  np.savez(path / 's.npz', run.images.astype(np.float32) / 16, run.labels)


def as_pictures(path, run):
  for i, image in enumerate(np.rint(run.images[..., 0] * (255 / 16)).astype(np.uint8)):
    PIL.Image.fromarray(image).convert('RGB' if i % 2 else 'L').save(path / f'{i:03d}.png')


@pytest.mark.parametrize('write, reference', [
  (as_before, 'workdir'), (as_floats, 'workdir'), (as_pictures, 'file'), (as_numpy, 'data'),
  *(pytest.param(one, 'workdir', marks=pytest.mark.soak) for one in (as_numpy, as_pictures)),
])
def test_samples_of_others_get_the_numbers_of_the_runs_own_page(
  write, reference, run, tmp_path, monkeypatch
):
  (tmp_path / 'made').mkdir()
  write(tmp_path / 'made', run)
  samples = tmp_path / 'made' if write is as_pictures else tmp_path / 'made' / 's.npz'
  place = run.workdir / references.FILE if reference == 'file' else run.workdir
  if reference == 'data':
    place = tmp_path / 'copy'
    place.mkdir()
    workdir_lib.claim(place, run.parts.config, run.parts.contract)
  else:  # what is kept is all that is needed
    monkeypatch.setattr(kept, 'parts', None)
  assert judging.judge(samples, place, tmp_path / 'out') == 0
  ours, own = (
    {name: row(folder)[name] for name in SHARED} for folder in (tmp_path / 'out', run.workdir)
  )
  if write is as_pictures:
    own['accuracy'] = None  # a folder says no labels
  assert own['frechet'] > 0.1 and 0 < own['precision'] < 1
  assert ours == pytest.approx(own, abs=1e-6)
  told = json.loads((tmp_path / 'out' / 'eval.json').read_text())
  titles = [one['title'] for one in told['sections']]
  assert titles == ['Samples', 'Nearest neighbours', 'Quality', 'Reproduce']
  assert f'--reference={place}' in told['command'] and told['data'].startswith('digits ')
  digest = references.read(run.workdir / references.FILE).eyes.digest
  assert digest in (tmp_path / 'out' / 'report.html').read_text()
  assert (tmp_path / 'out' / references.FILE).exists() == (reference == 'data')


def test_statistics_are_read_as_they_were_written(run, tmp_path):
  found = references.read(run.workdir / references.FILE)
  references.write(tmp_path / 'r.npz', found)
  again = references.read(tmp_path / 'r.npz')
  (facts, arrays), (facts_again, arrays_again) = found.as_arrays(), again.as_arrays()
  assert json.dumps(facts, sort_keys=True) == json.dumps(facts_again, sort_keys=True)
  assert facts['of'] == references.source_of(run.parts) and arrays.keys() == arrays_again.keys()
  for name, array in arrays.items():
    np.testing.assert_array_equal(arrays_again[name], array)
  assert again.scores(run.images, run.labels) == found.scores(run.images, run.labels)


def test_a_second_evaluation_reads_what_the_first_one_measured(run, tmp_path):
  own, other = str(run.workdir / references.FILE), str(tmp_path / references.FILE)
  of = references.source_of(run.parts)
  found = references.remembered((own, other), of, None)
  assert found.pictures is not None and found.of == of
  made = []
  for _ in range(2):  # other data: measured once, and written elsewhere
    references.remembered((own, other), {**of, 'data': 'x'}, lambda: made.append(1) or found)
  assert made == [1] and references.read(other).of['data'] == 'x'
  with open(other, 'wb') as file:
    file.write(b'torn')
  references.remembered((own, other), {**of, 'data': 'x'}, lambda: made.append(2) or found)
  assert made == [1, 2]


def test_large_sets_are_kept_without_their_images(run, tmp_path, monkeypatch):
  found = references.read(run.workdir / references.FILE)
  monkeypatch.setattr(reference_lib, 'KEPT', 1000)
  references.write(tmp_path / 'r.npz', found)
  np.savez(tmp_path / 's.npz', run.images, run.labels)
  judging.judge(tmp_path / 's.npz', tmp_path / 'r.npz', tmp_path / 'out')
  ours, own = row(tmp_path / 'out'), row(run.workdir)
  assert ours['nn_ratio'] is None and ours['two_sample'] is None
  for name in ('frechet', 'precision', 'recall', 'accuracy'):
    assert ours[name] == pytest.approx(own[name], abs=1e-6)
  assert 'The real images are not among the statistics' in (
    tmp_path / 'out' / 'report.html').read_text()


def test_pictures_without_labels_are_compared_in_components_of_pixels(tmp_path, monkeypatch):
  rng = np.random.default_rng(0)
  (tmp_path / 'real').mkdir()
  for index in range(60):
    picture = rng.integers(0, 255, (6, 6, 3), np.uint8)
    PIL.Image.fromarray(picture).save(tmp_path / 'real' / f'{index}.png')
  np.savez(tmp_path / 's.npz', rng.integers(0, 255, (20, 6, 6, 3), np.uint8))
  judging.judge(tmp_path / 's.npz', tmp_path / 'real', tmp_path / 'out')
  found = row(tmp_path / 'out')
  assert found['frechet'] > 0 and found['accuracy'] is found['inception_score'] is None
  assert '54 principal components of 54 images' in (tmp_path / 'out' / 'report.html').read_text()
  monkeypatch.setattr(reference_lib.Reference, 'make', None)  # it is read from here on
  judging.judge(tmp_path / 's.npz', tmp_path / 'real', tmp_path / 'out')
  judging.judge(tmp_path / 's.npz', tmp_path / 'out' / references.FILE, tmp_path / 'again')
  assert row(tmp_path / 'again') == found


def test_an_npz_of_examples_is_a_reference_of_which_a_tenth_is_held_out(run, tmp_path):
  found = run.parts.source.examples('train', slice(0, 200))
  np.savez(tmp_path / 'real.npz', found['example'], found['label'])
  np.savez(tmp_path / 's.npz', run.images, run.labels)
  judging.judge(tmp_path / 's.npz', tmp_path / 'real.npz', tmp_path / 'out')
  kept = references.read(tmp_path / 'out' / references.FILE)
  assert (kept.num_train, kept.num_test, kept.levels) == (180, 20, 256)
  assert 'perceptron' in kept.eyes.name and row(tmp_path / 'out')['accuracy'] is not None


def test_the_features_may_be_those_of_a_network_that_others_trained(run, tmp_path, monkeypatch):
  weights = {name: np.zeros(shape, np.float32) for name, shape in network.shapes().items()}
  monkeypatch.setattr(published, 'efficientnet_weights', lambda: weights)
  monkeypatch.setattr(efficientnet, '_run', lambda _, shown: np.float32(shown).mean((2, 3)))
  np.savez(tmp_path / 's.npz', run.images, run.labels)
  judging.judge(tmp_path / 's.npz', run.workdir, tmp_path / 'out', features='efficientnet')
  real = run.parts.source.examples('train', slice(None))['example']
  seen = lambda images: np.rint(images * (255 / 16)).mean((2, 3))
  found, page = row(tmp_path / 'out'), (tmp_path / 'out' / 'report.html').read_text()
  assert found['frechet'] == pytest.approx(frechet.frechet(seen(run.images), seen(real)), rel=1e-5)
  kept = tmp_path / 'out' / references.FILE
  assert f'EfficientNet-Lite0 of ImageNet (digest {references.read(kept).eyes.digest})' in page
  monkeypatch.setattr(reference_lib.Reference, 'make', None)  # it is read from here on
  judging.judge(tmp_path / 's.npz', kept, tmp_path / 'again')
  assert row(tmp_path / 'again')['frechet'] == pytest.approx(found['frechet'], rel=1e-6)
  for place, which, words in ((kept, 'x', 'features already'), (run.workdir, 'x', 'x ends')):
    with pytest.raises(ValueError, match=f'--features=x: .*{words}'):
      judging.judge(tmp_path / 's.npz', place, tmp_path / 'other', features=which)


@pytest.mark.parametrize('samples', ['features', 'moments'])
@pytest.mark.parametrize('reference', ['features', 'moments', 'kept'])
def test_features_that_others_made_have_a_frechet_distance_alone(
  samples, reference, run, tmp_path
):
  rng = np.random.default_rng(1)
  ours, theirs = rng.normal(size=(50, 64)), rng.normal(1, 2, (80, 64))
  for name, features in (('ours', ours), ('theirs', theirs)):
    np.savez(tmp_path / f'{name}_features.npz', features)
    mean, cov = frechet.moments(features)
    np.savez(tmp_path / f'{name}_moments.npz', mu=mean, sigma=cov)
  place = tmp_path / f'theirs_{reference}.npz'
  wanted = frechet.frechet(ours, theirs)
  if reference == 'kept':
    place = run.workdir / references.FILE
    kept = references.read(place)
    wanted = frechet.gaussian_frechet(*frechet.moments(ours), kept.mean, kept.cov)
  judging.judge(tmp_path / f'ours_{samples}.npz', place, tmp_path / 'out')
  told = json.loads((tmp_path / 'out' / 'eval.json').read_text())
  assert told['numbers'] == {'frechet': pytest.approx(wanted, rel=1e-9)}
  assert 'the Fréchet distance is all' in (tmp_path / 'out' / 'report.html').read_text()


# ---- Mistakes ------------------------------------------------------------------------------------


def mixed(place):
  for index in range(8):
    PIL.Image.new('L', (8, 8 + index // 7)).save(place / f'{index}.png')


def few(place):
  PIL.Image.new('L', (8, 8)).save(place / '0.png')


def colours(place):
  for index in range(8):
    PIL.Image.new('RGB', (8, 8), (9 * index, 1, 2)).save(place / f'{index}.png')


def old_features(path):
  """Statistics of features that nobody here makes."""
  with np.load(path) as stored:
    arrays = dict(stored)
  about = json.loads(str(arrays['about']))
  about['features']['kind'] = 'vgg'
  np.savez(path, **{**arrays, 'about': np.array(json.dumps(about))})


def foreign_weights(path):
  with np.load(path) as stored:
    arrays = dict(stored)
  np.savez(path, **{**arrays, 'features.weights_0': arrays['features.weights_0'] + 1})


GOOD = np.ones((8, 8, 8, 1), np.uint8)
# name: (samples: arrays, or what fills a folder; what becomes of the reference; words)
MISTAKES = {
  'another shape': (
    {'arr_0': np.ones((8, 9, 9, 1), np.uint8)}, None, r'\[9, 9, 1\].*\[8, 8, 1\]'),
  'channels first': ({'arr_0': np.ones((8, 3, 8, 8), np.uint8)}, None, r'\[n, H, W, C\]'),
  'whole numbers out of range': ({'arr_0': GOOD * 17}, None, 'from 17 to 17 .* 0..16'),
  'floats out of range': ({'arr_0': GOOD * 1.5}, None, r'floats from 1.5 to 1.5; .*\[0, 1\]'),
  'no numbers': ({'arr_0': GOOD * np.nan}, None, 'floats from nan to nan'),
  'texts': ({'arr_0': np.array(['a'] * 8)}, None, 'arr_0 .* of <U1; write pictures'),
  'none': ({'arr_0': GOOD[:0]}, None, 'write pictures'),
  'another name': ({'x': GOOD}, None, 'neither arr_0 nor examples.*but x'),
  'too few': ({'arr_0': GOOD[:5]}, None, 'holds 5 samples; give 6'),
  'labels of others': (
    {'arr_0': GOOD, 'arr_1': np.zeros(7, int)}, None, r'labels \[7\].* 8 samples'),
  'a label that is no class': (
    {'arr_0': GOOD, 'arr_1': np.full(8, 10)}, None, 'label 10.* up to 9'),
  'an empty folder': (lambda place: None, None, 'holds no picture'),
  'mixed sizes': (mixed, None, r'mixes sizes: 0.png has \[8, 8\].* 7.png \[9, 8\]'),
  'one picture': (few, None, 'holds 1 samples'),
  'colours for grey': (colours, None, r'\[8, 8, 3\].*\[8, 8, 1\]'),
  'features for pictures': ({'arr_0': np.ones((8, 64))}, None, 'reference.npz'),
  'moments of another width': (
    {'mu': np.zeros(3), 'sigma': np.eye(3)}, None, 'of 3 features and .* of 64; take both'),
  'moments that are none': ({'mu': np.zeros(3), 'sigma': np.eye(2)}, None, r'sigma \[2, 2\]'),
  'statistics of other features': ({'arr_0': GOOD}, old_features, "features are 'vgg'"),
  'features that are not those': ({'arr_0': GOOD}, foreign_weights, 'features are .* measured'),
  'moments for pictures': ({'arr_0': GOOD}, lambda path: np.savez(
    path, mu=np.zeros(2048), sigma=np.eye(2048)), 'network that is not here'),
  'a reference that is torn': ({'arr_0': GOOD}, lambda path: path.write_bytes(b'x'), 'no .npz'),
  'no reference': ({'arr_0': GOOD}, lambda path: path.unlink(), 'there is no reference'),
}


@pytest.mark.parametrize('name', MISTAKES)
def test_what_cannot_be_judged_is_refused_in_a_sentence(name, run, tmp_path):
  samples, spoil, words = MISTAKES[name]
  reference = tmp_path / references.FILE
  reference.write_bytes((run.workdir / references.FILE).read_bytes())
  place = tmp_path / 's.npz'
  if callable(samples):
    place = tmp_path / 's'
    place.mkdir()
    samples(place)
  else:
    np.savez(place, **samples)
  if spoil:
    spoil(reference)
  if name == 'features for pictures':
    words, reference = 'features or statistics of them, and .* none', run.workdir
  with pytest.raises(ValueError, match=words) as refused:
    judging.judge(place, reference, tmp_path / 'out')
  assert '\n' not in str(refused.value) and not (tmp_path / 'out' / 'eval.json').exists()


@pytest.mark.parametrize('samples, reference, out, split, words', [
  (None, 'run', 'out', None, '--samples is missing'),
  ('s.npz', None, 'out', None, '--reference is missing'),
  ('none.npz', 'run', 'out', None, 'there is no .*none.npz; name an .npz'),
  ('s.npz', 'run', 'run', None, 'is a run of its own'),
  ('s.npz', 'run', 'run/eval', None, 'belongs to'),
  ('s.npz', 'run', '.', None, 'would be lost'),
  ('s.npz', 'run', 'out', 'validation', "no split 'validation'; choose one of train, test"),
  ('s.npz', 'run/reference.npz', 'out', 'test', '--split=test: .* leave it away'),
])
def test_flags_that_cannot_be_are_refused(samples, reference, out, split, words, run, tmp_path):
  np.savez(tmp_path / 's.npz', GOOD)
  (tmp_path / 'run').symlink_to(run.workdir)
  place = lambda name: name and str(tmp_path / name)
  before = sorted(run.workdir.iterdir())
  with pytest.raises(ValueError, match=words):
    judging.judge(place(samples), place(reference), place(out), split=split)
  assert sorted(run.workdir.iterdir()) == before


def test_grey_pictures_are_the_same_in_colours():
  grey = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1)
  colour = foreign.Made('x', grey).as_data(256, (8, 8, 3))
  np.testing.assert_array_equal(colour, np.repeat(grey, 3, 3))
  np.testing.assert_array_equal(foreign.Made('x', colour).as_data(256, (8, 8, 1)), grey)
