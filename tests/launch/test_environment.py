"""launch/environment.sh: made once, remembered, and never cleared where somebody else made it."""

import shutil

import pytest
from launchers import EVAL, stamp

LOCAL = ('launch/local.sh', '--config=configs/toy.py', '--workdir=runs/toy')
BUILDER = '''#!/bin/bash
case "$*" in
  *'print(sys.executable)'*) echo "$0" ;;
  '-m venv '*) mkdir -p "$3/bin" && ln -s "${0%/*}/python" "$3/bin/python" ;;
esac
'''


@pytest.fixture
def venv(desk):
  """The environment of the desk, with a file that is somebody's."""
  (desk.folder / 'venv' / 'mine').write_text('')
  return desk.folder / 'venv'


def made(desk, **variables):
  """Runs launch/local.sh with an interpreter that makes stand-ins for environments."""
  builder = desk.folder / 'builder'
  builder.write_text(BUILDER)
  builder.chmod(0o755)
  if not (desk.folder / 'ln').exists():
    (desk.folder / 'ln').symlink_to(shutil.which('ln'))
  return desk.run(LOCAL, ADIFF_PYTHON=str(builder), **variables)


@pytest.mark.parametrize('launcher', [LOCAL, EVAL], ids=['local', 'eval'])
def test_an_environment_that_another_made_is_used_and_left_as_it_is(desk, venv, launcher):
  (venv / 'adiff.stamp').unlink()
  done = desk.run(launcher)
  assert done.returncode == 0 and 'used as it is' in done.stderr
  assert (venv / 'mine').exists() and not (venv / 'adiff.stamp').exists()
  assert [call.tool for call in desk.calls('adiff.main')] == ['python']
  assert not desk.calls('pip install') and not desk.calls('-m venv')


@pytest.mark.parametrize('what', ['no jax', 'no interpreter', 'a file'])
def test_a_folder_that_is_something_else_is_refused_and_left_as_it_is(desk, venv, what):
  (venv / 'adiff.stamp').unlink()
  variables = {}
  if what == 'no jax':
    desk.answer('python', 'find_spec', 1)
  elif what == 'no interpreter':
    (venv / 'bin' / 'python').unlink()
  else:
    variables['ADIFF_VENV'] = str(venv / 'mine')
  done = made(desk, **variables)
  assert done.returncode == 2 and 'is left alone' in done.stderr
  assert (venv / 'mine').exists() and not desk.calls('adiff.main')


def test_one_of_ours_is_made_again_for_an_accelerator_and_remembers_it(desk, venv):
  assert made(desk, ADIFF_EXTRA='cuda').returncode == 0
  assert not (venv / 'mine').exists()
  assert (venv / 'adiff.stamp').read_text() == f'{stamp().strip()} cuda\n'
  (call,) = desk.calls('.[cuda]')
  assert '-c requirements.lock' in call.line and len(desk.calls('adiff.main')) == 1
  assert made(desk).returncode == 0
  assert len(desk.calls('pip install')) == 3 and len(desk.calls('adiff.main')) == 2


def test_one_whose_making_was_killed_is_made_to_its_end(desk, venv):
  desk.answer('python', 'requirements.lock', 1, 0)
  assert made(desk, ADIFF_EXTRA='tpu').returncode == 1
  assert (venv / 'adiff.stamp').read_text() == '0 0 tpu\n'
  assert made(desk).returncode == 0
  assert (venv / 'adiff.stamp').read_text() == f'{stamp().strip()} tpu\n'


@pytest.mark.skipif(shutil.which('flock') is None, reason='there is no flock')
def test_of_two_launchers_at_once_one_makes_it_and_the_other_waits(desk, venv):
  (desk.folder / 'flock').symlink_to(shutil.which('flock'))
  desk.answer('python', 'requirements.lock', 1)
  assert made(desk, ADIFF_EXTRA='tpu').returncode == 1
  desk.answer('python', 'requirements.lock', 0)
  builder = desk.folder / 'builder'
  builder.write_text(BUILDER.replace("'-m venv '*) ", "'-m venv '*) sleep 2; "))
  before = len(desk.calls('pip install'))
  both = [desk.start(LOCAL, ADIFF_PYTHON=str(builder)) for _ in range(2)]
  said = [process.communicate(timeout=20)[1] for process in both]
  assert [process.returncode for process in both] == [0, 0]
  assert sorted('waiting for it' in words for words in said) == [False, True]
  assert len(desk.calls('pip install')) == before + 3 and len(desk.calls('adiff.main')) == 2


def test_an_accelerator_that_there_is_not_is_refused(desk, venv):
  done = made(desk, ADIFF_EXTRA='gpu')
  assert done.returncode == 2 and 'write cuda, cuda13 or tpu' in done.stderr
  assert (venv / 'mine').exists()
