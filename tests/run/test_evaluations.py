"""Where evaluations go: never over a run's own page, and several checkpoints side by side."""

import contextlib
import json
import os
import types

import numpy as np
import pytest

from adiff.judge import section
from adiff.learn import plain
from adiff.machine import checkpoint, files, manifest, sharding, weights
from adiff.run import curves, evaluate, evaluations, follow, output, report

SAME = ()
CHANGED = ('--set=plan.steps=4', '--average=raw')


@pytest.fixture
def workdir(tmp_path):
  """A run with a page of its own and three sealed checkpoints, of which the second is the best."""
  top = tmp_path / 'run'
  for step in (25, 50, 75):
    os.makedirs(manifest.folder(top, step))
    manifest.write(top, step)
  for name in ('config.json', 'eval.json', 'report.html'):
    (top / name).write_text('{}')
  (top / 'contract.json').write_text('{"data": "f"}')
  files.write_json(top / 'checkpoints' / 'measured.json', {
    '25': {'nats': 3.0}, '50': {'nats': 1.0}, '75': {'nats': None}, '99': {'nats': 0.0},
  })
  return top


@pytest.mark.parametrize('text, found', [
  (None, (None,)), ('50', (50,)), ('75,25', (25, 75)), ('25,25', (25,)), ('all', (25, 50, 75)),
  ('best', (50,)),
])
def test_a_step_is_a_number_several_the_best_or_all(text, found, workdir):
  assert evaluations.steps(workdir, text) == found


@pytest.mark.parametrize('text, words', [
  ('7', 'no checkpoint of step 7 .* it has 25, 50, 75'), ('25,99', 'no checkpoint of step 99'),
])
def test_a_step_that_is_not_there_is_named(text, words, workdir):
  with pytest.raises(ValueError, match=words):
    evaluations.steps(workdir, text)


def test_the_step_of_weights_alone_is_one_that_is_there(tmp_path):
  weights.write(tmp_path, 40, {'w': np.zeros(2, np.float32)}, 'ema')
  assert evaluations.steps(tmp_path, '40') == evaluations.steps(tmp_path, 'all') == (40,)
  with pytest.raises(ValueError, match='no checkpoint of step 7 .* it has 40'):
    evaluations.steps(tmp_path, '7')


def test_without_a_measured_checkpoint_none_is_the_best(workdir, tmp_path):
  os.remove(workdir / 'checkpoints' / 'measured.json')
  with pytest.raises(ValueError, match='none is the best; write --step=N, one of 25, 50, 75'):
    evaluations.steps(workdir, 'best')
  with pytest.raises(ValueError, match='there is no checkpoint in .* it has none'):
    evaluations.steps(tmp_path / 'other', 'all')


@pytest.mark.parametrize('text', ['all', '25,50'])
def test_what_takes_one_checkpoint_refuses_several(text, workdir):
  with pytest.raises(ValueError, match=f'--step={text} names several'):
    evaluations.one(workdir, text)
  assert evaluations.one(workdir, 'best') == 50


@pytest.mark.parametrize('changes, several, place', [
  (SAME, False, ''), (SAME, True, 'eval'), (('--step=all',), True, 'eval'),
  (('--step=50',), False, 'evals/step=50'),
  (CHANGED, False, 'evals/plan.steps=4,average=raw'),
  ((*CHANGED, '--step=25,50'), True, 'evals/plan.steps=4,average=raw'),
])
def test_only_the_runs_own_settings_write_its_own_page(changes, several, place, workdir):
  found = evaluations.place(str(workdir), None, changes, several)
  assert os.path.normpath(found) == os.path.normpath(workdir / place)


def test_a_name_is_one_of_a_folder_and_different_settings_have_different_ones():
  many = [f'--set=eval.samplers=["threshold(threshold={i / 100})"]' for i in range(20)]
  changes = (many[:1], many[1:2], many, many[:-1], ['--set=a/b=../'])
  names = [evaluations.name(one) for one in changes]
  assert len(set(names)) == 5
  for name in names:
    assert os.sep not in name and len(name) < 100 and name[0] not in '._'


@pytest.mark.parametrize('out, words', [
  ('run', 'a run of its own'), ('run/eval', 'belongs to'), ('run/evals', 'belongs to'),
  ('run/checkpoints/x', 'belongs to'), ('run/evals/.x', 'belongs to'), ('.', 'would be lost'),
])
def test_an_evaluation_over_what_is_not_its_own_is_refused(out, words, workdir, tmp_path):
  with pytest.raises(ValueError, match=words):
    evaluations.place(str(workdir), str(tmp_path / out), SAME, False)


@pytest.mark.parametrize('out', ['run/evals/mine', 'elsewhere', 'elsewhere/deep'])
def test_an_evaluation_may_go_elsewhere(out, workdir, tmp_path):
  assert evaluations.place(str(workdir), str(tmp_path / out), SAME, False) == str(tmp_path / out)


def test_a_workdir_that_may_only_be_read_wants_another_folder(workdir, tmp_path, monkeypatch):
  monkeypatch.setattr(output.os, 'access', lambda place, how: not str(place).startswith(
    str(workdir)))
  with pytest.raises(OSError, match='run cannot be written; name another folder with --out'):
    evaluations.place(str(workdir), None, SAME, False)
  with pytest.raises(OSError, match='cannot be written; name another folder with --out'):
    evaluations.place(str(workdir), None, CHANGED, False)
  assert evaluations.place(str(workdir), str(tmp_path / 'out'), SAME, False)


