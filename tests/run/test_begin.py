"""What is asked before the first step, and what is on the disk before anything is measured."""

import contextlib
import json
import pathlib
import signal
import types

import jax
import PIL.Image
import pytest

from adiff.machine import checkpoint, cost, logs, manifest, measured, rates, sharding
from adiff.process import masked
from adiff.run import begin, build, evaluate, train, workdir
from adiff.sample.solvers import first_order
from configs import base, digits, toy


def small(config):
  """The config, cut to seconds."""
  with config.unlocked():
    config.model.width, config.model.depth, config.model.heads = 8, 1, 2
    config.train.steps, config.train.batch_size, config.optim.warmup = 2, 8, 0
    config.train.eval_every = config.train.checkpoint_every = config.train.log_every = 1
    config.eval.num, config.eval.examples, config.eval.batch_size = 16, 16, 16
    config.eval.samples, config.eval.steps, config.eval.features = 1, (), False
    config.eval.samplers, config.plan.steps = (), 2
  return config


def toys(**changes):
  config = small(toy.get_config('block'))
  with config.unlocked():
    config.eval.num = 512  # so many tell something of the law
    config.update(changes)
  return config


def pictures(root, *, spoil=None):
  """A config of a folder of pictures without labels; spoil: the one that is none."""
  for index in range(12):
    PIL.Image.new('RGB', (8, 8), (index, 0, 0)).save(root / f'{index}.png')
  if spoil is not None:
    (root / f'{spoil}.png').write_bytes(b'no picture')
  config = small(digits.get_config())
  with config.unlocked():
    config.guidance.scale = 1.0  # there are no labels
  base.choose(config, 'data', 'image_folder', data_dir=str(root), size=8, channels=1, test_every=3)
  return config


def judged(config, name):
  with config.unlocked():
    config.judge.name = name
  return config


def features(config):
  with config.unlocked():
    config.eval.features = True
  return config


def few():
  config = toys()
  with config.unlocked():
    config.eval.num = 16
  return config


def kept():
  config = toys()
  with config.unlocked():
    config.train.checkpoint_every, config.train.keep_every = 2, 3
  return config


def huge():
  config = toys()
  with config.unlocked():
    config.model.width, config.model.depth = 2**20, 1000
  return config


def spaced(steps, *, others=()):
  """A config whose spacing is a table of two steps."""
  config = small(digits.get_config())
  base.choose(config, 'spacing', 'reveals', counts=(1, 1))
  with config.unlocked():
    config.plan.steps, config.eval.steps = steps, others
  return config


QUICK = {  # what is asked without any thread: a config and words of the answer
  'law of digits': (lambda root: judged(small(digits.get_config()), 'law'), 'law cannot judge'),
  'text of a chain': (lambda root: judged(toys(), 'text'), 'text cannot judge'),
  'images of a chain': (lambda root: judged(toys(), 'image'), 'image and video cannot judge'),
  'classes of pictures without labels': (lambda root: features(pictures(root)), 'eval.features'),
  'steps that the spacing has not': (lambda root: spaced(3), 'plan.steps=2'),
  'steps of the report that it has not': (
    lambda root: spaced(2, others=(3,)), r'eval.steps: 3.*plan.steps=2'
  ),
  'a model that no memory holds': (lambda root: huge(), 'state of this model.*memory'),
  'checkpoints to keep that are never saved': (
    lambda root: kept(), 'keep_every=3 is no multiple of config.train.checkpoint_every=2'
  ),
  'too few samples for the law': (lambda root: few(), 'eval.num=16.*too few'),
}


def unwanted(*_, **__):
  raise AssertionError('this is asked too late')


@pytest.mark.parametrize('name', QUICK)
def test_a_report_that_cannot_be_made_is_refused_before_the_workdir_is_taken(
  name, tmp_path, monkeypatch
):
  make, words = QUICK[name]
  monkeypatch.setattr(cost, 'step', unwanted)  # not even traced
  (tmp_path / 'data').mkdir()
  with pytest.raises(ValueError, match=words):
    train.train(make(tmp_path / 'data'), tmp_path / 'run', progress=False)
  assert not (tmp_path / 'run').exists()


def alone():
  """A mesh of one device."""
  return sharding.make_mesh(data=1, devices=jax.devices()[:1])


def asked(config):
  """Asks all questions about a config, but for what a step costs."""
  parts = build.build(config)
  mesh = alone()
  abstract = cost.state(parts)
  shardings = build.state_shardings(parts, mesh, abstract)
  with pytest.MonkeyPatch.context() as patch, jax.set_mesh(mesh):
    patch.setattr(cost, 'step', lambda *_: types.SimpleNamespace(flops=1.0))
    with begin.asking(parts, mesh, abstract, shardings) as answer:
      return answer()


@pytest.mark.parametrize('spoil', range(12))
def test_a_picture_that_cannot_be_read_is_named_whichever_split_it_is_in(tmp_path, spoil):
  source = build.build(pictures(tmp_path, spoil=spoil)).source
  with pytest.raises(ValueError, match=f'{spoil}.png'):
    source.check()


def test_a_workdir_is_not_taken_where_a_held_out_picture_is_none(tmp_path, monkeypatch):
  programs = types.SimpleNamespace(trace=lambda *_: None)
  monkeypatch.setattr(evaluate.Programs, 'of', lambda *_: programs)
  monkeypatch.setattr(cost, 'step', lambda *_: types.SimpleNamespace(flops=1.0))
  monkeypatch.setattr(begin, 'born', lambda *_: None)
  (tmp_path / 'data').mkdir()
  config = pictures(tmp_path / 'data', spoil=7)
  with pytest.raises(ValueError, match='7.png'):
    train.train(config, tmp_path / 'run', progress=False)
  assert not (tmp_path / 'run').exists()


