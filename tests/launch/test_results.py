"""docs/results.md: its tables are those of the configs and of what was reproduced."""

import json
import re

import pytest

from configs import digits
from launch import results

README = results.ROOT / 'README.md'


@pytest.fixture
def kept(tmp_path, monkeypatch):
  """A place for reproductions with none in it."""
  monkeypatch.setattr(results, 'KEPT', tmp_path / 'reproduced.json')
  return tmp_path


def write(folder, **changes):
  """What --mode=reproduce leaves in a workdir."""
  told = {
    'row': 'configs/digits.py:short', 'met': True, 'seconds': 90.0, 'from_step': 0,
    'commit': 'abc1234', 'hardware': '2 cores', 'date': '2026-01-02', 'command': 'python',
    'numbers': {'frechet': {'number': 0.61, 'met': True}, 'nats': {'number': 141.23, 'met': True}},
  }
  folder.mkdir(exist_ok=True)
  (folder / results.FILE).write_text(json.dumps(told | changes))
  return folder


def test_the_page_is_as_the_tables_make_it():
  text = results.PAGE.read_text()
  assert results.page(text) == text, 'run python -m launch.results'
  assert set(results.TABLES) <= set(re.findall('<!-- (\\w+) -->', text))


def test_the_readme_says_the_number_of_the_first_command():
  value, _ = digits.EXPECTED['short']['numbers']['frechet']
  assert re.search(rf'Fréchet\s+distance of {value} to the training digits', README.read_text())


def test_every_row_of_every_config_is_in_one_of_the_tables():
  text = results.PAGE.read_text()
  for row in results.rows():
    assert f'`{row.name}`' in text


def test_what_was_reproduced_is_kept_and_shown_with_its_commit_date_and_minutes(kept):
  results.take([write(kept / 'run')])
  told = results.page('above\n<!-- measured -->\nold\n<!-- end -->\nbelow')
  assert 'frechet 0.61, nats 141.2: met (abc1234, 2026-01-02, 1.5 min)' in told
  assert told.startswith('above\n') and told.endswith('\nbelow') and 'old' not in told
  number = {'number': None, 'met': False}
  results.take([write(kept / 'run', met=False, from_step=7, numbers={'nats': number})])
  assert 'nats none: **not met** (abc1234, 2026-01-02)' in results.TABLES['measured']()


@pytest.mark.parametrize('change, sentence', [
  ({'row': 'configs/gone.py:one'}, 'configs/gone.py:one, which is no row of configs/'),
  ({'commit': 'abc1234 with changes'}, 'commit it, and'), ({'commit': ''}, 'commit it, and'),
  ({'met': 'yes'}, "holds \"yes\" as met where true or false"), ({'seconds': None}, 'seconds'),
])
def test_a_reproduction_that_says_nothing_of_this_checkout_is_not_kept(kept, change, sentence):
  with pytest.raises(ValueError, match=sentence):
    results.take([write(kept / 'run', **change)])
  assert not results.KEPT.exists()


def test_a_workdir_in_which_nothing_was_reproduced_and_a_mark_of_no_table_are_refused(kept):
  with pytest.raises(ValueError, match='there is no .*reproduced.json; write a workdir'):
    results.take([kept])
  with pytest.raises(ValueError, match="marks 'other', which is no table of measured, missing"):
    results.page('<!-- other -->\n<!-- end -->')
