"""One file and one row: a copy of the package gains seven choices, and one run uses them all."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import adiff

ROOT = pathlib.Path(adiff.__file__).parents[1]

NEW = {
  'adiff/data/coins.py': '''
    """Tosses of a coin that remembers the last one."""

    import dataclasses

    import numpy as np

    from adiff.codec import base as codec_base
    from adiff.data import base


    @dataclasses.dataclass(frozen=True)
    class Coins(base.Source):
      """Series int [b, 4] of 0 and 1."""

      stay: float = 0.8

      splits = ('train', 'test')
      fingerprint = '0' * 16

      @property
      def facts(self):
        return codec_base.Facts('series', (4,), 2)

      def size(self, split):
        return 64

      def examples(self, split, indices):
        change = np.random.default_rng(0).random((64, 4)) > self.stay
        tosses = np.cumsum(change, 1) % 2
        return {'example': tosses[indices], 'label': np.full(len(indices), -1, np.int32)}
  ''',
  'adiff/codec/pairs.py': '''
    """Two values a token."""

    import dataclasses

    import numpy as np

    from adiff.codec import base
    from adiff.sequence import spec


    @dataclasses.dataclass(frozen=True)
    class Pairs(base.Codec):
      """Series int [b, n] <-> symbols int32 [b, n / 2]."""

      shape: tuple[int, ...]
      levels: int
      swapped: bool = True

      @classmethod
      def reads(cls, facts):
        return facts.medium == 'series'

      def spec(self, facts):
        num = self.shape[0] // 2
        return spec.Spec(
          (spec.Symbols(self.levels**2),), num, (num,), np.arange(num)[:, None], facts.conds,
          self.shape[0], facts.medium,
        )

      def encode(self, params, examples, key=None):
        pairs = np.asarray(examples, np.int32).reshape(len(examples), -1, 2)
        return pairs @ np.array([1, self.levels] if self.swapped else [self.levels, 1], np.int32)

      def decode(self, params, tokens):
        first, second = tokens % self.levels, tokens // self.levels
        pairs = (first, second) if self.swapped else (second, first)
        return np.stack(pairs, -1).reshape(len(tokens), -1)
  ''',
  'adiff/process/hidden.py': '''
    """Masks, with another weight of the loss."""

    import dataclasses

    from adiff.process import masked


    @dataclasses.dataclass(frozen=True)
    class Hidden(masked.Masked):
      """Masking whose loss counts `times` as much."""

      times: float = 2.0

      def loss(self, out, x0, xt, t):
        return self.times * super().loss(out, x0, xt, t)
  ''',
  'adiff/sample/solvers/coin.py': '''
    """First order, of masks alone."""

    import dataclasses

    from adiff.sample.solvers import first_order


    @dataclasses.dataclass(frozen=True)
    class Coin(first_order.FirstOrder):
      """Needs masks."""

      fair: bool = True

      def needs(self, parts):
        if not parts.process.absorbing:
          raise ValueError('solver coin needs masks; set process.name=masked')
  ''',
  'adiff/nn/heads/scaled.py': '''
    """A linear head, scaled."""

    import dataclasses

    from adiff.nn.heads import linear


    @dataclasses.dataclass(frozen=True)
    class Scaled(linear.Linear):
      """Outputs times `by`."""

      by: float = 0.5

      def read(self, h, ask):
        return self.by * super().read(h, ask)
  ''',
  'adiff/learn/slow.py': '''
    """Plain descent that says how slow it is."""

    import dataclasses

    import jax.numpy as jnp

    from adiff.learn import plain


    @dataclasses.dataclass(frozen=True, eq=False)
    class Slow(plain.Plain):
      """With a scalar of its own."""

      pace: float = 7.0

      def update(self, state, batch, key):
        state, scalars = super().update(state, batch, key)
        return state, {**scalars, 'pace': jnp.float32(self.pace)}
  ''',
  'adiff/judge/series.py': '''
    """Series: how often a value follows itself."""

    import dataclasses

    import numpy as np

    from adiff.judge import base, bound, section


    @dataclasses.dataclass(frozen=True)
    class Series(base.Judge):
      """Compares samples with the held-out split."""

      media = ('series',)

      def sections(self, subject):
        made = subject.decode(subject.sample().tokens)
        real = subject.examples(subject.split, np.arange(8))['example']
        stays = [float(np.mean(x[:, 1:] == x[:, :-1])) for x in (made, real)]
        fact = section.Fact('stays', 'stays', stays[0], beside={'real': stays[1]})
        return [section.Section('Series', (section.Facts((fact,)),)), bound.of(subject)]
  ''',
}
ROWS = {
  'data': 'coins=dict(stay=0.8)', 'codec': 'pairs=dict(swapped=True)', 'judge': 'series=dict()',
  'process': 'hidden=dict(times=2.0)', 'solver': 'coin=dict(fair=True)',
  'head': 'scaled=dict(by=0.5)', 'recipe': 'slow=dict(pace=7.0)',
}
CHOSEN = (
  'data=coins', 'codec=pairs', 'process=hidden', 'solver=coin', 'head=scaled', 'recipe=slow',
)
SMALL = (
  '--config.model.width=16 --config.model.depth=1 --config.model.heads=2 --config.optim.warmup=0 '
  '--config.train.steps=4 --config.train.batch_size=8 --config.train.log_every=2 '
  '--config.train.eval_every=0 --config.train.checkpoint_every=4 --config.eval.num=16 '
  '--config.eval.batch_size=16 --config.eval.samples=1 --config.plan.steps=2 '
  '--config.blocks.size=1'
).split()


@pytest.fixture(scope='module')
def copy(tmp_path_factory):
  """The package and its configs, with the new files and their rows."""
  root = tmp_path_factory.mktemp('copy')
  for folder in ('adiff', 'configs'):
    shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns('__pycache__'))
  for path, text in NEW.items():
    (root / path).write_text(textwrap.dedent(text).strip() + '\n')
  base = root / 'configs' / 'choices.py'
  text = base.read_text()
  for kind, row in ROWS.items():
    assert text.count(f'  {kind}=dict(') == 1
    text = text.replace(f'  {kind}=dict(', f'  {kind}=dict({row}, ')
  base.write_text(text)
  return root


def run(copy, *arguments):
  environment = {**os.environ, 'PYTHONPATH': str(copy), 'JAX_PLATFORMS': 'cpu'}
  ended = subprocess.run(
    [sys.executable, '-m', 'adiff.main', *arguments], cwd=copy, env=environment, text=True,
    capture_output=True, check=False,
  )
  assert ended.returncode == 0, ended.stderr[-2000:]
  return ended


def test_one_run_trains_evaluates_and_samples_with_seven_new_choices(copy):
  names = [f'--config.{one.replace("=", ".name=")}' for one in CHOSEN]
  run(copy, '--config=configs/base.py', '--workdir=run', *names, *SMALL)
  config = json.loads((copy / 'run' / 'config.json').read_text())
  assert config['process'] == {'name': 'hidden', 'times': 2.0}
  lines = [json.loads(line) for line in (copy / 'run' / 'metrics.jsonl').read_text().splitlines()]
  assert lines[0]['pace'] == 7.0
  report = json.loads((copy / 'run' / 'eval.json').read_text())
  assert report['sections'][0]['title'] == 'Series' and 0 <= report['numbers']['stays'] <= 1
  run(copy, '--mode=sample', '--workdir=run', '--num=5', '--out=made.npz')
  made = np.load(copy / 'made.npz')['arr_0']
  assert made.shape == (5, 4) and set(np.unique(made)) <= {0, 1}