def test_a_look_at_pictures_reads_no_pixels(tmp_path, monkeypatch):
  source = build.build(pictures(tmp_path)).source
  monkeypatch.setattr(PIL.Image.Image, 'load', unwanted)
  source.check()


@pytest.mark.parametrize('owner, method, fault', [
  (first_order.FirstOrder, 'step', ValueError('this solver cannot step')),
  (masked.Masked, 'bound', TypeError('this bound cannot be traced')),
])
def test_what_cannot_be_traced_shows_before_the_first_step(monkeypatch, owner, method, fault):
  def fail(*_, **__):
    raise fault

  monkeypatch.setattr(owner, method, fail)
  with pytest.raises(type(fault), match=str(fault)):
    asked(toys())


def test_the_first_batch_of_what_is_held_out_is_read_before_the_first_step(monkeypatch):
  from adiff.data import chain

  read = chain.Chain.examples

  def examples(self, split, indices):
    if split == 'test':
      raise OSError('the held-out file is gone')
    return read(self, split, indices)

  monkeypatch.setattr(chain.Chain, 'examples', examples)
  with pytest.raises(OSError, match='held-out file is gone'):
    asked(toys())


def test_a_blank_name_is_no_title():
  for name, title in (('', 'chain'), ('  ', 'chain'), ('mine', 'mine')):
    parts = types.SimpleNamespace(config=toys(name=name))
    assert evaluate.title(parts) == title


def test_a_new_workdir_is_looked_at_and_not_made(tmp_path):
  parts = build.build(toys())
  workdir.check(tmp_path / 'run', parts.config, parts.contract)
  assert not (tmp_path / 'run').exists() and not workdir.is_made(tmp_path / 'run')
  (tmp_path / 'file').write_text('precious')
  for place in (tmp_path / 'file', tmp_path / 'file' / 'run'):
    with pytest.raises(OSError, match='cannot be written'):
      workdir.check(place, parts.config, parts.contract)


def stood_in(monkeypatch):
  """Stand-ins for what costs time in training toys(): what measures, with `bound` to be set."""
  programs = types.SimpleNamespace(evaluated=False, trace=lambda *_: None)
  report = {
    'numbers': {'nats': 1.0, 'nats_ci95': 0.1}, 'split': 'test', 'report': 'report.html'
  }

  def evaluated(*_, **__):
    programs.evaluated = True
    return report

  monkeypatch.setattr(evaluate.Programs, 'of', lambda *_: programs)
  monkeypatch.setattr(evaluate, 'evaluate', evaluated)
  monkeypatch.setattr(build, 'build_mesh', lambda _: alone())
  monkeypatch.setattr(rates, 'matmul_rate', lambda **_: 1.0)
  monkeypatch.setattr(cost, 'step', lambda *_: types.SimpleNamespace(flops=1.0))
  return programs


def test_a_checkpoint_is_saved_before_it_is_measured_and_measured_when_the_run_goes_on(
  tmp_path, monkeypatch
):
  saved = []

  def killed(params, **_):
    saved.append(manifest.sealed(tmp_path))
    raise KeyboardInterrupt

  programs = stood_in(monkeypatch)
  programs.bound = killed
  with contextlib.suppress(KeyboardInterrupt):
    train.train(toys(), tmp_path, progress=False)
  assert saved == [(1,)] and not logs.has(tmp_path, 1, 'test/nats')
  values = iter((3.0, 2.0))
  programs.bound = lambda params, **_: {'nats': next(values), 'per_block': [1.0]}
  assert train.train(toys(), tmp_path, progress=False) == 0
  lines = {row['step']: row['test/nats'] for row in logs.read(tmp_path) if 'test/nats' in row}
  assert lines == {1: 3.0, 2: 2.0} and checkpoint.latest_step(tmp_path) == 2
  known = json.loads(pathlib.Path(measured.path(tmp_path)).read_text())
  assert known == {'1': {'nats': 3.0}, '2': {'nats': 2.0}}
  assert train.train(toys(), tmp_path, progress=False) == 0  # nothing is measured twice


@pytest.mark.parametrize('when', ['step', 'measurement'])
def test_a_signal_in_the_last_step_or_its_measurement_puts_off_the_evaluation(
  tmp_path, monkeypatch, when
):
  programs, tick = stood_in(monkeypatch), logs.Logs.tick

  def stop(wanted, step):
    if wanted == when and step == 2:
      signal.raise_signal(signal.SIGTERM)

  def ticked(log, step, loss):
    stop('step', step)
    tick(log, step, loss)

  def bound(params, **_):
    stop('measurement', checkpoint.latest_step(tmp_path))
    return {'nats': 1.0, 'per_block': [1.0]}

  programs.bound = bound
  with monkeypatch.context() as patched:
    patched.setattr(logs.Logs, 'tick', ticked)
    assert train.train(toys(), tmp_path, progress=False) == 75
  assert checkpoint.latest_step(tmp_path) == 2 and not programs.evaluated
  when = 'never'
  assert train.train(toys(), tmp_path, progress=False) == 0
  assert programs.evaluated and logs.has(tmp_path, 2, 'test/nats')
