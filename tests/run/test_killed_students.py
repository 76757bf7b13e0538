"""Recipes with several roles, killed while they train: resumed, they are where they would be."""

import random

import binary
import jax
import numpy as np
import pytest

from adiff.learn import base
from adiff.machine import checkpoint
from launch import runs

pytestmark = pytest.mark.soak

STEPS = 60
CONFIG = """
from configs import base, toy

def get_config():
  c = toy.get_config('block-gaussian').unlock()
  if {recipe!r} != 'plain':
    c.model.told, c.cond_dropout = 'difference', 0.0
    base.choose(c, 'solver', {solver!r})
    base.choose(c, 'recipe', {recipe!r}, teacher={teacher!r}, **{own!r})
  return c.lock()
"""


def written(folder, recipe, solver='heun', teacher='', own=None):
  """The flag of a config of gaussian tokens."""
  config = folder / f'{recipe}.py'
  config.write_text(CONFIG.format(recipe=recipe, solver=solver, teacher=teacher, own=own or {}))
  return [f'--config={config}']


def command(config, workdir):
  """That of a run of seconds; config: the flags that say which."""
  sizes = [flag for flag in binary.TINY if not flag.startswith('--config=')]
  more = {'train.steps': STEPS, 'train.checkpoint_every': 10, 'eval.num': 64, 'plan.steps': 2}
  flags = [f'--config.{key}={value}' for key, value in more.items()]
  return [*config, *sizes, *flags, f'--workdir={workdir}']


def said(log):
  return ' '.join(log.with_name(f'{log.name}.{kind}').read_text() for kind in ('out', 'err'))


def finished(config, folder):
  """The workdir of a run that nobody disturbs."""
  code = binary.start(command(config, folder / 'run'), folder / 'log').wait(timeout=300)
  assert code == 0, said(folder / 'log')
  return folder / 'run'


def check_killed(config, roles, folder):
  """A run of a config that is killed, and resumed, ends as one that was left alone."""
  whole, killed = finished(config, folder), folder / 'killed'
  draw, digests = random.Random(0), killed / 'checkpoints' / 'digests'
  moments = [runs.after(draw.uniform(0, 0.3), digests), runs.after(0, digests / '30.json')]
  log = folder / 'killed_log'
  kills, code = runs.kill_and_resume(binary.start, command(config, killed), moments, log)
  assert code == 0 and kills >= 1 and 'resuming' in said(log), said(log)
  assert runs.differences(killed, whole) == []
  (step, ours), (_, theirs) = (checkpoint.restore_arrays(place) for place in (killed, whole))
  assert step == STEPS and set(theirs['params']) == roles
  jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
  folder = tmp_path_factory.mktemp('teacher')
  return finished(written(folder, 'plain'), folder)


@pytest.mark.parametrize('recipe, own, roles', [
  ('matching', dict(every=3), {base.DENOISER, base.TEACHER, base.CRITIC}),
  ('shortcut', {}, {base.DENOISER, base.TEACHER}),
])
def test_a_student_that_is_killed_ends_bit_for_bit_as_one_that_was_left_alone(
  recipe, own, roles, teacher, tmp_path
):
  check_killed(written(tmp_path, recipe, 'flow_map', str(teacher), own), roles, tmp_path)


def test_so_does_a_student_of_symbols(tmp_path_factory, tmp_path):
  place = finished([f'--config={binary.ROOT}/configs/toy.py:ar'], tmp_path_factory.mktemp('ar'))
  config = [
    f'--config={binary.ROOT}/configs/few_steps.py:distilled_decoding', '--config.recipe.steps=2',
    f'--config.recipe.teacher={place}',
  ]
  check_killed(config, {base.DENOISER, base.TEACHER}, tmp_path)
