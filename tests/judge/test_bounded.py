"""Judges at the size of real sets: memory and work are bounded, and said."""

import contextlib
import ctypes
import gc
import os
import pathlib
import threading
import tracemalloc

import judged
import numpy as np
import pytest
from sklearn import model_selection, neural_network

from adiff.judge import base, quality, reference, section, text
from adiff.judge.metrics import baselines, classifier, coverage, memorisation, two_sample
from adiff.run import choose

MIB = 2**20


def peak(act):
  """MiB that are allocated at most while act runs, above those before it."""
  tracemalloc.start()
  try:
    act()
    return tracemalloc.get_traced_memory()[1] / MIB
  finally:
    tracemalloc.stop()


@pytest.mark.parametrize('name', choose.names('judge'))
def test_every_judge_states_its_cost_on_the_page(name):
  judge = choose.find('judge', name)()
  assert judge.cost != base.Judge.cost and len(judge.cost.split()) > 3
  own = judged.sampled(np.zeros((4, 6), int))
  words = [part.words for part in base.cost([own], own, judge).parts
           if isinstance(part, section.Text)]
  assert words == [f'Judging: {judge.cost}']


def test_neighbours_in_features_hold_a_chunk_of_distances_and_no_more():
  points = np.random.default_rng(0).random((5000, 4))  # all distances: 191 MiB
  assert peak(lambda: coverage.radii(points)) < 100
  assert peak(lambda: coverage._balls(points, points, np.ones(5000))) < 100


def test_nearest_images_are_found_without_the_training_set_in_floats():
  train = np.frombuffer(np.random.default_rng(0).bytes(60_000 * 784), np.uint8).reshape(-1, 28, 28)
  assert peak(lambda: memorisation.nearest(train[:5], train)) < 150  # in floats: 359 MiB


def test_features_are_made_in_chunks():
  images = np.zeros((6000, 32, 32, 3), np.uint8)
  labels = np.arange(20) % 10
  fitted = classifier.fit(images[:20], labels, images[:20], labels, levels=256)
  few = fitted.features(images[:7])
  assert peak(lambda: fitted.features(images)) < 100  # in floats: 141 MiB, twice
  np.testing.assert_allclose(fitted.features(images)[-7:], few)


def test_generators_for_comparison_are_fitted_on_a_projection(monkeypatch):
  monkeypatch.setattr(baselines, 'MOST', 200)
  rng = np.random.default_rng(0)
  faces = rng.integers(0, 256, (2, 32, 32, 3))
  labels = np.repeat([0, 1], 300)  # sorted
  train = np.clip(faces[labels] + rng.normal(0, 10, (600, 32, 32, 3)), 0, 255).astype(np.uint8)
  made = baselines.gaussian_mixture(train, 40, components=4, levels=256)
  assert made.shape == (40, 32, 32, 3) and made.dtype == np.uint8
  apart = [np.abs(made - face).mean((1, 2, 3)) for face in faces]
  assert np.minimum(*apart).max() < 15 and 5 < np.argmin(apart, 0).sum() < 35  # both, seldom mixed
  made, names = baselines.class_gaussians(train, labels, 10, levels=256)
  assert names.tolist() == [0] * 10 + [1] * 10
  assert np.abs(made[:10] - faces[0]).mean() < 15 and np.abs(made[10:] - faces[1]).mean() < 15
  assert '64 principal components of 200 images' in baselines.words(600, 3072)
  assert baselines.words(150, 64) == 'the training split'


@contextlib.contextmanager
def resident():
  """A list whose last number is, in the end, the MiB that were resident at most, above those at
  first. (To trace allocations would take as long as to judge.)"""
  page, done, seen = os.sysconf('SC_PAGE_SIZE'), threading.Event(), [0.0]

  def now():
    return int(pathlib.Path('/proc/self/statm').read_text().split()[1]) * page / MIB

  def watch():
    while not done.wait(0.003):
      seen.append(max(seen[-1], now() - before))

  gc.collect()
  ctypes.CDLL(None).malloc_trim(0)  # what earlier tests freed is no room for this one
  before, watcher = now(), threading.Thread(target=watch)
  watcher.start()
  try:
    yield seen
  finally:
    done.set()
    watcher.join()


