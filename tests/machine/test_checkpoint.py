"""Checkpoints: round trips, faults, retention, other meshes."""

import contextlib
import functools
import os
import pathlib
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from steps import largest_file

from adiff.learn import base, state
from adiff.machine import checkpoint, manifest, sharding

TX = optax.adamw(1e-3)
ROLE = base.DENOISER


@functools.partial(jax.jit, static_argnames='width')
def make_state(value=1.0, width=8):
  def init_params(key):
    kernel = jax.random.normal(key, (16, width)) * value
    return {'a': {'kernel': kernel, 'low': kernel.astype(jnp.bfloat16)}, 'b': {'bias': kernel[0]}}

  made = state.create({ROLE: init_params(jax.random.key(0))}, {ROLE: TX})
  return made.replace(ema=jax.tree.map(lambda x: x * 2, made.params))


def abstract(tree):
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def save_steps(workdir, steps, *, metrics=lambda step: None, **arguments):
  with contextlib.closing(checkpoint.Checkpoints(workdir, **arguments)) as checkpoints:
    for step in steps:
      checkpoints.save(step, make_state(float(step)))
      checkpoints.wait()
      if metrics(step) is not None:
        checkpoints.rate(step, metrics(step))


@pytest.fixture(scope='module')
def two_steps(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('two_steps')
  save_steps(workdir, [1, 2])
  return workdir


@pytest.fixture
def saved(two_steps, tmp_path):
  """A workdir with checkpoints 1 and 2, its own copy for every test."""
  return pathlib.Path(shutil.copytree(two_steps, tmp_path / 'run'))


def damage_flip(workdir, step):
  file = largest_file(workdir, step)
  data = bytearray(file.read_bytes())
  data[len(data) // 2] ^= 1
  file.write_bytes(data)


def damage_truncate(workdir, step):
  file = largest_file(workdir, step)
  os.truncate(file, file.stat().st_size // 2)


def damage_remove_file(workdir, step):
  largest_file(workdir, step).unlink()


def damage_empty_folder_without_manifest(workdir, step):
  os.rename(manifest.folder(workdir, step), workdir / 'elsewhere')
  os.mkdir(manifest.folder(workdir, step))
  os.remove(manifest.path(workdir, step))


def damage_unsealed(workdir, step):
  os.remove(manifest.path(workdir, step))
  for name in ('d', 'ocdbt.process_0'):
    for file in pathlib.Path(manifest.folder(workdir, step), 'state', name).rglob('*'):
      if file.is_file():
        os.truncate(file, 0)


def damage_manifest(workdir, step):
  os.truncate(manifest.path(workdir, step), 20)


DAMAGES = [
  damage_flip,
  damage_truncate,
  damage_remove_file,
  damage_empty_folder_without_manifest,
  damage_unsealed,
  damage_manifest,
]


def test_a_restored_state_equals_the_saved_one_bit_for_bit(tmp_path):
  saved = make_state()
  with contextlib.closing(checkpoint.Checkpoints(tmp_path)) as checkpoints:
    checkpoints.save(3, saved)
    step, restored = checkpoints.restore(abstract(saved))
  assert step == 3
  assert restored.params[ROLE]['a']['low'].dtype == jnp.bfloat16
  chex.assert_trees_all_equal(restored, saved)
  assert jax.tree.structure(restored) == jax.tree.structure(saved)


def test_a_donated_state_is_saved_as_it_was(tmp_path):
  saved = make_state()
  copy = jax.tree.map(np.array, saved)
  overwrite = jax.jit(lambda s: jax.tree.map(jnp.zeros_like, s), donate_argnums=0)
  with contextlib.closing(checkpoint.Checkpoints(tmp_path)) as checkpoints:
    checkpoints.save(1, saved)
    overwrite(saved)
    _, restored = checkpoints.restore(abstract(copy))
  chex.assert_trees_all_equal(jax.tree.map(np.array, restored), copy)


def test_an_empty_workdir_restores_nothing(tmp_path):
  with contextlib.closing(checkpoint.Checkpoints(tmp_path)) as checkpoints:
    assert checkpoints.restore(abstract(make_state())) is None
  assert checkpoint.latest_step(tmp_path) is None
  with pytest.raises(FileNotFoundError, match='train first'):
    checkpoint.restore_params(tmp_path)


# Tensorstore answers the reads that orbax no longer waits for after the first failure.
@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
@pytest.mark.parametrize('damage', DAMAGES)
def test_a_damaged_checkpoint_is_named_moved_aside_and_the_one_before_is_used(
  saved, caplog, damage
):
  damage(saved, 2)
  caplog.clear()
  assert checkpoint.restore_params(saved)[0] == 1
  assert checkpoint.latest_step(saved) == 2, 'a reader changes nothing on disk'
  with contextlib.closing(checkpoint.Checkpoints(saved)) as checkpoints:
    step, restored = checkpoints.restore(abstract(make_state()))
    assert step == 1
    chex.assert_trees_all_equal(restored, make_state(1.0))
    assert checkpoints.steps() == (1,)
    assert (saved / 'checkpoints' / 'damaged' / '2').is_dir()
    assert any(manifest.folder(saved, 2) in line for line in caplog.messages)
    checkpoints.save(2, make_state(2.0))  # Its number is free again.
    checkpoints.wait()
    assert checkpoints.restore(abstract(make_state()))[0] == 2


def test_when_all_are_damaged_the_run_does_not_start_from_zero(saved):
  damage_flip(saved, 1)
  damage_truncate(saved, 2)
  for _ in range(2):  # The second time nothing but the folder of the damaged is left.
    with contextlib.closing(checkpoint.Checkpoints(saved)) as checkpoints:
      with pytest.raises(ValueError, match='every checkpoint .* was damaged'):
        checkpoints.restore(abstract(make_state()))


def test_an_explicit_step_is_used_or_refused_but_never_replaced(saved):
  damage_flip(saved, 2)
  with contextlib.closing(checkpoint.Checkpoints(saved)) as checkpoints:
    assert checkpoints.restore(abstract(make_state()), step=1)[0] == 1
    with pytest.raises(ValueError, match='is damaged: its file'):
      checkpoints.restore(abstract(make_state()), step=2)
    with pytest.raises(ValueError, match='no checkpoint 7'):
      checkpoints.restore(abstract(make_state()), step=7)
  with pytest.raises(ValueError, match='is damaged: its file'):
    checkpoint.restore_params(saved, step=2)
  assert checkpoint.latest_step(saved) == 2


def test_a_checkpoint_without_a_manifest_is_used_with_a_warning_and_gets_one(saved, caplog):
  os.remove(manifest.path(saved, 2))
  with contextlib.closing(checkpoint.Checkpoints(saved)) as checkpoints:
    assert checkpoints.restore(abstract(make_state()))[0] == 2
  assert any('was not verified' in line for line in caplog.messages)
  assert manifest.sealed(saved) == (1, 2) and manifest.verify(saved, 2)


def test_a_manifest_of_an_earlier_life_does_not_condemn_a_new_checkpoint(saved):
  with contextlib.closing(checkpoint.Checkpoints(saved)) as checkpoints:
    shutil.copy(manifest.path(saved, 2), manifest.path(saved, 3))
    checkpoints.save(3, make_state())
    assert checkpoints.restore(abstract(make_state()))[0] == 3


def test_the_latest_and_the_best_checkpoints_are_kept_over_a_restart(tmp_path):
  losses = {1: 0.5, 2: 0.1, 3: float('nan'), 4: 0.3, 5: 0.4, 6: 0.6}

  def metrics(step):
    return {'loss': losses[step]} if step != 4 else None

  for steps in ([1, 2, 3], [4, 5, 6]):
    save_steps(tmp_path, steps, metrics=metrics, keep=2, best='loss')
  assert manifest.steps(tmp_path) == (2, 5, 6)
  kept = sorted(os.listdir(tmp_path / 'checkpoints'))
  assert kept == ['2', '5', '6', 'digests', 'measured.json'], 'the trash is emptied'
  assert sorted(os.listdir(tmp_path / 'checkpoints' / 'digests')) == ['2.json', '5.json', '6.json']


def test_what_is_kept_for_ever_stays_besides_the_newest_and_over_a_restart(tmp_path):
  for steps in ([2, 4, 6], [8, 9, 10, 11]):
    save_steps(tmp_path, steps, keep=1, every=4)
  assert manifest.steps(tmp_path) == (4, 8, 11)
  with pytest.raises(ValueError, match='every -1'):
    checkpoint.Checkpoints(tmp_path, every=-1)


def test_mode_max_keeps_the_largest_metric(tmp_path):
  save_steps(
    tmp_path, [1, 2, 3], metrics=lambda step: {'score': -step}, keep=1, best='score', mode='max'
  )
  assert manifest.steps(tmp_path) == (1, 3)


def test_saving_an_existing_or_an_older_step_raises(saved):
  with contextlib.closing(checkpoint.Checkpoints(saved)) as checkpoints:
    for step in (2, 1):
      with pytest.raises(ValueError, match=f'checkpoint {step} cannot be saved'):
        checkpoints.save(step, make_state())


def test_a_rating_without_the_metric_of_the_best_raises(tmp_path):
  with contextlib.closing(checkpoint.Checkpoints(tmp_path, best='fid')) as checkpoints:
    with pytest.raises(ValueError, match="'fid', which is not among"):
      checkpoints.rate(1, {'loss': 1.0})


def test_a_step_that_is_saved_anew_is_no_longer_rated(tmp_path):
  save_steps(tmp_path, [1, 2], metrics=lambda step: {'loss': step}, keep=3, best='loss')
  shutil.rmtree(manifest.folder(tmp_path, 2))
  with contextlib.closing(checkpoint.Checkpoints(tmp_path, best='loss')) as checkpoints:
    assert checkpoints.rated(1) and checkpoints.rated(2)
    checkpoints.save(2, make_state())
    assert checkpoints.rated(1) and not checkpoints.rated(2)


def test_other_shapes_are_named_and_nothing_is_moved(saved):
  os.remove(manifest.path(saved, 2))
  other = abstract(make_state(width=4))
  with contextlib.closing(checkpoint.Checkpoints(saved)) as checkpoints:
    with pytest.raises(ValueError, match=r'kernel as \[16, 8\] where this config builds \[16, 4\]'):
      checkpoints.restore(other)
  with pytest.raises(ValueError, match=r'builds \[16, 4\]'):
    checkpoint.restore_params(saved, other.params[ROLE])
  assert manifest.steps(saved) == (1, 2)


@pytest.mark.skipif(jax.device_count() < 8, reason='needs 8 devices')
def test_a_sharded_state_is_restored_on_another_mesh(tmp_path):
  saved = make_state()
  eight = sharding.make_mesh(2, 4)
  shardings = sharding.state_shardings(eight, saved, min_size=32)
  with contextlib.closing(checkpoint.Checkpoints(tmp_path)) as checkpoints:
    checkpoints.save(1, jax.device_put(saved, shardings))
    checkpoints.wait()
    one = sharding.make_mesh(1, 1, devices=jax.devices()[:1])
    for mesh in (one, sharding.make_mesh(8, 1), eight):
      target = jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
        saved,
        sharding.state_shardings(mesh, saved, min_size=32),
      )
      _, restored = checkpoints.restore(target)
      kernels = (tree.params[ROLE]['a']['kernel'] for tree in (restored, target))
      assert len({kernel.sharding for kernel in kernels}) == 1
      chex.assert_trees_all_equal(
        jax.tree.map(np.array, restored), jax.tree.map(np.array, saved)
      )
  step, params = checkpoint.restore_params(tmp_path)
  assert step == 1 and isinstance(params['a']['kernel'], np.ndarray)


def test_params_are_read_alone_as_average_or_last(saved):
  for part, ema in (('ema', True), ('params', False)):
    expected = getattr(make_state(2.0), part)[ROLE]
    step, params = checkpoint.restore_params(saved, ema=ema)
    assert step == 2
    chex.assert_trees_all_equal(params, jax.tree.map(np.array, expected))
    _, placed = checkpoint.restore_params(saved, abstract(expected), ema=ema, step=2)
    chex.assert_trees_all_equal(placed, expected)
    assert isinstance(placed['a']['kernel'], jax.Array)


def test_a_workdir_that_cannot_be_written_is_an_os_error(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(OSError, match='checkpoints cannot be written .* choose another'):
    checkpoint.Checkpoints(tmp_path / 'file')


def test_an_error_in_the_background_reaches_the_caller(tmp_path, monkeypatch):
  def refuse(*_):
    raise OSError(28, 'No space left on device')

  checkpoints = checkpoint.Checkpoints(tmp_path)
  monkeypatch.setattr(manifest, 'write', refuse)
  checkpoints.save(1, make_state())
  with pytest.raises(OSError, match='No space left on device.*free space'):
    checkpoints.wait()
  checkpoints.close()


def test_what_a_killed_save_left_behind_is_cleared(saved):
  half = saved / 'checkpoints' / '3.orbax-checkpoint-tmp'
  (half / 'state').mkdir(parents=True)
  (saved / 'checkpoints' / 'trash' / '0').mkdir(parents=True)
  checkpoints = checkpoint.Checkpoints(saved, keep=3)
  checkpoints.save(4, make_state())  # orbax sweeps in the background and waits for it when it saves
  checkpoints.close()
  assert sorted(os.listdir(saved / 'checkpoints')) == ['1', '2', '4', 'digests']
