"""The dry run compiles the real programs, and says what fits."""

import ast
import functools
import importlib.util

import jax
import pytest

from adiff.machine import collectives, cost, rates
from adiff.run import build, dryrun
from configs import base, tokenizer, toy

pytestmark = pytest.mark.skipif(jax.device_count() != 8, reason='needs 8 devices')


def config(**mesh):
  c = toy.get_config('block-gaussian')
  c.model.width, c.model.heads, c.model.depth, c.train.batch_size = 256, 4, 1, 16
  c.mesh.update(mesh)
  return c


@functools.cache
def step(**mesh):
  return dryrun.training_step(build.build(config(**mesh)), jax.devices())


def test_state_is_counted_as_it_is_split():
  split, copied = (step(**mesh).memory for mesh in (dict(data=2, fsdp=4), dict(data=8)))
  assert copied['optimiser'] > 2 * copied['parameters'] - 100
  # Large leaves are a quarter each, small ones are not split.
  assert 1 / 4 < split['parameters'] / copied['parameters'] < 0.5


@pytest.mark.parametrize('mesh', [
  *(pytest.param(mesh, marks=pytest.mark.soak) for mesh in (dict(data=8), dict(slices=2, data=4))),
  dict(data=4, tensor=2),
], ids=str)
def test_gradients_and_activations_move_as_the_rules_say(mesh):
  c = config(**mesh)
  c.model.depth = 3
  program = dryrun.training_step(build.build(c), jax.devices())
  for axes, size in program.predicted.items():
    total = sum(moved for (_, where), moved in program.moved.items() if where == axes)
    assert size / 1.25 < total < size * 1.25
  assert set(program.predicted) == ({'slices+data'} if 'slices' in mesh else set(mesh))


def test_fsdp_gathers_parameters_and_tensor_sums_activations():
  def moves(**mesh):
    return {key for key, size in step(**mesh).moved.items() if size > 2**16}

  gathered = {axes for kind, axes in moves(data=2, fsdp=4) if kind == 'all-gather'}
  assert any('fsdp' in axes for axes in gathered)
  assert ('all-reduce', 'tensor') in moves(data=4, tensor=2)
  assert moves(data=8) == {('all-reduce', 'data')}


def test_every_device_reads_the_parameters_that_it_holds():
  program, params = step(data=8), cost.params(build.build(config()))
  held = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(params))
  assert program.bytes >= 9 * held
  c = config(data=64)
  c.train.batch_size = 64
  sampler = dryrun.rollout(build.build(c), 64)
  assert sampler.bytes >= held * sum(build.build(config()).plan.budgets)


def test_what_waits_on_the_host_is_told_apart():
  c = config(data=2, fsdp=4)
  c.train.offload = 'both'
  away, here = dryrun.training_step(build.build(c), jax.devices()), step(data=2, fsdp=4)
  parts = lambda program: program.memory['average'] + program.memory['optimiser']
  assert here.host == 0 and away.host > 0.8 * parts(here)
  assert parts(away) + away.host == parts(here)


@pytest.mark.soak
def test_a_step_that_does_not_fit_is_answered_with_changes_that_do(capsys, monkeypatch):
  c = config(data=8)
  needed = dryrun.training_step(build.build(c), jax.devices())
  small = rates.Chip(0.9 * needed.total, 1e12, 1e11, 1e10)
  monkeypatch.setitem(rates.CHIPS, jax.devices()[0].device_kind, small)
  assert dryrun.dryrun(c, '') == 1
  said = capsys.readouterr().out
  assert 'does NOT fit' in said
  first = next(line.strip() for line in said.splitlines() if line.startswith('  --config'))
  words, _, size = first.partition(': ')
  for word in words.split():
    key, _, value = word.removeprefix('--config.').partition('=')
    section, name = key.split('.')
    old = c[section][name]
    c[section][name] = value if isinstance(old, str) else ast.literal_eval(value)
  again = dryrun.training_step(build.build(c), jax.devices())
  assert again.total <= small.memory and size == f'{again.total / rates.GIB:.2f} GiB'


