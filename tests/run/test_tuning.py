"""The settings of sampling that a row of a study takes."""

import os
import pathlib
import shutil

import pytest

from adiff.machine import json_file
from adiff.run import study, study_runs, tuning


def test_each_row_takes_the_settings_that_suit_a_network_of_another_seed(
  mine, trained, undrawn, monkeypatch
):
  out = mine(tuned="tuned=('plan.steps=2', 'plan.steps=4;guidance.first=1.0'),")

  def evaluated(workdir, settings, data):
    good = ('4' in settings[0]) == ('shallow' in workdir)
    folder = tuning.folder(workdir, settings)
    trained.write(folder, 1.0 if good else 2.0, trained.seen[0])

  monkeypatch.setattr(tuning, '_evaluate', evaluated)
  assert study.study('mine', out) == 0
  assert [c.seed for c in trained.seen[:2]] == [study_runs.TUNED_SEED] * 2
  assert [c.plan.steps for c in trained.seen[2:]] == [2, 4] * 2
  told = json_file.read(os.path.join(out, 'study.json'))
  assert {run['seed'] for run in told['measured']} == {0, 1}
  # What a run came to is all that is read of it: the rest may be gone.
  for place in pathlib.Path(out).glob('*/evals'):
    shutil.rmtree(place)
  (pathlib.Path(out) / 'b_shallow-seed1' / study.RESULT).unlink()
  assert study.study('mine', out) == 0
  assert len(trained.seen) == 7 and trained.seen[-1].plan.steps == 4


def test_settings_that_a_network_has_already_are_not_evaluated_again(
  mine, trained, undrawn, monkeypatch
):
  out = mine(tuned="tuned=('plan.steps=2', 'plan.steps=32'),")  # as the rows have it
  asked = []

  def evaluated(workdir, settings, data):
    asked.append(settings)
    trained.write(tuning.folder(workdir, settings), 1e9, trained.seen[0])

  monkeypatch.setattr(tuning, '_evaluate', evaluated)
  assert study.study('mine', out) == 0
  assert asked == [('plan.steps=2',)] * 2
  assert {c.plan.steps for c in trained.seen if c.seed != study_runs.TUNED_SEED} == {32}


def test_settings_whose_evaluation_was_stopped_are_evaluated_again(
  mine, trained, undrawn, monkeypatch
):
  out = mine(tuned="tuned=('plan.steps=2', 'plan.steps=4'),")

  def evaluated(workdir, settings, data, stopped=('a-tuned', 'plan.steps=4')):
    folder = tuning.folder(workdir, settings)
    stop = (os.path.basename(workdir), *settings) == stopped
    trained.write(folder, 1.0 if '4' in settings[0] else 2.0, trained.seen[0], complete=not stop)
    if stop:
      raise SystemExit(75)

  monkeypatch.setattr(tuning, '_evaluate', evaluated)
  with pytest.raises(SystemExit):
    study.study('mine', out)
  asked = []

  def again(workdir, settings, data):
    asked.append((os.path.basename(workdir), *settings))
    evaluated(workdir, settings, data, stopped=None)

  monkeypatch.setattr(tuning, '_evaluate', again)
  assert study.study('mine', out) == 0
  assert [one for one in asked if one[0] == 'a-tuned'] == [('a-tuned', 'plan.steps=4')]


def test_settings_that_make_samples_without_numbers_are_not_taken_nor_after_a_stop(
  mine, trained, undrawn, monkeypatch
):
  out, stops = mine(tuned="tuned=('plan.steps=2', 'plan.steps=4'),"), [True]

  def evaluated(workdir, settings, data):
    folder = tuning.folder(workdir, settings)
    if '2' in settings[0]:  # the page comes to its end, and says what failed
      trained.write(folder, 0.0, trained.seen[0], Quality='not finite')
      raise FloatingPointError('the samples are not finite')
    if stops:
      raise SystemExit(stops.pop())
    trained.write(folder, 5.0, trained.seen[0])

  monkeypatch.setattr(tuning, '_evaluate', evaluated)
  with pytest.raises(SystemExit):
    study.study('mine', out)
  assert study.study('mine', out) == 0
  assert {c.plan.steps for c in trained.seen if c.seed != study_runs.TUNED_SEED} == {4}


def test_a_metric_that_evaluations_have_not_is_told(mine, trained, undrawn, monkeypatch):
  out = mine(tuned="tuned=('plan.steps=2',), metric=('taught', 'T', 'low'),")
  monkeypatch.setattr(tuning, '_evaluate', lambda workdir, settings, data: trained.write(
    tuning.folder(workdir, settings), 1.0, trained.seen[0]))
  with pytest.raises(ValueError, match='study mine chooses settings by taught, of which .* says'):
    study.study('mine', out)


def test_a_row_that_is_not_tuned_keeps_what_its_config_says(mine, trained, undrawn, monkeypatch):
  out = mine(tuned="tuned=('plan.steps=2',), untuned=('a',),")
  monkeypatch.setattr(tuning, '_value', lambda *_: 0.0)
  assert study.study('mine', out) == 0
  assert [c.seed for c in trained.seen] == [study_runs.TUNED_SEED, 0, 0, 1, 1]
  assert [c.plan.steps for c in trained.seen[1:]] == [32, 2] * 2
