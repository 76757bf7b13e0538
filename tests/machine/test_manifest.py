"""Digests, sizes and metrics of checkpoints tell which are sound, whatever lies in their place."""

import contextlib
import json
import os
import pathlib
import shutil

import jax
import jax.numpy as jnp
import pytest
from steps import largest_file

from adiff.learn import base
from adiff.machine import checkpoint, manifest

STATE = {part: {base.DENOISER: {'kernel': jnp.ones((16, 8))}} for part in ('params', 'ema')}
ABSTRACT = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), STATE)


def save_steps(workdir, steps, **arguments):
  """Checkpoints with the metrics that earlier versions kept in them."""
  with contextlib.closing(checkpoint.Checkpoints(workdir, **arguments)) as keeper:
    for step in steps:
      keeper.save(step, STATE)
      keeper.wait()
      metrics = pathlib.Path(manifest.folder(workdir, step), 'metrics', 'metrics')
      metrics.parent.mkdir()
      metrics.write_text(json.dumps({'nats': 1.0 / step}))
      manifest.write(workdir, step)


@pytest.fixture(scope='module')
def two_steps(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('two_steps')
  save_steps(workdir, (1, 2), keep=3)
  return workdir


@pytest.fixture
def saved(two_steps, tmp_path):
  """A workdir with checkpoints 1 and 2, its own copy for every test."""
  return pathlib.Path(shutil.copytree(two_steps, tmp_path / 'run'))


@pytest.mark.parametrize('name', ['007', '7' * 23, str(2**31), '٧'])
def test_a_folder_of_digits_that_is_no_step_is_passed_over_and_named_before_training(saved, name):
  (saved / 'checkpoints' / name).mkdir()
  assert manifest.steps(saved) == (1, 2)
  assert checkpoint.restore_params(saved)[0] == 2
  with pytest.raises(ValueError, match=f'checkpoints/{name} is no checkpoint .* move it out'):
    checkpoint.Checkpoints(saved)


@pytest.mark.parametrize('text', [
  '[]', '{}', '{"sha256": []}', '{"sha256": {"a": 1}}', '[' * 10**5, '{"sha256": {}, "sha256": {}}',
])
def test_digests_of_another_form_are_damage_that_is_passed_over(saved, text):
  pathlib.Path(manifest.path(saved, 2)).write_text(text)
  with pytest.raises(manifest.Damaged, match=r'2\.json cannot be used'):
    manifest.verify(saved, 2)
  assert checkpoint.restore_params(saved)[0] == 1


def pipe(path):
  path.unlink()
  os.mkfifo(path)


def huge(path):
  os.truncate(path, 2**42)


@pytest.mark.parametrize('spoil', [
  pipe, huge, lambda path: path.unlink(), lambda path: path.write_text('[]'),
  lambda path: path.write_text(path.read_text().replace('"', ' ')),
  lambda path: path.write_text(path.read_text().replace('nats', 'bits')),
  lambda path: path.write_bytes(b'\xff' * path.stat().st_size),
])
@pytest.mark.parametrize('step', [1, 2])
def test_metrics_that_orbax_cannot_read_cost_their_step_and_no_other(saved, spoil, step):
  spoil(saved / 'checkpoints' / str(step) / 'metrics' / 'metrics')
  with contextlib.closing(checkpoint.Checkpoints(saved, keep=3)) as keeper:
    assert keeper.restore(ABSTRACT)[0] == 3 - step
    keeper.save(9, STATE)
  assert manifest.steps(saved) == (3 - step, 9)
  assert os.listdir(saved / 'checkpoints' / 'damaged')[0].startswith(str(step))


def test_metrics_that_were_never_written_cost_their_step(saved):
  (saved / 'checkpoints' / '1' / 'metrics' / 'more').write_text('[')
  checkpoint.Checkpoints(saved).close()
  assert manifest.steps(saved) == (2,)


def test_a_file_of_another_size_is_refused_before_it_is_read(saved):
  largest = largest_file(saved, 2)
  os.truncate(largest, 2**42)  # whose digest would take an hour
  with pytest.raises(manifest.Damaged, match=f'{largest.name} is not what was written'):
    manifest.verify(saved, 2)
  assert checkpoint.restore_params(saved)[0] == 1


def test_a_step_written_without_sizes_is_verified_by_its_digests(saved):
  path = pathlib.Path(manifest.path(saved, 2))
  told = json.loads(path.read_text())
  del told['bytes']
  path.write_text(json.dumps(told))
  assert manifest.verify(saved, 2)
  largest = largest_file(saved, 2)
  os.truncate(largest, largest.stat().st_size // 2)
  with pytest.raises(manifest.Damaged):
    manifest.verify(saved, 2)
