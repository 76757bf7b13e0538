"""Sets of tokens, and studies, that several tests read."""

import os
import textwrap

import encoding
import pytest

from adiff.judge import base, section
from adiff.machine import cost
from adiff.run import encode, growing, report, study, train
from adiff.run import workdir as workdir_lib

TABLE = '''\
  from configs.studies import axis, study
  STUDIES = {
    'mine': study(
      'two rows', flops=FLOPS, seeds=2, settings=('optim.warmup=0', 'eval.num=64'),
      rows={
        'a': ('FIRST',),
        'b, shallow': ('configs/toy.py:block-masked', 'model.depth=1'),
      }, TUNED
    ),
    'broken': BROKEN,
  }
'''


@pytest.fixture(scope='session')
def encoders(tmp_path_factory):
  """A function: kind -> (workdir, its parts)."""
  return encoding.encoders(tmp_path_factory.mktemp('encode'))


@pytest.fixture(scope='session')
def sets(encoders, tmp_path_factory):
  """A function: kind -> the folder that one host has made of it, undisturbed."""
  top, made = tmp_path_factory.mktemp('sets'), {}

  def of(kind):
    if kind not in made:
      made[kind] = top / kind
      encode.encode(encoders(kind)[0], made[kind])
    return made[kind]

  return of


@pytest.fixture(scope='session')
def whole_set(encoders, tmp_path_factory):
  """Copies of digits, in several shards, as one host has made them."""
  out = tmp_path_factory.mktemp('whole') / 'set'
  encode.encode(encoders('digits')[0], out, **encoding.SMALL)
  return out


@pytest.fixture
def mine(tmp_path, monkeypatch):
  """(flops, tuned, broken, a) -> a current folder with studies of its own."""
  monkeypatch.chdir(tmp_path)
  os.makedirs('configs')

  def write(flops='1e10', tuned='', broken='None', a='configs/toy.py:block-masked'):
    text = TABLE.replace('FLOPS', flops).replace('TUNED', tuned).replace('BROKEN', broken)
    text = text.replace('FIRST', a)
    text = text if broken != 'None' else text.replace("    'broken': None,\n", '')
    (tmp_path / 'configs' / 'studies.py').write_text(textwrap.dedent(text))
    return str(tmp_path / 'out')

  return write


@pytest.fixture
def trained(monkeypatch):
  """Trainings end at once, with a Fréchet distance that follows from the config; `codes`: what the
  next ones return instead."""
  seen, codes = [], []

  def ended(config, workdir):
    os.makedirs(os.path.join(workdir, 'checkpoints'), exist_ok=True)
    seen.append(config)
    code = codes.pop(0) if codes else 0
    if isinstance(code, Exception):
      raise code
    if code:
      return code
    workdir_lib.write(workdir, config, {})
    write(workdir, config.model.get('depth', 0) + 0.1 * config.seed, config)
    return 0

  def write(folder, frechet, config, complete=True, **failed):
    os.makedirs(folder, exist_ok=True)
    group = section.Group('This model', tuple(
      {'name': 'this model', 'num': 64, 'steps': steps, 'nfe': 3.0 * steps, 'seconds': 6.4,
       'gflop': 0.1 * steps, 'frechet': frechet + 8 / steps} for steps in (4, 8)
    ))
    sections = [section.Section('Quality', (
      section.Table('Generator', (*base.COST, section.Column('frechet', 'F')), (group,)),
      section.Facts((section.Fact('flops', 'FLOP', 1e10),), shown=False),
    ))]
    told = {'title': 't', 'step': config.train.steps, 'numbers': section.numbers(sections),
            'complete': complete, 'failed': failed}
    report.write(folder, growing.REPORT, growing.DATA, told, sections)

  monkeypatch.setattr(train, 'train', ended)
  monkeypatch.setattr(study, '_latency', lambda workdir: 0.5)
  monkeypatch.setattr(study.kept, 'parts', lambda workdir, config: None)
  monkeypatch.setattr(cost, 'params', lambda parts: {})
  monkeypatch.setattr(study, '_flops', lambda asked, row, *_: 1e9 if row.settings else 2e9)
  ended.seen, ended.codes, ended.write = seen, codes, write
  return ended


@pytest.fixture
def undrawn(monkeypatch):
  """Pages without their tables and charts, which take a second each."""
  monkeypatch.setattr(study.studied, 'sections', lambda metric, found, names: [])
