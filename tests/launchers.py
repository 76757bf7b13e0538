"""Launchers on a desk of their own: no cloud is asked.

Stand-ins lie on PATH, write down how they were called, and answer as told.
"""

import contextlib
import dataclasses
import functools
import json
import pathlib
import shutil
import subprocess
import sys
import time

import pytest
import yaml
from absl import flags
from absl.testing import flagsaver

from adiff import main

ROOT = pathlib.Path(__file__).resolve().parents[1]
SCRIPTS = sorted([*ROOT.glob('launch/*.sh'), *ROOT.glob('launch/*.sbatch')])
ARGUMENTS = ('--config=configs/toy.py:block-masked', '--config.name=two words')
POD = ('launch/tpu_pod.sh', 'toy', *ARGUMENTS, '--workdir=/mnt/runs/toy')
SLURM = ('launch/slurm.sbatch', *ARGUMENTS, '--workdir=/mnt/runs/toy')
K8S = ('launch/k8s.sh', 'toy', *ARGUMENTS, '--workdir=/runs/toy')
XPK = ('launch/xpk.sh', 'toy', *ARGUMENTS, '--workdir=/mnt/runs/toy')
EVAL = ('launch/eval.sh', '/mnt/runs/toy', '--set=plan.steps=4')
VARIABLES = {
  'launch/tpu_pod.sh': {'ZONE': 'us-west4-a', 'ACCELERATOR': 'v5litepod-16'},
  'launch/slurm.sbatch': {'SLURM_JOB_ID': '17', 'PYTHON': sys.executable},
  'launch/k8s.sh': {'IMAGE': 'mine/adiff:1', 'CLAIM': 'shared', 'HOSTS': '4'},
  'launch/xpk.sh': {
    'CLUSTER': 'mine', 'ZONE': 'us-west4-a', 'TPU_TYPE': 'v5litepod-16', 'IMAGE': 'mine/adiff:1',
  },
  'launch/eval.sh': {},
}
LAUNCHERS = (POD, SLURM, K8S, XPK, EVAL)
NAMES = [one[0] for one in LAUNCHERS]
# All that the scripts may call besides the stand-ins: this machine may have the real ones.
ORDINARY = 'awk bash cat cksum dirname env git grep gzip mkdir mktemp rm seq sleep'.split()
STAND_IN = f'''#!{sys.executable} -SE
import fcntl, json, os, signal, sys
here = os.path.dirname(os.path.realpath(__file__))
me = os.path.basename(sys.argv[0])
said = sys.stdin.read() if sys.argv[1:2] == ['apply'] else ''
file = open(here + '/answers.json', 'r+')
fcntl.flock(file, fcntl.LOCK_EX)  # several may be called at a time
answers = json.load(file)
code, out = 0, ''
for tool, words, queue in answers:
  if tool == me and words in ' '.join(sys.argv[1:]):
    code, out = queue.pop(0) if len(queue) > 1 else queue[0]
    break
file.seek(0)
file.truncate()
json.dump(answers, file)
file.close()
if out == 'until told':
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(code))
with open(here + '/calls', 'a') as file:
  devices = os.environ.get('JAX_LOCAL_DEVICE_IDS', '')
  print(json.dumps([me, sys.argv[1:], said, devices]), file=file)
if out == 'until told':
  signal.pause()
print(out, file=sys.stderr if code else sys.stdout)
sys.exit(code)
'''


@dataclasses.dataclass(frozen=True)
class Call:
  """One call of a stand-in."""

  tool: str
  words: list
  stdin: str
  local_devices: str

  @property
  def line(self):
    """Its words, with spaces between."""
    return ' '.join([self.tool, *self.words])


@dataclasses.dataclass(frozen=True)
class Desk:
  """A folder of stand-ins, and the way to start a launcher that sees nothing else."""

  folder: pathlib.Path

  def put(self, *names):
    """Puts stand-ins on PATH."""
    for name in names:
      path = self.folder / name
      path.write_text(STAND_IN)
      path.chmod(0o755)

  def answer(self, tool, words, *answers):
    """What a call with these words gets, one answer after another; the last one stays.

    An answer is an exit code, a text, or (exit code, text). What is told last is asked first.
    """
    path = self.folder / 'answers.json'
    pairs = [
      one if isinstance(one, tuple) else (one, '') if isinstance(one, int) else (0, one)
      for one in answers
    ]
    path.write_text(json.dumps([[tool, words, pairs], *json.loads(path.read_text())]))

  def calls(self, words='') -> list:
    """The calls whose line has these words."""
    path = self.folder / 'calls'
    lines = path.read_text().splitlines() if path.exists() else []
    calls = [Call(*json.loads(line)) for line in lines]
    return [call for call in calls if words in call.line]

  def start(self, launcher, **variables):
    """Starts a launcher with its arguments."""
    environment = {
      'PATH': str(self.folder), 'HOME': str(self.folder), 'PAUSE': '0',
      'ADIFF_VENV': str(self.folder / 'venv'), **VARIABLES.get(launcher[0], {}), **variables,
    }
    return subprocess.Popen(
      ['bash', *launcher], cwd=ROOT, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
      stderr=subprocess.PIPE, env={k: v for k, v in environment.items() if v is not None},
    )

  def run(self, launcher, **variables) -> subprocess.CompletedProcess:
    """Runs a launcher to its end."""
    process = self.start(launcher, **variables)
    out, err = process.communicate(timeout=20)
    return subprocess.CompletedProcess(launcher, process.returncode, out, err)


@functools.cache
def stamp():
  """What launch/environment.sh writes into an environment that is up to date."""
  command = 'cat requirements.lock setup.cfg pyproject.toml | cksum'
  return subprocess.check_output(command, shell=True, cwd=ROOT, text=True)


def desk(folder):
  """Stand-ins for every tool; the interpreter of launch/local.sh is one too."""
  (folder / 'venv' / 'bin').mkdir(parents=True)
  for name in ORDINARY:
    (folder / name).symlink_to(shutil.which(name))
  (folder / 'python3').symlink_to(sys.executable)
  (folder / 'answers.json').write_text('[]')
  desk = Desk(folder)
  desk.put('gcloud', 'srun', 'scontrol', 'kubectl', 'xpk', 'python')
  desk.answer('gcloud', 'queued-resources describe', 'ACTIVE')
  desk.answer('gcloud', 'tpu-vm describe', 'READY')
  (folder / 'venv' / 'bin' / 'python').symlink_to(folder / 'python')
  (folder / 'venv' / 'adiff.stamp').write_text(stamp())
  return desk


def wait_until(happened):
  """Returns once happened() is true, or after ten seconds."""
  end = time.monotonic() + 10
  while not happened() and time.monotonic() < end:
    time.sleep(0.01)


def scripted(desk, *codes):
  """The exit codes of adiff.main, one call after another, however it is called."""
  for tool in ('gcloud', 'srun', 'python'):
    desk.answer(tool, 'adiff.main', *codes)


@contextlib.contextmanager
def parsed(words):
  """The flags of the binary, as they are after it has read these words."""
  argv = ['adiff', *words]
  with flagsaver.flagsaver(), pytest.MonkeyPatch.context() as patch:
    patch.setattr(sys, 'argv', argv)  # flags of configs look there
    main._parse(argv)
    yield flags.FLAGS


def job(desk):
  """The JobSet that launch/k8s.sh hands over."""
  desk.run(K8S)
  (call,) = desk.calls('kubectl apply')
  return yaml.safe_load(call.stdin)


def pod(jobset):
  """The specification of its processes."""
  (job,) = jobset['spec']['replicatedJobs']
  return job['template']['spec']['template']['spec']