@pytest.mark.skipif(not os.path.exists('/proc/self/statm'), reason='asks Linux for its memory')
@pytest.mark.parametrize(('num', 'shape'), [
  (60_000, (28, 28, 1)), pytest.param(50_000, (32, 32, 3), marks=pytest.mark.soak),
])
def test_images_of_the_number_and_shape_of_real_sets_are_judged_in_two_gib(
  num, shape, monkeypatch
):
  # What takes time is cut down, what takes memory is not; the soak measures both on real sets.
  for module, key, value in (
    (classifier, 'SEEN', 20_000), (reference, 'BALLS', 300),
    (two_sample, 'forest_accuracy', lambda *_: 0.5),
    # see above
    (memorisation, 'typical_gap', lambda *_: 1.0), (memorisation, 'nn_ratio', lambda *_: 0.0),
  ):
    monkeypatch.setattr(module, key, value)
  sizes, width = {'train': num, 'test': 1000}, int(np.prod(shape))
  train = np.frombuffer(np.random.default_rng(1).bytes(num * width), np.uint8).reshape(num, *shape)
  pixels, labels = {'train': train, 'test': train[:1000] ^ 1}, np.arange(num) % 10

  def examples(split, indices):
    return {'example': pixels[split][indices], 'label': labels[indices]}

  own = judged.subject(
    judged.sampled(train[:60], labels[:60]), num_classes=10, levels=256, size=sizes.get,
    examples=examples,
  )
  measured = quality.Quality(own, [own.sample()]).sections()
  with resident() as seen:
    found = next(measured)
  assert 10 < seen[-1] < 2048
  group, _ = judged.table([found], 'Quality').groups
  assert len(group.rows) == 1
  words, = [part.words for part in found.parts if isinstance(part, section.Text)]
  assert f'20,000 of {num:,} images' in words and '300 images of a set' in words


def test_the_number_of_steps_of_the_classifier_is_bounded(monkeypatch):
  monkeypatch.setattr(classifier, 'SEEN', 200)
  monkeypatch.setattr(classifier, 'IMAGES', 50)
  made, learn = [], neural_network.MLPClassifier
  monkeypatch.setattr(neural_network, 'MLPClassifier', lambda *arguments, **how: (
    made.append(learn(*arguments, **how)) or made[-1]))
  rng = np.random.default_rng(0)
  images, labels = rng.integers(0, 17, (500, 4, 4, 1)), np.repeat(np.arange(10), 50)
  fitted = classifier.fit(images, labels, images, labels)
  assert made[0].n_iter_ == 4 and len(fitted.classes) == 10
  assert 'fitted to 50 of 500 images in 4 epochs at most' in fitted.name


def test_the_forest_sees_few_examples(monkeypatch):
  seen = []
  monkeypatch.setattr(
    model_selection, 'cross_val_score', lambda forest, x, *_, **__: seen.append(x) or np.zeros(5)
  )
  two_sample.forest_accuracy(np.zeros((3000, 2)), np.ones((2000, 2)))
  assert seen[0].sum(1).tolist() == [0] * two_sample.MOST + [2] * two_sample.MOST


def test_a_corpus_is_read_to_a_limit(monkeypatch):
  monkeypatch.setattr(text, 'CHARACTERS', 10_000)
  monkeypatch.setattr(text, 'TOGETHER', 4)
  read = []

  class Documents(list):
    def __getitem__(self, index):
      read.append(len(super().__getitem__(index)))
      return super().__getitem__(index)

  pieces = list(text.passages(Documents(['word ' * 100] * 10_000)))
  assert sum(map(len, pieces)) == 10_000 and sum(read) < 30