@pytest.fixture
def evaluated(workdir, monkeypatch):
  """(changes, average=) -> a Run whose evaluations are written, but not measured; `seen`: the
  arguments of each."""
  seen = []

  def measure(parts, params, workdir, *, step, folder, again, average, other_data, **more):
    seen.append((step, params, again))
    assert other_data == (parts.coded.fingerprint != 'f')
    nats = 10.0 / step
    sections = [section.Section('All', (section.Facts((
      section.Fact('nats', 'nats per example', nats, 0.1, better='low', kind='of a kind'),
      section.Fact('accuracy', 'accuracy', 1 - nats, better='high', kind='of a kind'),
      section.Fact('seconds', 'seconds', 3.0), section.Fact('word', 'word', 'a', better='low'),
    )),))]
    folder = workdir if folder is None else folder
    told = {'title': 'a run', 'step': step, 'average': average}
    page = report.write(folder, 'report.html', 'eval.json', told, sections)
    return {**told, 'numbers': {'nats': nats, 'nats_ci95': 0.1}, 'split': 'test', 'report': page}

  monkeypatch.setattr(evaluate, 'evaluate', measure)
  monkeypatch.setattr(checkpoint, 'restore_params', lambda workdir, placed, *, step, ema: (
    75 if step is None else step, 'average' if ema else 'last'))
  monkeypatch.setattr(evaluations.jax, 'set_mesh', lambda mesh: contextlib.nullcontext())
  for name in ('_flops', '_programs'):
    monkeypatch.setattr(evaluations.Run, name, None)
  config = types.SimpleNamespace(
    to_json=lambda: json.dumps({
      'eval': {'num': 4}, 'data': {'name': 'x'}, 'codec': {'name': 'x'}, 'kinds': {},
    }),
    train=types.SimpleNamespace(steps=75),
  )

  def run(*changes, average='ema', data='f'):
    parts = types.SimpleNamespace(
      config=config, coded=types.SimpleNamespace(fingerprint=data), recipe=plain.Plain,
    )
    parts.original = parts
    mesh = sharding.make_mesh()
    return evaluations.Run(str(workdir), parts, mesh, None, average, changes=changes)

  return types.SimpleNamespace(run=run, seen=seen)


def test_the_runs_own_page_is_left_alone_by_other_settings(evaluated, workdir):
  page = evaluated.run('--average=raw', average='raw').evaluate(None, None)
  assert page == str(workdir / 'evals' / 'average=raw' / 'report.html')
  assert (workdir / 'eval.json').read_text() == '{}'
  assert json.loads((workdir / 'evals' / 'average=raw' / 'eval.json').read_text())['step'] == 75
  assert evaluated.run().evaluate(None, None) == str(workdir / 'report.html')
  assert evaluated.run('--step=best').evaluate('best', None) == str(
    workdir / 'evals' / 'step=best' / 'report.html')
  assert evaluated.seen == [
    (75, 'last', ['--average=raw']), (75, 'average', []), (50, 'average', ['--step=50']),
  ]


def test_the_same_data_elsewhere_are_the_runs_own_and_others_are_not(evaluated, workdir):
  same = evaluated.run('--data=there').evaluate(None, None)
  assert same == str(workdir / 'report.html') and evaluated.seen[-1][2] == ['--data=there']
  other = evaluated.run('--data=there', data='g').evaluate(None, None)
  assert other == str(workdir / 'evals' / 'data=there' / 'report.html')


def test_several_checkpoints_are_evaluated_once_each_and_drawn_over_their_steps(
  evaluated, workdir, tmp_path
):
  out = tmp_path / 'out'
  run = evaluated.run('--step=25,75')
  assert run.evaluate('25,75', str(out)) == str(out / 'curves.html')
  assert evaluated.run().evaluate('all', str(out)) == str(out / 'curves.html')
  assert [step for step, *_ in evaluated.seen] == [25, 75, 50]
  assert evaluated.seen[0][2] == ['--step=25']
  told = json.loads((out / 'curves.json').read_text())
  assert told['steps'] == [25, 50, 75]
  table, best = told['sections'][0]['parts']
  assert [column['key'] for column in table['columns']] == ['nats', 'accuracy']
  assert [row['nats'] for row in table['groups'][0]['rows']] == [0.4, 0.2, 10 / 75]
  assert {fact['key']: fact['value'] for fact in best['facts']} == {
    'best_nats': 75, 'best_accuracy': 75}
  figures = told['sections'][1]['parts']
  assert [figure['name'] for figure in figures] == ['curve_nats', 'curve_accuracy']
  assert figures[0]['values'] == {'nats': [[25, 0.4], [50, 0.2], [75, 10 / 75]]}
  with pytest.raises(ValueError, match='with average = absent, but here it is raw'):
    evaluated.run(average='raw').evaluate('all', str(out))


def test_a_follower_draws_the_curves_and_all_goes_on_where_it_ended(
  evaluated, workdir, monkeypatch
):
  drawn = []
  monkeypatch.setattr(curves, 'write', lambda top, steps: drawn.append((top, steps)))
  evaluated.run().follow()
  top = str(workdir / 'eval')
  assert drawn == [(top, [25]), (top, [25, 50]), (top, [25, 50, 75])]
  evaluated.run('--step=all').evaluate('all', None)
  assert len(evaluated.seen) == 3 and drawn[3:] == drawn[2:3]


def test_an_evaluation_that_is_none_is_named(workdir):
  place = workdir / 'eval' / '50'
  place.mkdir(parents=True)
  (place / 'eval.json').write_text('{}')
  with pytest.raises(ValueError, match='50/eval.json has no title; delete its folder'):
    curves.write(workdir / 'eval', sorted(follow.done(workdir / 'eval')))
