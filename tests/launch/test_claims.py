"""docs/claims.md: what is kept decides it, and records are the tables of pages."""

import json

import pytest

from adiff.judge import claims as table
from adiff.judge import verdicts
from adiff.run import claimed
from launch import claims


def test_the_page_is_as_what_is_kept_makes_it():
  text = (claims.ROOT / claims.PAGE).read_text()
  assert claims.page(claims.evidence()) == text, 'run python -m launch.claims'
  for claim in table.CLAIMS:
    assert f'| {claim.number}. {claim.words} |' in text


@pytest.mark.parametrize('name', claims.PAGES)
def test_a_record_has_the_numbers_of_its_page(name):
  page, heading, first, facts = claims.PAGES[name]
  told = json.loads((claims.ROOT / f'benchmarks/{name}.json').read_text())
  rows = claims.table((claims.ROOT / page).read_text(), heading, first)
  assert told == {**facts, 'page': page, 'rows': rows}, 'run python -m launch.claims'
  for word in facts['commit'].split(' to '):
    assert word in (claims.ROOT / page).read_text()


def test_every_source_of_a_claim_is_a_study_or_a_record_and_records_decide():
  known = claimed.records(claims.ROOT / 'benchmarks')
  found = verdicts.found(table.CLAIMS, known)
  for claim in table.CLAIMS:
    if claim.sources and set(claim.sources) <= set(known):
      assert found[claim.number].number, f'{claim.number} has its records and no number'


@pytest.mark.parametrize('cell, value', [
  ('', None), ('12', 12.0), ('307,000', 307000.0), ('-0.49', -0.49), ('1.15%', 0.0115),
  ('+0.004 +- 0.009', [0.004, -0.005, 0.013]), ('0.44 (0.36 .. 0.54)', [0.44, 0.36, 0.54]),
  ('0.47 (0.20)', '0.47 (0.20)'), ('0 of 32', '0 of 32'), ('5+4+4+3', '5+4+4+3'),
  ('3e-05', 3e-05), ('full', 'full'),
])
def test_cells_are_numbers_intervals_shares_or_words(cell, value):
  found = claims.number(cell)
  assert found == (pytest.approx(value) if isinstance(value, float | list) else value)


def test_a_table_is_the_first_below_its_heading_and_its_columns_say_of_what_they_are():
  text = '## A\n\n| of | x |\n|---|---|\n| a | 1 |\n\n## B\n\n' + (
    '| of | gap, 1 step | 2 steps |\n| --- | --- | --- |\n| `b` | 3 | 4 |\n')
  assert claims.table(text, '', 'of') == [{'of': 'a', 'x': 1.0}]
  assert claims.table(text, '## B', 'of') == [{'of': 'b', 'gap, 1 step': 3.0, 'gap, 2 steps': 4.0}]
  for heading, first in (('## C', 'of'), ('## B', 'other')):
    with pytest.raises(ValueError, match='there is no table of'):
      claims.table(text, heading, first)


def test_a_folder_without_studies_is_refused(tmp_path):
  with pytest.raises(ValueError, match='run a study into one'):
    claims.take_studies(tmp_path)


def test_studies_of_a_folder_are_kept_where_there_were_none_and_read(tmp_path, monkeypatch):
  (tmp_path / 'benchmarks').mkdir()
  (tmp_path / 'runs' / 'mine').mkdir(parents=True)
  told = {
    'study': {'name': 'orders', 'metric': {'key': 'nats', 'heading': 'Bound', 'better': 'low'}},
    'measured': [{'row': 'raster', 'seed': 0, 'numbers': {'nats': 1.0}, 'points': []}],
    'diverged': [], 'commit': 'abc1234', 'hardware': 'two cores', 'complete': True,
  }
  (tmp_path / 'runs' / 'mine' / 'study.json').write_text(json.dumps(told))
  monkeypatch.setattr(claims, 'ROOT', tmp_path)
  claims.take_studies(tmp_path / 'runs')
  known = claims.evidence()['orders']
  assert [run.numbers for run in known.rows['raster']] == [{'nats': 1.0}]
