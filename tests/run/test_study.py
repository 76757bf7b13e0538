"""Studies: what is trained, with what, what is read of it, and going on after a stop."""

import json
import math
import os

import pytest

from adiff.judge import verdicts
from adiff.machine import cost
from adiff.run import build, claimed, studies, study, study_runs
from adiff.run import settings as settings_lib
from adiff.run import workdir as workdir_lib
from configs import studies as shipped
from configs import tokenizer, toy


def told(out):
  with open(os.path.join(out, 'study.json')) as file:
    return json.load(file)


def table(out):
  """The measured numbers without those of clocks."""
  found = told(out)['measured']
  for run in found:
    run['numbers'].pop('minutes', None)
  return found


def test_every_run_has_the_steps_that_the_flops_pay_for_and_a_seed_of_its_own(mine, trained):
  out = mine()
  assert study.study('mine', out) == 0
  assert [(c.model.depth, c.seed) for c in trained.seen] == [(3, 0), (1, 0), (3, 1), (1, 1)]
  assert [c.train.steps for c in trained.seen] == [5, 10, 5, 10]
  found = told(out)
  assert found['complete'] and [run['row'] for run in found['measured']] == [
    'a', 'b, shallow', 'a', 'b, shallow']
  point = found['measured'][0]['points'][0]
  assert point['name'] == '4 steps' and math.isclose(point['seconds'], 0.1)  # a sample
  assert math.isclose(point['frechet'], 5.0)


def test_a_study_that_is_stopped_anywhere_goes_on_and_ends_with_the_same_table(
  mine, trained, undrawn, tmp_path, monkeypatch
):
  whole = mine()
  assert study.study('mine', whole) == 0
  stopped = str(tmp_path / 'stopped')
  for _ in range(4):
    trained.codes[:] = [75]
    assert study.study('mine', stopped) == 75
    trained.codes[:] = [0, 75]
    assert study.study('mine', stopped) in (0, 75)
  assert study.study('mine', stopped) == 0
  assert table(whole) == table(stopped)
  done, pages = len(trained.seen), []
  monkeypatch.setattr(study, 'write', lambda asked, out: pages.append(out))
  assert study.study('mine', stopped) == 0 and len(trained.seen) == done
  assert pages == [stopped]  # once, however many runs are there


def test_a_run_that_another_process_makes_is_left_to_it_until_that_is_gone(
  mine, trained, undrawn, monkeypatch, capsys
):
  out = mine()
  other = workdir_lib.lock(os.path.join(out, 'making', 'a-seed0'))
  other.__enter__()
  waited = []

  def gone(seconds):
    assert [(c.model.depth, c.seed) for c in trained.seen] == [(1, 0), (3, 1), (1, 1)]
    assert not told(out)['complete']
    waited.append(seconds)
    if len(waited) == 3:
      other.__exit__(None, None, None)

  monkeypatch.setattr(study.time, 'sleep', gone)
  assert study.study('mine', out) == 0
  assert len(waited) == 3 and told(out)['complete'] and len(trained.seen) == 4
  assert capsys.readouterr().out.count('[3/4] waiting for runs of other processes') == 1


def test_a_run_of_a_row_that_another_process_tunes_waits_for_its_settings(
  mine, trained, undrawn, monkeypatch
):
  out = mine(tuned="tuned=('plan.steps=2',),")
  monkeypatch.setattr(study.tuning, '_value', lambda *_: 0.0)
  monkeypatch.setattr(study, '_ENOUGH', 3)
  other = workdir_lib.lock(os.path.join(out, 'making', 'a-tuned'))
  other.__enter__()

  def gone(seconds):
    assert {c.model.depth for c in trained.seen} == {1} and len(trained.seen) == 3
    other.__exit__(None, None, None)

  monkeypatch.setattr(study.time, 'sleep', gone)
  assert study.study('mine', out) == 0
  assert [c.seed for c in trained.seen[3:]] == [study_runs.TUNED_SEED, 0, 1]
  assert [c.eval.num == 3 for c in trained.seen[3:]] == [True, False, False]


def test_rows_that_go_over_an_axis_end_as_a_law_whatever_stopped_them(mine, trained):
  out = mine(tuned="over=axis('flops', 'axis', (1.0, 2.0), law=True),")
  trained.codes[:] = [0, 75]
  assert study.study('mine', out) == 75
  assert study.study('mine', out) == 0
  assert [c.train.steps for c in trained.seen[:5]] == [500, 1000, 1000, 1000, 2000]  # one again
  found = told(out)
  assert [run['row'] for run in found['measured'][:4]] == [
    f'{row}, axis {value}' for row in ('a', 'b, shallow') for value in (1, 2)]
  with open(os.path.join(out, 'study.html')) as file:
    page = file.read()
  assert 'Laws' in page and 'Exponent' in page
  assert found['study']['axis'] == {'key': 'flops', 'heading': 'axis', 'law': True}


def test_a_study_without_an_axis_is_told_as_before_there_were_any(mine):
  mine()
  told = studies.find('mine').as_data()
  assert set(told) == {'name', 'rows', 'flops', 'metric', 'seeds', 'settings', 'tuned'}
  assert all(set(row) == {'name', 'config', 'settings'} for row in told['rows'])


