"""Checkpoints in a bucket: what orbax and tensorstore write there is whole and verified."""

import contextlib
import errno

import jax
import numpy as np
import pytest
from test_checkpoint import abstract, make_state, save_steps

from adiff.machine import bucket as bucket_lib
from adiff.machine import checkpoint, files, manifest, storage


def objects(cloud, workdir, step):
  """{name: content} of the objects of a step."""
  start = manifest.folder(workdir, step).removeprefix('gs://runs/') + '/'
  return {
    name: stored.content for name, stored in cloud.buckets['runs'].items() if name.startswith(start)
  }


def restored(workdir):
  with contextlib.closing(checkpoint.Checkpoints(workdir)) as checkpoints:
    return checkpoints.restore(abstract(make_state()))


@pytest.fixture
def saved(bucket):
  """A workdir in a bucket that kept the checkpoints 2 and 3 of three."""
  save_steps(bucket, [1, 2, 3])
  return bucket


def test_checkpoints_in_a_bucket_come_back_verified_and_old_ones_go(saved, cloud, tmp_path):
  assert manifest.steps(saved) == manifest.sealed(saved) == (2, 3)
  assert not objects(cloud, saved, 1)
  step, state = restored(saved)
  assert step == 3
  for one, other in zip(jax.tree.leaves(state), jax.tree.leaves(make_state(3.0)), strict=True):
    np.testing.assert_array_equal(one, other)
  (tmp_path / 'copy' / 'checkpoints').mkdir(parents=True)
  checkpoint.copy(saved, 3, tmp_path / 'copy')
  assert restored(tmp_path / 'copy')[0] == 3  # on a disk, where a run may go on
  largest = max(objects(cloud, saved, 3).items(), key=lambda item: len(item[1]))
  name, content = largest[0], bytearray(largest[1])
  content[len(content) // 2] ^= 1
  bucket_lib.put(f'gs://runs/{name}', bytes(content))
  assert restored(saved)[0] == 2
  assert storage.names(f'{manifest.root(saved)}/damaged') == ['3', '3.json']


def test_a_step_without_orbaxs_mark_is_none_and_one_that_lost_an_object_is_set_aside(saved):
  files.delete(f'{manifest.folder(saved, 3)}/{manifest.COMMIT}')
  assert manifest.steps(saved) == (2,) and manifest.unfinished(saved) == (3,)
  files.delete(f'{manifest.folder(saved, 2)}/state/_METADATA')
  with pytest.raises(ValueError, match='every checkpoint in gs://.* was damaged and moved'):
    restored(saved)


def test_who_lost_the_lock_saves_no_checkpoint(bucket, monkeypatch):
  monkeypatch.setattr(bucket_lib, '_lost', {})
  bucket_lib.lose(bucket, f'{bucket} was taken by process 7 on tpu-3')
  with pytest.raises(OSError, match='was taken by process 7'):
    save_steps(bucket, [1])


def test_a_bucket_that_closes_under_a_run_is_told_in_a_sentence(bucket, cloud, monkeypatch):
  with pytest.raises(OSError, match='checkpoints') as caught:
    with contextlib.closing(checkpoint.Checkpoints(bucket)) as checkpoints:
      checkpoints.save(1, make_state(1.0))
      checkpoints.wait()
      monkeypatch.setattr(cloud, 'denied', True)
      checkpoints.save(2, make_state(2.0))
      checkpoints.wait()
  assert caught.value.errno in (None, errno.EACCES) and 'Permission denied' in str(caught.value)
  monkeypatch.undo()
  assert restored(bucket)[0] == 1
