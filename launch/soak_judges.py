"""Entries of the soak that judge images of real sets: memory and seconds that the judge adds."""

import os
import shutil
import time

from launch import runs

PEAK, SECONDS = 2048, 180  # MiB and seconds that judging may add, at most, on two cores
SETS = ('mnist', 'cifar10')
SMALL = (
  *('--config.model.width=32', '--config.model.depth=1', '--config.model.heads=2'),
  *('--config.train.steps=2', '--config.train.batch_size=32', '--config.train.eval_every=0'),
  *('--config.train.checkpoint_every=2', '--config.optim.warmup=0', '--config.plan.steps=2'),
  *('--config.eval.examples=128', '--config.eval.samples=1', '--config.eval.steps=(4,)'),
)


def judges(dataset):
  """The entry of a set: the evaluation of a tiny model with its features and without."""

  def entry(folder, options):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    workdir = folder / 'run'
    command = [
      f'--config=configs/images.py:{dataset}', f'--config.data.data_dir={options.data}', *SMALL,
      f'--workdir={workdir}', *options.training,
    ]
    code = runs.start(command, folder / 'train').wait()
    if code:
      return runs.failed(code, folder / 'train')
    used = {}
    for features in ('false', 'true'):
      log = folder / f'features_{features}'
      command = ['--mode=eval', f'--workdir={workdir}', f'--set=eval.features={features}']
      code, *used[features] = _measured(runs.start(command, log))
      if code:
        return runs.failed(code, log)
    added = [most - least for least, most in zip(used['false'], used['true'], strict=True)]
    return {
      'passed': added[0] <= PEAK and added[1] <= SECONDS, 'MiB added': added[0],
      'seconds added': added[1], 'MiB in all': used['true'][0], 'seconds in all': used['true'][1],
      **runs.made_by(workdir),
    }

  return entry


def _measured(process):
  """(exit code, MiB that were resident at most, seconds) of a process that was just started."""
  begun = time.monotonic()
  _, status, used = os.wait4(process.pid, 0)
  process.returncode = os.waitstatus_to_exitcode(status)
  return process.returncode, used.ru_maxrss / 1024, time.monotonic() - begun
