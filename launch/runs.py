"""Runs of the binary that are started, killed, resumed and compared; the tests use these too."""

import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
CHILDREN = dict(os.environ)  # this process itself stays off the accelerator
# Of processes that share the work, JAX keeps the compiled programs of the first one alone. XLA ends
# a process that names a flag it does not know; jaxlib 0.11 no longer knows the second.
_JAXLIB = tuple(int(part) for part in importlib.metadata.version('jaxlib').split('.')[:2])
QUICK = (
  '--xla_backend_optimization_level=0',
  *(['--xla_cpu_use_fusion_emitters=false'] if _JAXLIB < (0, 11) else []),
)


def start(arguments, log, *, module='adiff.main', devices=None) -> subprocess.Popen:
  """Starts the binary; standard output goes to log.out, errors to log.err.

  module: another program. devices: so many of the CPU's, compiled quickly, instead of all.
  """
  environment = dict(CHILDREN)
  if devices:
    flags = [CHILDREN.get('XLA_FLAGS', ''), f'--xla_force_host_platform_device_count={devices}']
    environment.update(JAX_PLATFORMS='cpu', XLA_FLAGS=' '.join([*flags, *QUICK]))
  with open(f'{log}.out', 'w') as out, open(f'{log}.err', 'w') as err:
    command = [sys.executable, '-m', module, *map(str, arguments)]
    return subprocess.Popen(command, stdout=out, stderr=err, cwd=ROOT, env=environment)


def after(seconds, path=None):
  """A moment: so many seconds after the start, or after `path` exists, or the process's end."""

  def wait(process):
    while path is not None and not os.path.exists(path) and process.poll() is None:
      time.sleep(0.002)
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
      time.sleep(0.002)

  return wait


def kill_and_resume(starter, arguments, moments, log):
  """Kills a command at each moment and runs it again, at last to its end; (kills, exit code).

  starter: `start`, or a function like it. moments: functions of the process that return when it is
  time. A run that ends before its moment ends the series.
  """
  kills = 0
  for moment in moments:
    process = starter(arguments, log)
    moment(process)
    if process.poll() is not None:
      return kills, process.wait()
    process.kill()
    process.wait()
    kills += 1
  return kills, starter(arguments, log).wait()


def differences(workdir, reference) -> list[str]:
  """What tells a run from another one: parameters bit for bit, and metrics except times."""
  import jax

  from adiff.machine import checkpoint, logs

  different = []
  for ema in (False, True):
    trees = [checkpoint.restore_params(place, ema=ema) for place in (workdir, reference)]
    if trees[0][0] != trees[1][0]:
      different.append(f'newest step {trees[0][0]} and {trees[1][0]}')
    leaves = [jax.tree_util.tree_leaves_with_path(tree) for _, tree in trees]
    for (path, one), (_, other) in zip(*leaves, strict=True):
      if one.tobytes() != other.tobytes():
        different.append(f'{"average" if ema else "parameters"} {jax.tree_util.keystr(path)}')
  rows = [
    [{k: v for k, v in row.items() if not k.startswith('time/')} for row in logs.read(place)]
    for place in (workdir, reference)
  ]
  if rows[0] != rows[1]:
    different.append(f'metric lines ({len(rows[0])} and {len(rows[1])})')
  return different


def differing(one, other) -> list[str]:
  """Names of the files, at any depth, that two folders do not share byte by byte."""
  names = {
    str(path.relative_to(top)) for top in (one, other) for path in top.rglob('*') if path.is_file()
  }
  read = lambda path: path.read_bytes() if path.exists() else None
  return sorted(name for name in names if read(one / name) != read(other / name))


# What a row of the report says.


def say(text):
  """Tells how far an entry is."""
  print(f'[soak] {text}', flush=True)


def here():
  """What checkout and which machine a row comes from."""
  from adiff.machine import provenance

  return {'commit': provenance.commit(), 'hardware': provenance.hardware()}


def failed(code, log):
  """The row of a run that did not end well."""
  last = pathlib.Path(f'{log}.err').read_text().strip().splitlines()[-1:]
  return {'passed': False, 'exit code': code, 'said': ' '.join(last)}


def made_by(workdir):
  """As `here`, of a run that wrote it down."""
  report = json.loads((workdir / 'eval.json').read_text())
  return {key: report[key] for key in ('commit', 'hardware')}