def test_a_run_that_diverges_is_told_and_the_others_go_on(mine, trained, undrawn):
  out = mine()
  trained.codes[:] = [FloatingPointError('the loss is not finite')]
  assert study.study('mine', out) == 0
  found = told(out)
  assert found['diverged'] == [['a', 0]] and len(found['measured']) == 3 and found['complete']


def test_a_study_tells_the_commits_of_its_runs_and_not_of_its_page(
  mine, trained, undrawn, monkeypatch
):
  out = mine()
  trained.codes[:] = [0, 0, 75]
  monkeypatch.setattr(study.provenance, 'commit', lambda: 'aaaaaaa')
  assert study.study('mine', out) == 75
  monkeypatch.setattr(study.provenance, 'commit', lambda: 'bbbbbbb')
  assert study.study('mine', out) == 0
  monkeypatch.setattr(study.provenance, 'commit', lambda: 'ccccccc')
  assert study.study('mine', out) == 0
  assert told(out)['commit'] == 'aaaaaaa, bbbbbbb'


def test_a_row_of_one_seed_is_trained_once_and_the_study_is_whole(mine, trained, undrawn):
  out = mine(tuned="once=('b, shallow',),")
  assert study.study('mine', out) == 0
  assert [(c.model.depth, c.seed) for c in trained.seen] == [(3, 0), (1, 0), (3, 1)]
  assert told(out)['complete']


CODES = "codecs={'a': 'configs/tokenizer.py:digits_vq'}, tuned=('plan.steps=2',),"


def test_the_codec_of_a_row_is_trained_before_it_and_no_run_of_the_table(
  mine, trained, undrawn, monkeypatch
):
  out = mine(tuned=f"{CODES} once=('a', 'b, shallow'),", a='configs/generators.py:vqgan_ar-digits')
  monkeypatch.setattr(study.tuning, '_value', lambda *_: 0.0)
  trained.codes[:] = [0, 75]
  assert study.study('mine', out) == 75
  assert study.study('mine', out) == 0
  codec, *rows = [c for c in trained.seen if c.data.name == 'digits']
  own = tokenizer.get_config('digits_vq')
  assert (codec.train.steps, codec.quantiser.name, codec.seed) == (own.train.steps, 'vq', own.seed)
  assert [c.codec.workdir for c in rows] == [f'{out}/tokenizer_digits_vq-codec'] * 3
  again = study_runs.TUNED_SEED  # it was stopped there
  assert [c.seed for c in rows] == [again, again, 0]
  assert [run['row'] for run in told(out)['measured']] == ['a', 'b, shallow']


def test_a_row_waits_for_the_codec_that_another_process_trains(mine, trained, undrawn, monkeypatch):
  out = mine(tuned=CODES.partition(' tuned')[0], a='configs/generators.py:vqgan_ar-digits')
  other = workdir_lib.lock(os.path.join(out, 'making', 'tokenizer_digits_vq-codec'))
  other.__enter__()

  def gone(seconds):
    assert {c.data.name for c in trained.seen} == {'chain'}
    other.__exit__(None, None, None)

  monkeypatch.setattr(study.time, 'sleep', gone)
  assert study.study('mine', out) == 0
  assert [c.codec.name for c in trained.seen[2:]] == ['patches', 'trained', 'trained']


def test_a_study_ends_with_a_codec_that_diverges(mine, trained):
  out = mine(tuned=CODES, a='configs/generators.py:vqgan_ar-digits')
  trained.codes[:] = [FloatingPointError('the loss is not finite')]
  with pytest.raises(FloatingPointError, match='the codec configs/tokenizer.py:digits_vq of the'):
    study.study('mine', out)
  assert len(trained.seen) == 1


@pytest.mark.parametrize('codec, row', [
  ('configs/toy.py:block-masked', 'configs/generators.py:vqgan_ar-digits'),
  ('configs/tokenizer.py:digits_vq', 'configs/toy.py:block-masked'),
])
def test_what_trains_no_codec_and_rows_of_no_codes_are_told_before_anything(
  codec, row, mine, trained
):
  out = mine(tuned=f"codecs={{'a': '{codec}'}},", a=row)
  with pytest.raises(ValueError, match='must train a codec, and a be of codec.name=trained'):
    study.study('mine', out)
  assert not trained.seen


def test_codecs_that_would_share_a_folder_are_refused(mine):
  mine(tuned="codecs={'a': 'tokenizer.py:x-y', 'b, shallow': 'tokenizer.py:x_y'},")
  with pytest.raises(ValueError, match='has codecs whose folders are one, tokenizer x-y and token'):
    studies.every()


