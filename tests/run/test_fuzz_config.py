"""Whatever stands at whatever key of whatever config: it builds, or it is refused in a sentence."""

import collections
import contextlib
import dataclasses
import functools
import importlib
import math
import random
import re
import resource
import signal
import time

import ml_collections
import numpy as np
import pytest
import test_configs
import tiny_data

from adiff.machine import mistakes
from adiff.run import build, overrides
from configs import base

GIB = 2**30
SECONDS = 20  # for a build, until it is called a hang
PIECES = 24  # of the soak, each with a seed of its own
PIECE, FEW = 1000, 100  # builds of a piece, and of the suite

WRONG = (
  None, True, False, 'text', '', 'nan', '-1', 'a\0b', '\ud800', '~nobody/x', '../' * 50, 'x' * 5000,
  b'bytes', math.nan, math.inf, -math.inf, 0, -1, -3, 1, 2, 3, 7, -0.5, 0.5, 1.5, 1e-30, 1e30,
  -1e30, 1e300, 5e-324, 10**6, 10**9, 2**31 - 1, 2**31, 2**32, 2**63, 10**30, -(10**30), 10**400,
  10**5000, (), [], {}, (0,), (-1,), (2,), (0.5,), (1, 2), (2, 1), (0.9, 0.1), (math.nan,),
  (1, math.nan), ('',), ('x@1',), (None,), ((1,),), [[]], {'a': 1}, {'name': 'x'}, {'name': None},
  set(), object(), len, 1j, np.float32(1), np.int64(2), np.nan * np.ones(2), np.zeros((2, 2)),
  (2**31,) * 3, (10**6, 10**6, 10**6), (1,) * 1000, tuple(range(1, 60)), (1, 'a', None),
)
OF_OLD = (  # what is nearly right
  lambda old: -old, lambda old: abs(old) * 10**9, lambda old: [old], lambda old: (old,), str,
  lambda old: {'x': old}, float, lambda old: old + 0.5, lambda old: old * 3, lambda old: int(old),
  lambda old: (*old, *old), lambda old: old[:-1], lambda old: list(old), lambda old: old[::-1],
  lambda old: old.upper(), lambda old: old + '\n', lambda old: old / 0.1, lambda old: old + 1,
)
SOLVERS = (
  'entropy_bound(bound=nan)', 'entropy_bound(bound=NaN)', 'entropy_bound(bound=Infinity)',
  'entropy_bound(bound=-1)', 'threshold(threshold=1e999)', 'threshold(threshold=None)',
  'threshold(threshold=true)', 'threshold(name=heun)', 'threshold(threshold=[1])', 'threshold()',
  'threshold(edit=2)', 'threshold(edit=)', 'threshold(=1)', 'scheduled(choose=1)', '()', '', '(',
  'threshold(threshold=0.5', 'budget', 'budget(1)', 'heun(calls=7)', 'scheduled(choose={})',
  f'entropy_bound(bound={"9" * 5000})', f'entropy_bound(bound={"[" * 100_000})', 'first_hitting',
  'unmasking', 'base', '__init__', 'self_condition', 'entropy_bound(bound=0.1,bound=nan)',
)
SAMPLERS = (*SOLVERS, 'threshold@0', 'threshold@99999999999', f'threshold@{"9" * 5000}', '@', '@2')


def keys(tree, prefix=''):
  """Dotted keys of all that stands in a config, sections too."""
  for key, value in tree.items():
    yield prefix + key
    if isinstance(value, dict):
      yield from keys(value, f'{prefix}{key}.')


def put(tree, key, change):
  """Replaces what stands at a dotted key; what another change has removed is left alone."""
  *sections, name = key.split('.')
  for section in sections:
    tree = tree.get(section) if isinstance(tree, dict) else None
  if isinstance(tree, dict):
    tree[name] = change(tree.get(name))


def copied(tree):
  return {key: copied(value) if isinstance(value, dict) else value for key, value in tree.items()}


def lapse(tree):
  """The leaves of a tree that is no section."""
  for value in tree.values() if isinstance(tree, dict) else tree:
    if isinstance(value, dict | tuple):
      yield from lapse(value)
    else:
      yield value


@dataclasses.dataclass
class Change:
  """What a case does to a config; in words, and to its tree."""

  words: list
  sources: bool = False  # does it touch data or codec?

  def key(self, rng, tree):
    """A value at a key."""
    key = rng.choice(sorted(keys(tree)))
    self._put(rng, tree, key)

  def choice(self, rng, tree):
    """Another choice, one of its arguments changed."""
    kind = rng.choice(sorted(base.CHOICES))
    name = rng.choice(sorted(base.CHOICES[kind]))
    put(tree, kind, lambda _: {'name': name, **base.CHOICES[kind][name]})
    self.words.append(f'{kind}.name={name}')
    self.sources |= kind in ('data', 'codec')
    if base.CHOICES[kind][name]:
      self._put(rng, tree, f'{kind}.{rng.choice(sorted(base.CHOICES[kind][name]))}')

  def missing(self, rng, tree):
    """A key that is not there, or one that nobody knows."""
    key = rng.choice(sorted(keys(tree)))
    if rng.random() < 0.5:
      put(tree, f'{key.rpartition(".")[0]}.stesp'.lstrip('.'), lambda _: 1)
    else:
      *sections, name = key.split('.')
      for section in sections:
        tree = tree[section]
      tree.pop(name)
    self.words.append(f'without, or beside, {key}')
    self.sources |= key.split('.')[0] in ('data', 'codec')

  def solver(self, rng, tree):
    """A solver as the command line names it, or a sampler of the report."""
    if rng.random() < 0.5:
      text = rng.choice(SAMPLERS)
      put(tree, 'eval.samplers', lambda _: (text,))
    else:
      text = rng.choice(SOLVERS)
      put(tree, 'solver', lambda _: text)
    self.words.append(text[:40])

  def _put(self, rng, tree, key):
    number = rng.randrange(len(WRONG) + len(OF_OLD))
    wrong = WRONG[number] if number < len(WRONG) else math.nan
    if number >= len(WRONG):
      with contextlib.suppress(TypeError, ValueError, AttributeError, OverflowError, KeyError):
        old = functools.reduce(lambda place, word: place[word], key.split('.'), tree)
        wrong = OF_OLD[number - len(WRONG)](old)
    put(tree, key, lambda _: wrong)
    huge = isinstance(wrong, int) and abs(wrong) > 10**400
    self.words.append(f'{key}={"huge" if huge else repr(wrong)[:40]}')
    self.sources |= key.split('.')[0] in ('data', 'codec')


