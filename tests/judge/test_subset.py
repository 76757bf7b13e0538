"""Whoever looks at N examples of a split looks at a subset that is spread over it."""

import ast
import itertools
import pathlib
import types

import judged
import numpy as np
import pytest
import tiny

import adiff
from adiff.data import batches, digits
from adiff.judge import base, image, reference, subset, text
from adiff.judge.metrics import two_sample
from adiff.run import choose, loss_profile
from adiff.run import subject as subject_lib

ROOT = pathlib.Path(adiff.__file__).parents[1]
SIZE, CLASSES = 1000, 10
LABELS = np.repeat(np.arange(CLASSES), SIZE // CLASSES)  # a sorted split


def classes(indices):
  return set(LABELS[indices])


@pytest.mark.parametrize('num', [10, 20, 64, 333, 999])
def test_a_few_of_a_sorted_split_are_of_all_classes(num):
  chosen = subset.spread(SIZE, num)
  assert len(chosen) == len(set(chosen)) == num and chosen.max() < SIZE
  assert (np.diff(chosen) > 0).all() and classes(chosen) == set(range(CLASSES))
  shares = np.bincount(LABELS[chosen]) / num
  assert np.abs(shares - 1 / CLASSES).max() <= 1 / num


def test_a_periodic_split_is_not_met_in_step():
  assert len(set(subset.spread(SIZE, SIZE // CLASSES) % CLASSES)) == CLASSES


@pytest.mark.parametrize('num', [SIZE, SIZE + 1, 10 * SIZE])
def test_where_as_many_are_asked_for_as_there_are_all_are_taken_in_order(num):
  np.testing.assert_array_equal(subset.spread(SIZE, num), np.arange(SIZE))


def test_the_same_ones_are_taken_at_every_call_and_none_where_none_are_asked_for():
  np.testing.assert_array_equal(subset.spread(SIZE, 50), subset.spread(SIZE, 50))
  assert len(subset.spread(SIZE, 0)) == 0


class Sorted:
  """A sorted split of ten classes, which notes what is looked at."""

  def __init__(self, of_class, noise=1):
    """of_class: [10, ..], what the examples of each class are, below some noise."""
    self._of_class, self._noise, self.asked = np.asarray(of_class), noise, []

  def size(self, split):
    return SIZE

  def examples(self, split, indices):
    self.asked.append(np.asarray(indices))
    labels, rng = LABELS[indices], np.random.default_rng(len(split))
    found = self._of_class[labels]
    noise = rng.integers(0, self._noise, (SIZE, *found.shape[1:]))[indices].astype(found.dtype)
    return {'example': found + noise, 'label': labels}

  def tokens(self, split, indices):
    found = self.examples(split, indices)
    return {'tokens': found.pop('example'), **found}


def looked_at(name, source, monkeypatch):
  """Has a judge look at a sorted split through a subject of its medium."""
  if name == 'text':
    own = judged.letters()
    own = own.__class__(**{**vars(own), 'size': source.size, 'tokens': source.tokens,
                           'bound': {**own.bound, 'num_examples': 40}, 'num': 30})
    return text.Text().sections(own)
  made = np.random.default_rng(0).integers(0, 17, (50, 8, 8, 1)).astype(np.uint8)
  more = dict(size=source.size, examples=source.examples, num_classes=CLASSES)
  if name == 'law':
    more['law_test'] = lambda *_: {'statistic': 1.0, 'dof': 1, 'p_value': 0.5}
  if name == 'image':
    monkeypatch.setattr(reference, 'IMAGES', 80)
    monkeypatch.setattr(two_sample, 'forest_accuracy', lambda *_: 0.5)  # seconds; see below
    trace = base.Trace(np.stack([made[:10]] * 3), None, np.zeros(64, int), np.zeros(1), 2)
    more |= dict(levels=17, trace=lambda num: trace)
  own = judged.subject(judged.sampled(made), **more)
  return choose.find('judge', name)(**{'features': True} if name == 'image' else {}).sections(own)


@pytest.mark.parametrize('name', [
  name for name in choose.names('judge') if choose.find('judge', name).media  # of any data
])
def test_every_judge_sees_all_classes_of_a_sorted_split(name, monkeypatch):
  rng = np.random.default_rng(1)
  of_class = {
    'text': rng.integers(0, 27, (CLASSES, 15)),
    'law': np.zeros((CLASSES, 6)),
    'image': rng.integers(0, 15, (CLASSES, 8, 8, 1)).astype(np.uint8),
  }
  source = Sorted(of_class[name], noise=3 if name == 'image' else 1)
  for one in looked_at(name, source, monkeypatch):
    assert one.parts
  several = [indices for indices in source.asked if len(indices) > 1]
  assert several and all(classes(indices) == set(range(CLASSES)) for indices in several)


def test_latents_that_are_shown_beside_samples_are_of_all_classes():
  source = Sorted(np.zeros((CLASSES, 4, 4, 3)))
  own = judged.subject(
    judged.sampled(np.zeros((40, 4, 4, 3))), size=source.size, examples=source.examples
  )
  assert len(base.latest(image.Image().sections(own))) == 3
  assert len(source.asked) == 1 and classes(source.asked[0]) == set(range(CLASSES))


def test_the_words_of_a_corpus_are_those_of_all_its_parts(monkeypatch):
  monkeypatch.setattr(text, 'CHARACTERS', 40_000)
  documents = [f'word{chr(97 + label)} ' * 10 for label in LABELS]  # 70,000 characters
  found = set(' '.join(text.passages(documents)).split())
  assert found == {f'word{chr(97 + i)}' for i in range(CLASSES)}
  monkeypatch.setattr(text, 'PIECE', 1000)
  book = [''.join(documents)]
  pieces = list(text.passages(book))
  assert set(' '.join(pieces).split()) == found and sum(map(len, pieces)) <= 40_000
  monkeypatch.setattr(text, 'CHARACTERS', 10**6)
  assert sorted(text.passages(documents)) == sorted(documents)
  assert list(text.passages(book)) == book


class Coded:
  """A sorted split of tokens, for batches."""

  spec = types.SimpleNamespace(num_tokens=4, num_floats=4)
  source = types.SimpleNamespace(decodes=False)

  def size(self, split):
    return SIZE

  def examples(self, split, indices):
    return {'tokens': np.repeat(indices[:, None], 4, 1), 'label': LABELS[indices]}


def test_evaluation_on_a_few_examples_sees_all_classes_and_shares_them_out():
  found = list(batches.once(Coded(), 'test', 16, num=20))
  seen = np.concatenate([batch['tokens'][:, 0] for batch in found])
  np.testing.assert_array_equal(seen[:20], subset.spread(SIZE, 20))
  assert (seen[20:] == seen[19]).all() and len(seen) == 32
  halves = [list(batches.once(Coded(), 'test', 16, num=20, rows=slice(i, i + 8))) for i in (0, 8)]
  for whole, *parts in zip(found, *halves, strict=True):
    np.testing.assert_array_equal(
      whole['tokens'], np.concatenate([part['tokens'] for part in parts])
    )


def test_a_perfect_generator_is_not_told_from_sorted_data():
  found = digits.Digits().examples('train', slice(None))
  order = np.random.default_rng(0).permutation(len(found['label']))
  real, made = found['example'][order[:1000]], found['example'][order[1000:1200]]
  real = real[np.argsort(found['label'][order[:1000]])]  # the first 200: zeros and ones
  told = reference.Pictures(None, None, real, None).told_apart(made)
  assert abs(told - 0.5) < 0.08
  told = reference.Pictures(None, None, made, None).told_apart(real)
  assert abs(told - 0.5) < 0.08


def looking():
  """(file, line, words) of what is passed as indices of examples, where it can be read there."""
  folders = ('adiff', 'benchmarks', 'launch')
  for path in itertools.chain.from_iterable((ROOT / one).rglob('*.py') for one in folders):
    for node in ast.walk(ast.parse(path.read_text())):
      called = node.func.attr if isinstance(
        node, ast.Call) and isinstance(node.func, ast.Attribute) else ''
      if called in ('examples', 'tokens', 'measure') and len(node.args) > 1:
        yield path, node.lineno, ' '.join(ast.unparse(arg) for arg in node.args[1:])


def test_nobody_looks_at_the_first_ones():
  found = list(looking())
  assert len(found) > 5
  for path, line, words in found:
    assert not any(word in words for word in ('arange', 'range(', 'linspace', 'slice(')), (
      f'{path.name}:{line} looks at {words}; take subset.spread(size, num)'
    )


def test_the_loss_profile_looks_at_rows_of_all_classes(monkeypatch):
  asked = []
  monkeypatch.setattr(loss_profile, 'has_profile', lambda _: True)
  monkeypatch.setattr(
    loss_profile, 'measure',
    lambda parts, params, mesh, rows, **_: asked.append(rows) or np.ones((len(rows), 2)),
  )
  config = tiny.config('block-masked')
  for examples, num in ((0, subject_lib.ROWS), (20, 20)):
    config.eval.examples = examples
    subject_lib._profile(types.SimpleNamespace(config=config, coded=Coded()), None, None, False)
    assert len(asked[-1]) == num and classes(asked[-1]) == set(range(CLASSES))