@pytest.mark.parametrize('change, words', [
  (dict(flops='1e7'), 'pay for 0 steps of a'),
  (dict(broken='{}'), r"STUDIES\['broken'\] has no about"),
  (dict(broken="study('x', rows={'a': ('x',)}, flops=0.0)"), 'needs seeds, FLOPs, rows, and'),
  (dict(broken="study('x', rows={}, flops=1.0)"), 'needs seeds, FLOPs, rows, and a config'),
  (dict(broken="study('x', rows={'a': ('configs/toy.py', 'seed')}, flops=1.0)"), "setting 'seed'"),
  (dict(broken="study('x', rows={'a': ('x',)}, flops=1.0, metric=('a', 'b', 'c'))"),
   'low or high'),
  (dict(tuned="tuned=('plan.stepz=1',),"), 'the study mine: plan.stepz'),
  (dict(tuned="over=axis('seed', 'seed', (1, 0)),"), r'goes over the values \[1, 0\]; write some'),
  (dict(tuned="over=axis('seeds', 'seed', (1,)),"), 'the study mine: seeds'),
  (dict(tuned="untuned=('c',),"), "names 'c' in untuned, once or codecs, which is none"),
  (dict(tuned="once=('d',),"), "names 'd' in untuned, once or codecs, which is none of its rows"),
  (dict(tuned="codecs={'e': 'x'},"), "names 'e' in untuned, once or codecs, which is none of its"),
])
def test_a_study_that_cannot_be_is_told_in_a_sentence(change, words, mine, trained, monkeypatch):
  out = mine(**change)
  monkeypatch.setattr(study.tuning, '_value', lambda *_: 0.0)
  with pytest.raises(ValueError, match=words):
    study.study('mine', out)


def test_a_row_may_set_a_key_to_a_number_or_to_none():
  config = toy.get_config('block-gaussian')
  for text, value in (('null', None), ('0.1', 0.1), ('1', 1.0)):
    workdir_lib.set_key(config, 'history', text)
    assert config.history == value and type(config.history) is type(value)
  for text in ('true', '"noisy"'):
    with pytest.raises(ValueError, match='history is 1.0; write a value of that type'):
      workdir_lib.set_key(config, 'history', text)


def test_a_folder_of_another_study_is_refused_and_an_unknown_one_named(mine, trained, undrawn):
  out = mine()
  with pytest.raises(ValueError, match="no study 'theirs'; write one of mine, toy"):
    study.study('theirs', out)
  assert study.study('mine', out) == 0
  mine(flops='2e10')
  with pytest.raises(ValueError, match=r'made with flops = 1e\+?10|10000000000'):
    study.study('mine', out)


def test_claims_read_the_studies_beside_them_and_what_is_kept(
  mine, trained, undrawn, tmp_path, capsys
):
  mine()
  assert study.study('mine', str(tmp_path / 'all' / 'mine')) == 0
  assert study.study('claims', str(tmp_path / 'all' / 'claims')) == 0
  found = told(tmp_path / 'all' / 'claims')
  assert found['studies'] == ['mine']
  shown = capsys.readouterr().out
  words = verdicts.SUPPORTED, verdicts.REFUTED, verdicts.MIXED
  assert sum(shown.count(f'. {word}: ') for word in words) >= 30
  assert '\n5. Quality is not compromised, and sometimes better. refuted: ' in shown
  assert '\n10. 50 steps become 4, at 9.4 frames a second on one GPU. not measured\n' in shown


def test_claims_refuse_what_would_hide_a_study_or_a_record(mine, trained, undrawn, tmp_path):
  mine()
  for name in ('one', 'two'):
    assert study.study('mine', str(tmp_path / 'all' / name)) == 0
  with pytest.raises(ValueError, match='holds the study mine twice, the second time in two'):
    study.study('claims', str(tmp_path / 'all' / 'claims'))
  known = {'mine': verdicts.Record((), ''), 'kept': 'a whole one'}
  half = {**told(tmp_path / 'all' / 'one'), 'complete': False}
  with pytest.raises(ValueError, match='the study mine has the name of a record'):
    claimed._beside(known, {'mine': half})
  assert claimed._beside(known, {'kept': half})['kept'] == 'a whole one'
  assert claimed._beside(known, {'new': half})['new'].rows.keys() == {'a', 'b, shallow'}


def test_rows_that_would_share_a_folder_are_refused(mine):
  mine(broken="study('x', flops=1.0, rows={'a b': ('f',), 'a_b': ('f',)})")
  with pytest.raises(ValueError, match='has rows whose folders are one, a b and a_b; give them'):
    studies.every()


def test_the_shipped_studies_are_listed_and_their_rows_are_configs(capsys):
  assert study.tell() == 0
  shown = capsys.readouterr().out
  assert all(name in shown for name in ('images-digits', 'toy', 'claims'))
  assert {one.name for one in studies.every()} >= set(shipped.STUDIES)
  for one in studies.every():
    for row in one.rows:
      tuned = () if row.untuned else tuple(word for words in one.tuned for word in words)
      settings_lib.check(study._changed(one, row, 0, 'DIR', tuned))


def test_equal_flops_are_those_of_the_configs_own_step(mine):
  mine(flops='1e11')
  asked = studies.find('mine')
  deep, shallow = (study.config(asked, row, 0) for row in asked.rows)
  own = cost.step(build.build(deep)).flops
  assert abs(deep.train.steps * own / asked.flops - 1) < 0.5 / deep.train.steps
  assert deep.train.steps < shallow.train.steps