HOW = (Change.key,) * 14 + (Change.choice,) * 3 + (Change.missing, Change.solver)


@contextlib.contextmanager
def limits():
  """A build that takes too long or too much ends in an error that no sentence tells."""
  old, more = resource.getrlimit(resource.RLIMIT_AS), 6 * GIB
  with open('/proc/self/statm') as file:
    used = int(file.read().split()[0]) * resource.getpagesize()

  def late(*_):
    raise AssertionError(f'no answer after {SECONDS} seconds')

  before = signal.signal(signal.SIGALRM, late)
  resource.setrlimit(resource.RLIMIT_AS, (used + more, old[1]))
  try:
    yield
  finally:
    signal.signal(signal.SIGALRM, before)
    resource.setrlimit(resource.RLIMIT_AS, old)


def resident(which):
  """Bytes of this process: VmRSS now, VmHWM at most since `forget_peak`."""
  with open('/proc/self/status') as file:
    return int(re.search(rf'{which}:\s+(\d+) kB', file.read())[1]) * 1024


def forget_peak():
  with open('/proc/self/clear_refs', 'w') as file:
    file.write('5')


@dataclasses.dataclass
class Fuzz:
  """Builds of changed configs, and what became of them."""

  root: object
  cases: list
  counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  faults: list = dataclasses.field(default_factory=list)
  slowest: tuple = (0, '')
  largest: tuple = (0, '')

  @functools.cached_property
  def bases(self):
    """{case: [tree, its data set once it is built]}."""
    return {}

  def base(self, case):
    """(tree, data set) of a config, built once a data set."""
    if case not in self.bases:
      name, argument = case
      config = importlib.import_module(f'configs.{name}').get_config(argument)
      tiny_data.point(config, self.root)
      self.bases[case] = config.to_dict(), build.build(config).coded
    return self.bases[case]

  def one(self, rng):
    """Changes a config and builds it."""
    case = rng.choice(self.cases)
    tree, coded = self.base(case)
    tree, change = copied(tree), Change([':'.join(case)])
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
      rng.choice(HOW)(change, rng, tree)
    words = ' '.join(change.words)
    forget_peak()
    before, begun = resident('VmRSS'), time.perf_counter()
    self.counts[self._outcome(tree, None if change.sources else coded, words)] += 1
    taken = time.perf_counter() - begun
    self.slowest = max(self.slowest, (round(taken, 2), words))
    self.largest = max(self.largest, (resident('VmHWM') - before, words))

  def _outcome(self, tree, coded, words):
    signal.alarm(SECONDS)
    try:
      if isinstance(tree.get('solver'), str):
        tree['solver'] = overrides.parse_solver(tree['solver'])
      parts = build.build(ml_collections.ConfigDict(tree), coded)
      assert parts.contract
    except Exception as error:
      if isinstance(error, ValueError | OSError) and mistakes.told(error):
        sentence = mistakes.sentence(error)
        if not 20 < len(sentence) < 600:
          self.faults.append(f'{words}: no sentence: {sentence[:200]}')
        return 'refused'
      self.faults.append(f'{words}: {type(error).__name__}: {str(error)[:200]}')
      return 'traceback'
    finally:
      signal.alarm(0)
    for value in lapse(tree):
      sound = value is None or type(value) in (bool, int, str) or (
        isinstance(value, float) and math.isfinite(value)
      )
      if not sound:
        self.faults.append(f'{words}: accepted')
    return 'accepted'

  def run(self, seed, number):
    """Does `number` of them, and says what came of it."""
    rng = random.Random(seed)
    with limits():
      for _ in range(number):
        self.one(rng)
    print(
      f'seed {seed}: {dict(self.counts)}, slowest {self.slowest}, largest '
      f'{self.largest[0] / GIB:.2f} GiB {self.largest[1]}'
    )
    assert not self.faults, '\n'.join(self.faults)
    assert self.largest[0] < 2 * GIB, self.largest
    assert self.counts['refused'] > number / 2 and self.counts['accepted']


SOME = {  # of every config file one, and of those without a tokenizer all
  case[0]: case for case in reversed(test_configs.CASES)
}
QUICK = [
  case for case in test_configs.CASES
  if case[0] in ('toy', 'digits', 'video', 'imagenet256') or case in SOME.values()
]


def test_a_hundred_wrong_configs_are_built_or_refused_in_a_sentence(few):
  Fuzz(few, QUICK).run(0, FEW)


@pytest.mark.soak
@pytest.mark.parametrize('seed', range(1, PIECES + 1))
def test_a_thousand_wrong_configs_are_built_or_refused_in_a_sentence(seed, few):
  Fuzz(few, test_configs.CASES).run(seed, PIECE)
