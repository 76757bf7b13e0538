"""The dry run compiles the real programs, and says what fits."""

import ast
import functools
import importlib.util

import jax
import pytest

from adiff import build, dryrun
from configs import toy

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


def test_fsdp_gathers_parameters_and_tensor_sums_activations():
  axes = lambda **mesh: {key for key, size in step(**mesh).moved.items() if size > 2**16}
  assert ('all-gather', 'fsdp') in axes(data=2, fsdp=4)
  assert ('all-reduce', 'tensor') in axes(data=4, tensor=2)
  assert axes(data=8) == {('all-reduce', 'data')}


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
  small = dryrun.Chip(0.9 * needed.total, 1e12, 1e11, 1e10)
  monkeypatch.setitem(dryrun.CHIPS, jax.devices()[0].device_kind, small)
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
  assert again.total <= small.memory and size == f'{again.total / dryrun.GIB:.2f} GiB'


@pytest.mark.parametrize('topology', ['v5e', '16x16', 'cpu:many', 'v5e:16by16'])
def test_a_topology_that_is_not_understood_is_told_in_a_sentence(topology):
  with pytest.raises(ValueError, match='v5e:16x16 or cpu:8'):
    dryrun.devices_of(topology)


@pytest.mark.skipif(importlib.util.find_spec('libtpu'), reason='libtpu is here')
def test_without_libtpu_a_tpu_is_refused_with_what_to_install():
  with pytest.raises(ValueError, match=r'adiff\[tpu\]'):
    dryrun.devices_of('v5e:2x2')
