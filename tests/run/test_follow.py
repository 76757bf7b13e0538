"""The follower: every checkpoint once, whatever is killed."""

import json
import os
import pathlib
import threading
import time

import binary
import pytest

from adiff.machine import checkpoint, files, hosts, manifest
from adiff.run import follow, stopped
from adiff.run import workdir as workdir_lib

STEPS = (60, 120, 180, 240, 300)
MORE = ('--config.train.keep=9', '--config.train.checkpoint_every=60')


def evaluated(workdir):
  return sorted(follow.done(follow.place(workdir)))


@pytest.mark.soak
def test_a_run_and_its_follower_are_killed_and_every_checkpoint_is_evaluated_once(tmp_path):
  workdir, tries = tmp_path / 'run', iter(range(100))
  train = lambda: binary.start((*binary.TINY, *MORE, f'--workdir={workdir}'), tmp_path / 'train')
  watch = lambda: binary.start(
    ('--mode=follow', f'--workdir={workdir}', '--set=eval.num=64'), tmp_path / f'f{next(tries)}'
  )
  trainer = train()
  while not (checkpoint.latest_step(workdir) or 0) >= 120:
    time.sleep(0.05)
  follower = watch()
  while not os.path.isdir(workdir / 'eval') or not evaluated(workdir):
    assert follower.poll() is None
    time.sleep(0.05)
  written = os.stat(workdir / 'eval' / str(evaluated(workdir)[0]) / 'eval.json')
  trainer.kill()
  follower.kill()
  trainer.wait()
  follower.wait()
  trainer, follower = train(), watch()
  assert trainer.wait(timeout=120) == 0 and follower.wait(timeout=180) == 0
  assert evaluated(workdir) == list(STEPS)
  assert os.stat(workdir / 'eval' / str(evaluated(workdir)[0]) / 'eval.json') == written
  for step in STEPS:
    report = json.loads((workdir / 'eval' / str(step) / 'eval.json').read_text())
    assert report['step'] == step and report['numbers']['nats'] > 0
    assert (workdir / 'eval' / str(step) / 'report.html').exists()


@pytest.fixture
def run(tmp_path):
  """A workdir with three sealed checkpoints, as far as the follower can see."""
  for step in (1, 2, 3):
    os.makedirs(manifest.folder(tmp_path, step))
    manifest.write(tmp_path, step)
  return tmp_path


def test_a_damaged_or_deleted_checkpoint_is_passed_over(run):
  def evaluate(step, folder):
    if step == 1:
      raise manifest.Damaged('flipped')
    if step == 2:
      os.rmdir(manifest.folder(run, 2))
      raise ValueError('no checkpoint 2')

  follow.follow(run, 3, evaluate, {})
  assert evaluated(run) == [3]
  assert sorted(os.listdir(run / 'eval')) == ['3', 'lock', 'made_by.json']


def test_an_evaluation_that_a_kill_left_half_in_a_bucket_is_made_anew(run, bucket):
  top = f'{bucket}/evaluations'
  with files.whole(f'{top}/2/eval.json') as file:
    file.write('{}')
  make = lambda step, folder: (pathlib.Path(folder) / 'eval.json').touch()
  follow.each(run, top, (1, 2), make, {})
  assert follow.done(top) == {1, 2}


@pytest.mark.parametrize('theirs', [(2,), (3,), (1, 2, 3)])
def test_a_checkpoint_that_another_host_has_claimed_is_left_to_it(run, theirs, monkeypatch):
  others = {str(run / 'eval' / str(step)) for step in theirs}
  monkeypatch.setattr(hosts, 'claim', lambda what: what not in others)
  seen = []
  follow.follow(run, 3, lambda step, folder: seen.append(step), {})
  assert seen == evaluated(run) == [step for step in (1, 2, 3) if step not in theirs]
  follow.each(run, run / 'eval', (1, 2, 3), lambda step, folder: seen.append(step), {})
  assert len(seen) == 3 - len(theirs), 'what is there is not evaluated again'
  others.clear()  # they were killed: the last one may be done, and one before it is not
  follow.follow(run, 3, lambda step, folder: seen.append(step), {})
  assert sorted(seen) == evaluated(run) == [1, 2, 3]


def test_a_mistake_in_the_evaluation_itself_is_raised(run):
  def evaluate(step, folder):
    raise ValueError('no such key')

  with pytest.raises(ValueError, match='no such key'):
    follow.follow(run, 3, evaluate, {})


def test_evaluations_with_other_settings_are_not_put_beside_the_old_ones(run):
  settings = lambda num: {'eval': {'num': num, 'split': 'test'}}
  seen = []
  follow.follow(run, 1, lambda step, folder: seen.append(step), settings(64))
  with pytest.raises(ValueError, match='eval.num = 64, but here it is 32; delete'):
    follow.follow(run, 3, lambda step, folder: seen.append(step), settings(32))
  follow.follow(run, 3, lambda step, folder: seen.append(step), settings(64))
  assert seen == [1, 2, 3]


def test_a_checkpoint_that_is_still_being_written_waits(run, monkeypatch):
  monkeypatch.setattr(follow, 'PAUSE', 0.01)
  digests = manifest.path(run, 3)
  os.rename(digests, f'{digests}.later')
  seen = []
  threading.Timer(0.3, lambda: os.rename(f'{digests}.later', digests)).start()
  follow.follow(run, 3, lambda step, folder: seen.append((step, os.path.exists(digests))), {})
  assert seen == [(1, False), (2, False), (3, True)]


def test_two_followers_or_two_runs_on_one_workdir_are_refused_with_the_owners_name(tmp_path):
  with workdir_lib.lock(tmp_path):
    with pytest.raises(ValueError, match=f'is being trained by process {os.getpid()} on'):
      with workdir_lib.lock(tmp_path):
        pass
    with workdir_lib.lock(tmp_path / 'eval', 'is being written'):  # training and following may
      pass
  with workdir_lib.lock(tmp_path):
    pass


def test_it_ends_when_the_run_was_stopped_for_good_and_all_it_left_is_evaluated(run, monkeypatch):
  monkeypatch.setattr(follow, 'PAUSE', 0.01)
  seen, after = [], []
  threading.Timer(0.2, lambda: (run / stopped.FILE).touch()).start()  # by hand
  follow.follow(run, 9, lambda step, folder: seen.append(step), {}, lambda: after.append(len(seen)))
  assert seen == after == [1, 2, 3]


def test_a_loss_that_is_not_finite_stops_a_run_for_good_until_it_goes_on(tmp_path):
  stopped.leave(tmp_path, 'loss is not finite at step 3')
  assert stopped.is_there(tmp_path) and 'step 3' in (tmp_path / stopped.FILE).read_text()
  stopped.take_away(tmp_path)
  stopped.take_away(tmp_path)
  assert not stopped.is_there(tmp_path)
