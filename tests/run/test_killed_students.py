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


def command(folder, name, recipe, solver='heun', teacher='', own=None):
  """That of a run of seconds, whose workdir is folder / name."""
  config = folder / f'{recipe}.py'
  config.write_text(CONFIG.format(recipe=recipe, solver=solver, teacher=teacher, own=own or {}))
  sizes = [flag for flag in binary.TINY if not flag.startswith('--config=')]
  more = {'train.steps': STEPS, 'train.checkpoint_every': 10, 'eval.num': 64, 'plan.steps': 2}
  flags = [f'--config.{key}={value}' for key, value in more.items()]
  return [f'--config={config}', *sizes, *flags, f'--workdir={folder / name}']


def said(log):
  return ' '.join(log.with_name(f'{log.name}.{kind}').read_text() for kind in ('out', 'err'))


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
  folder = tmp_path_factory.mktemp('teacher')
  code = binary.start(command(folder, 'run', 'plain'), folder / 'log').wait(timeout=300)
  assert code == 0, said(folder / 'log')
  return folder / 'run'


@pytest.mark.parametrize('recipe, own, roles', [
  ('matching', dict(every=3), {base.DENOISER, base.TEACHER, base.CRITIC}),
  ('shortcut', {}, {base.DENOISER, base.TEACHER}),
])
def test_a_student_that_is_killed_ends_bit_for_bit_as_one_that_was_left_alone(
  recipe, own, roles, teacher, tmp_path
):
  started = [
    command(tmp_path, name, recipe, 'flow_map', str(teacher), own)
    for name in ('whole', 'killed')
  ]
  assert binary.start(started[0], tmp_path / 'whole_log').wait(timeout=300) == 0, (
    said(tmp_path / 'whole_log')
  )
  draw, digests = random.Random(0), tmp_path / 'killed' / 'checkpoints' / 'digests'
  moments = [runs.after(draw.uniform(0, 0.3), digests), runs.after(0, digests / '30.json')]
  log = tmp_path / 'killed_log'
  kills, code = runs.kill_and_resume(binary.start, started[1], moments, log)
  assert code == 0 and kills >= 1 and 'resuming' in said(log), said(log)
  places = tmp_path / 'killed', tmp_path / 'whole'
  assert runs.differences(*places) == []
  (step, ours), (_, theirs) = (checkpoint.restore_arrays(place) for place in places)
  assert step == STEPS and set(theirs['params']) == roles
  jax.tree.map(np.testing.assert_array_equal, ours, theirs)
