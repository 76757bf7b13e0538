"""Whose mistake an exception is: where the module lies decides, not what folders are called."""

import inspect
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adiff
from adiff import main
from adiff.machine import files, mistakes

HOME = pathlib.Path(adiff.__file__).parent


def raised(place, error='ValueError("wrong")'):
  """An exception that a module at `place` raises."""
  try:
    exec(compile(f'raise {error}', str(place), 'exec'), {'jax': jax, 'jnp': jnp})
  except Exception as caught:
    return caught


@pytest.mark.parametrize('place', [
  HOME / 'main.py', HOME / 'run' / 'deep' / 'new.py', HOME.parent / 'configs' / 'toy.py',
  HOME.parent / 'launch' / 'convert.py',
])
def test_an_error_of_the_package_or_of_the_folders_beside_it_is_told(place):
  assert mistakes.ours(raised(place))


@pytest.mark.parametrize('place', [
  HOME.parent / '.venv' / 'lib' / 'python3' / 'site-packages' / 'numpy' / 'core.py',
  '/srv/adiff/.venv/lib/python3/site-packages/flax/linen.py',
  '/srv/adiff/configs/site-packages/orbax/configs/read.py',
  '/usr/lib/python3/adiff/other.py', HOME.parent / f'{HOME.name}_tools' / 'new.py', '<string>',
])
def test_an_error_of_a_library_is_none_of_ours_wherever_it_is_installed(place):
  assert not mistakes.ours(raised(place))
  assert not mistakes.told(raised(place))


def test_real_ones_are_told_apart(tmp_path):
  with pytest.raises(ValueError) as ours:
    files.names(_link(tmp_path))
  with pytest.raises(ValueError) as theirs:
    np.stack([])
  assert mistakes.ours(ours.value) and not mistakes.ours(theirs.value)


def test_what_jax_raises_when_it_is_called_by_the_package_is_none_of_ours():
  before = jax.config.jax_traceback_filtering
  jax.config.update('jax_traceback_filtering', 'quiet_remove_frames')  # as where nothing is set
  wrong = raised(HOME / 'run' / 'new.py', 'jax.vmap(max)(*map(jnp.ones, (3, 4)))')
  try:
    mistakes.keep_frames()
    kept = raised(HOME / 'run' / 'new.py', 'jax.vmap(max)(*map(jnp.ones, (3, 4)))')
  finally:
    jax.config.update('jax_traceback_filtering', before)
  assert mistakes.ours(wrong), 'JAX leaves its own frames in by itself: keep_frames is not needed'
  assert not mistakes.ours(kept) and 'inconsistent sizes' in str(kept)


def test_a_program_ends_in_a_sentence_where_its_user_is_mistaken_and_else_with_a_traceback(capsys):
  with pytest.raises(SystemExit, match='2'), mistakes.in_a_sentence():
    raise raised(HOME / 'run' / 'new.py', 'OSError(28, "No space left", "a\\nb")')
  assert capsys.readouterr().err == "adiff: [Errno 28] No space left: 'a\\nb'\n"
  with pytest.raises(ValueError), mistakes.in_a_sentence():
    np.stack([])


@pytest.mark.parametrize('program', [main.run, mistakes.in_a_sentence])
def test_programs_keep_the_frames_of_libraries(program):
  assert 'keep_frames()' in inspect.getsource(program)


def test_what_the_system_refuses_is_told_whoever_asked_it():
  assert mistakes.told(raised('/usr/lib/python3/shutil.py', 'OSError(28, "No space left")'))


def _link(folder):
  (folder / 'link').symlink_to(folder)
  return folder / 'link'