def test_gradients_leave_a_slice_once_however_it_is_split(monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  devices = dryrun.devices_of('v5e:2x4', slices=2)
  assert devices == 16
  floats = 4 * sum(leaf.size for leaf in jax.tree.leaves(cost.params(build.build(config()))))
  for mesh in (dict(data=8), dict(data=2, fsdp=4)):
    parts = build.build(config(slices=2, **mesh))
    moved = cost.moved(parts, where := build.build_mesh(parts, devices))
    moved = {('predicted', axes): size for axes, size in moved.items()}
    assert collectives.leaving(moved, where) == pytest.approx(floats, rel=0.05)
  leaving = {'found': 3 * 2**20, 'predicted from the rules': 2**19}
  program = dryrun.Program({}, moved, 1.0, 1.0, leaving=leaving)
  said = dryrun._in_words('training step', program, None, 8, 4)
  assert 'summed its own: 3.0 MiB found, 0.5 MiB predicted from the rules' in said


def test_more_slices_than_there_can_be_devices_are_told_in_a_sentence():
  with pytest.raises(ValueError, match='v5e:16x16, times mesh.slices=1000, has no device, or more'):
    dryrun.devices_of('v5e:16x16', 1000)


@pytest.mark.parametrize('topology', ['v5e', '16x16', 'cpu:many', 'v5e:16by16'])
def test_a_topology_that_is_not_understood_is_told_in_a_sentence(topology):
  with pytest.raises(ValueError, match='v5e:16x16 or cpu:8'):
    dryrun.devices_of(topology)


def test_devices_are_made_before_anything_that_is_built_may_ask_for_some(monkeypatch):
  asked = []

  def made(what, *_):
    asked.append(what)
    if len(asked) == 2:
      raise InterruptedError

  monkeypatch.setattr(build, 'build', lambda *_: made('build'))
  monkeypatch.setattr(dryrun, 'devices_of', lambda *_: made('devices'))
  with pytest.raises(InterruptedError):
    dryrun.dryrun(config(), 'cpu:8')
  assert asked == ['devices', 'build']


def test_without_libtpu_a_tpu_is_estimated_and_changes_are_found(capsys, monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  assert dryrun.devices_of('v5e:2x4') == 8
  with pytest.raises(ValueError, match='without libtpu write one of v4, v5e'):
    dryrun.devices_of('v99:2x4')
  c = config(data=8)
  compiled, estimated = step(data=8), dryrun.training_step(build.build(c), 8)
  for part in ('parameters', 'average', 'optimiser', 'batch'):
    assert estimated.memory[part] == compiled.memory[part]
  assert estimated.flops == compiled.flops and estimated.total < compiled.total
  assert dryrun.dryrun(c, 'v5e:2x4') == 0
  assert "cost model's own estimate" in capsys.readouterr().out
  small = rates.Chip(0.9 * estimated.total, 1e12, 1e11, 1e10)
  monkeypatch.setitem(rates.CHIPS, 'TPU v5 lite', small)
  assert dryrun.dryrun(c, 'v5e:2x4') == 1
  assert '  --config.' in capsys.readouterr().out.partition('make it fit, each estimated:')[2]


def codec():
  c = tokenizer.get_config('debug').unlock()
  base.choose(c, 'codec', 'patches', patch=2)
  base.choose(c, 'coder', 'conv', widths=(8,))
  base.choose(c, 'quantiser', 'vae', dim=2)
  c.train.batch_size = 16
  c.mesh.data = 8
  return c.lock()


def test_a_codec_sums_its_gradients_and_codes_without_moving_anything():
  parts = build.build(codec())
  step = dryrun.training_step(parts, jax.devices())
  (axes, predicted), = step.predicted.items()
  found = sum(size for (_, where), size in step.moved.items() if where == axes)
  assert axes == 'data' and predicted / 1.25 < found < predicted * 1.25
  compiled, estimated = (dryrun.coding(parts, devices) for devices in (jax.devices(), 8))
  for name in ('encoder', 'decoder'):
    assert compiled[name].moved == {} and compiled[name].memory['activations'] > 0
    assert estimated[name].flops == compiled[name].flops > 0


def test_the_dry_run_of_a_codec_tells_its_encoder_and_its_decoder(capsys, monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  assert dryrun.dryrun(codec(), 'v5e:2x4') == 0
  said = capsys.readouterr().out
  for what in ('training step, 16', 'encoder, 8', 'decoder, 8'):
    assert f'{what} examples' in said
  assert said.count('tokens a second') == 3
  assert {'coder.dtype': 'bfloat16'} in dryrun._changes(codec(), 8)


@pytest.mark.soak
def test_a_program_that_cannot_be_read_is_told_with_its_memory_and_without_links(monkeypatch):
  def refuse(_):
    raise jax.errors.JaxRuntimeError('INTERNAL: an async-update\nof three operands')

  monkeypatch.setattr(jax.stages.Compiled, 'as_text', refuse)
  program = dryrun.rollout(build.build(config(data=2, fsdp=4)), jax.devices())
  assert program.memory['activations'] > 0 and not program.moved
  said = dryrun._in_words('sampler', program, rates.CHIPS['TPU v5 lite'], 8, 4)
  assert 'not known, the program cannot be read: INTERNAL: an async-update\n' in said
  assert 'memory' in said and 'links' not in said


@pytest.mark.soak
@pytest.mark.skipif(not importlib.util.find_spec('libtpu'), reason='needs libtpu')
def test_a_tpu_moves_what_the_rules_say():
  c = config(data=2, fsdp=4)
  c.train.batch_size, c.model.remat = 4096, 'layers'
  program = dryrun.training_step(build.build(c), dryrun.devices_of('v5e:2x4'))
  assert program.predicted
  for axes, size in program.predicted.items():
    total = sum(moved for (_, where), moved in program.moved.items() if where == axes)
    assert size / 1.25 < total < size * 1.25
