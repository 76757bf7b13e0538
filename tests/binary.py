"""The binary without its start-up time: processes forked from one that has imported everything.

A forked process has its own flags, signals, exit code and output, as one started by hand has; only
the imports, most of the cost of a short run, are shared.
"""

import dataclasses
import multiprocessing
import os
import pathlib
import sys

import buckets

from launch import runs

# Tests compile far more than they compute: without the compiler's optimisations they take a third.
FLAGS = (
  () if pathlib.Path('/proc/driver/nvidia').exists() else
  (*runs.QUICK, '--xla_cpu_parallel_codegen_split_count=1')
)
ROOT = pathlib.Path(__file__).resolve().parents[1]
# A run of seconds: one small layer on a short chain, with checkpoints and bounds on the way.
TINY = (
  f'--config={ROOT}/configs/toy.py:block',
  '--config.data.size=2048',
  '--config.model.width=16',
  '--config.model.depth=1',
  '--config.model.heads=2',
  '--config.optim.warmup=0',
  '--config.plan.steps=4',
  '--config.train.steps=300',
  '--config.train.batch_size=32',
  '--config.train.log_every=5',
  '--config.train.checkpoint_every=25',
  '--config.train.eval_every=100',
  '--config.eval.batch_size=64',
  '--config.eval.examples=64',
  '--config.eval.samples=1',
  '--config.eval.num=2048',
)
_IMPORTED = ['adiff.main', 'adiff.run.train', 'configs.toy', 'configs.digits']


@dataclasses.dataclass(frozen=True)
class Forked:
  """A running binary, with the methods of subprocess.Popen that the helpers need."""

  process: multiprocessing.Process
  pid: int

  def poll(self):
    """Exit code, negative for a signal, or None while it runs."""
    return self.process.exitcode

  def wait(self, timeout=None):
    """Exit code, once it has ended; it is killed after `timeout` seconds."""
    self.process.join(timeout)
    if self.process.exitcode is None:
      self.process.kill()
      self.process.join()
    return self.process.exitcode

  def kill(self):
    """SIGKILL."""
    self.process.kill()


def start(arguments, log, *, devices=1, cwd=ROOT, bucket='') -> Forked:
  """Starts `python -m adiff.main arguments`; standard output goes to log.out, errors to log.err.

  bucket: address of the emulator that gs:// is for it.
  """
  context = multiprocessing.get_context('forkserver')
  context.set_forkserver_preload(_IMPORTED)
  words = [str(word) for word in arguments]
  facts = (words, str(log), devices, str(cwd), bucket)
  process = context.Process(target=_main, args=facts, daemon=True)
  process.start()
  return Forked(process, process.pid)


def _main(arguments, log, devices, cwd, bucket):
  """In the child: the entry point itself, with its streams in files."""
  for stream, name in ((1, 'out'), (2, 'err')):
    file = os.open(f'{log}.{name}', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, stream)
  sys.stdout, sys.stderr = os.fdopen(1, 'w', closefd=False), os.fdopen(2, 'w', closefd=False)
  os.environ['XLA_FLAGS'] = ' '.join([f'--xla_force_host_platform_device_count={devices}', *FLAGS])
  os.chdir(cwd)
  if bucket:
    buckets.connect(bucket)
  sys.argv = ['adiff/main.py', *arguments]
  import jax

  from adiff import main

  try:
    main.main()
  finally:  # what a process does at its exit, to which a forked one does not come
    jax.distributed.shutdown()
