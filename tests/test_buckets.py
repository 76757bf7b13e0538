"""All that is done to a workdir on a disk, done to one in a bucket."""

import functools
import random
import time

import binary
import numpy as np
import pytest
from test_main import STEPS, folder, whole  # noqa: F401 (fixtures)
from test_main import _said as said

from adiff.machine import array_file, files, json_file, manifest, storage
from adiff.run import exported
from launch import runs


@pytest.mark.soak
def test_a_run_killed_often_in_a_bucket_ends_as_one_on_a_disk(whole, folder, cloud):  # noqa: F811
  draw, workdir, log = random.Random(0), 'gs://runs/often', folder / 'often'

  def saved(process):
    while process.poll() is None and not manifest.sealed(workdir):
      time.sleep(0.01)

  moments = [saved, *(runs.after(draw.uniform(2, 6)) for _ in range(4))]
  kills, code = runs.kill_and_resume(
    functools.partial(binary.start, bucket=cloud.url), [*binary.TINY, f'--workdir={workdir}'],
    moments, log,
  )
  assert code == 0 and kills and f'resuming {workdir} at step' in said(log), said(log)
  assert runs.differences(workdir, whole) == []
  there = storage.below(workdir)
  assert 'report.html' in there and 'lock' not in there


@pytest.mark.soak
def test_all_that_a_workdir_serves_is_served_from_a_bucket(whole, folder, cloud):  # noqa: F811
  workdir = 'gs://runs/served'

  def call(*arguments):
    ended_with = binary.start(arguments, folder / 'served', bucket=cloud.url).wait(timeout=200)
    assert ended_with == 0, said(folder / 'served')
    return said(folder / 'served')

  call(*binary.TINY, f'--workdir={workdir}', '--profile=2')
  assert runs.differences(workdir, whole) == []
  assert storage.names(f'{workdir}/profile')
  call('--mode=eval', f'--workdir={workdir}')
  numbers = [
    json_file.read(f'{place}/eval.json')['numbers'] | {'seconds': 0} for place in (workdir, whole)
  ]
  assert numbers[0] == numbers[1]
  few = ['--mode=sample', '--num=40', '--seed=3']
  call(*few, f'--workdir={workdir}', '--batch=16')
  call(*few, f'--workdir={whole}', f'--out={folder}/few.npz')
  arrays = [array_file.npz(f'{place}') for place in (f'{workdir}/samples.npz', folder / 'few.npz')]
  for name, values in arrays[0].items():
    np.testing.assert_array_equal(values, arrays[1][name])
  assert not storage.exists(f'{workdir}/samples.npz.parts')
  call('--mode=export', f'--workdir={workdir}', '--batch=16')
  examples, _ = exported.Sampler(f'{workdir}/exported').sample(0, 40, seed=3)
  np.testing.assert_array_equal(examples, arrays[0]['arr_0'])
  call('--mode=follow', f'--workdir={workdir}')
  assert {str(STEPS)} <= set(files.whole_folders(f'{workdir}/eval'))
  call('--mode=compare', f'--workdirs={workdir},{whole}', f'--out={workdir}_compared')
  assert storage.is_file(f'{workdir}_compared/compare.html')
