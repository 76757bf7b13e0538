"""launch/tpu_pod.sh: slices are asked for, waited for, replaced; hosts run and resume."""

import re
import shutil
import subprocess
import time

import pytest
from launchers import POD, ROOT, scripted, wait_until


def test_a_slice_is_asked_for_once_and_waited_for(desk):
  desk.answer('gcloud', 'queued-resources describe', (1, 'ERROR: NOT_FOUND: no such resource'),
              'WAITING_FOR_RESOURCES', 'PROVISIONING', 'ACTIVE')
  desk.answer('gcloud', 'tpu-vm describe', 'CREATING', 'READY')
  call = desk.run(POD, SPOT='1', PROJECT='ours', SETUP='mount it')
  assert call.returncode == 0
  for state in ('NONE', 'WAITING_FOR_RESOURCES', 'PROVISIONING', 'CREATING', 'READY'):
    assert f'slice toy: {state}' in call.stderr
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
  call = desk.run(POD)
  assert call.returncode == 1 and 'says why' in call.stderr
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
