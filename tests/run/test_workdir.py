"""What a workdir says of itself: claimed in whatever order it is killed, and fixed where its run
learns from it."""

import pytest
import tiny

from adiff.machine import files
from adiff.run import build
from adiff.run import workdir as workdir_lib


@pytest.mark.parametrize('written', [0, 1])
def test_a_workdir_that_is_killed_while_it_is_claimed_is_claimed_again(
  tmp_path, monkeypatch, written
):
  parts = build.build(tiny.config('block-masked').lock())
  write = files.write_json

  def killed(path, value):
    if len(list(tmp_path.iterdir())) == written:
      raise KeyboardInterrupt
    write(path, value)

  with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
    patched.setattr(files, 'write_json', killed)
    workdir_lib.claim(tmp_path, parts.config, parts.contract)
  assert not workdir_lib.is_made(tmp_path)
  workdir_lib.claim(tmp_path, parts.config, parts.contract)
  assert workdir_lib.load(tmp_path) == parts.config


@pytest.mark.parametrize(('key', 'value'), [
  ('plan.steps', '3'), ('plan.budgets', '[1, 2, 2]'), ('solver.name', 'first_order')
])
def test_what_a_student_is_rolled_out_by_is_fixed_in_training_and_free_elsewhere(
  tmp_path, key, value
):
  def claim(config, **changes):
    with config.unlocked():
      config.update(changes)
    parts = build.build(config.lock())
    folder = tmp_path / parts.config.recipe.name
    folder.mkdir(exist_ok=True)
    workdir_lib.claim(folder, parts.config, parts.contract)
    return workdir_lib.load(folder)

  def changed(config):
    config = config.copy_and_resolve_references().unlock()
    workdir_lib.set_key(config, key, value)
    return config

  student = claim(
    tiny.config('block-gaussian'), recipe=dict(name='matching', teacher='untrained'),
    solver=dict(name='consistency'),
  )
  with pytest.raises(ValueError, match=f'made by another config: {key} is'):
    claim(changed(student))
  claim(student)
  assert workdir_lib.load(tmp_path / 'matching', [f'{key}={value}']) != student
  claim(changed(claim(tiny.config('block-gaussian'))))  # of a recipe that takes no plan
