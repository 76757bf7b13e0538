"""README and docs/: what they say of the code is there, and what they link to."""

import ast
import importlib
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = (ROOT / 'README.md', *sorted(ROOT.glob('docs/*.md')))
EVERY = (*PAGES, *sorted(ROOT.glob('benchmarks/*.md')), ROOT / 'CHANGELOG.md')
REFERENCES = re.findall(r'`([\w/.]+\.py):(\d+)` `(.+)`', (ROOT / 'docs/reading.md').read_text())


@pytest.mark.parametrize(('path', 'number', 'code'), REFERENCES)
def test_the_line_that_is_referred_to_says_what_is_quoted(path, number, code):
  lines = [line.strip() for line in (ROOT / path).read_text().splitlines()]
  there = [index for index, line in enumerate(lines, 1) if line == code]
  assert int(number) in there, f'{path}: {code!r} stands in line {there}, not {number}'


def test_the_walk_through_touches_every_file_of_the_reading_order():
  named = {path for path, _, _ in REFERENCES}
  text = (ROOT / 'docs/reading.md').read_text()
  for name in ('sequence/blocks', 'sequence/mask', 'sequence/draw', 'sequence/plan', 'sequence/ask',
               'learn/loss', 'sample/walk'):
    assert f'adiff/{name}.py' in named
  for name in ('process/base', 'sample/solvers/base'):
    assert f'adiff/{name}.py' in text


def test_every_file_that_a_page_names_exists():
  for page in PAGES:
    for path in re.findall(r'`((?:adiff|tests|configs|launch|benchmarks|docs)/[\w/.]+\.\w+)[`:]',
                           page.read_text()):
      assert (ROOT / path).exists(), f'{page.name} names {path}'


@pytest.mark.parametrize('page', EVERY, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
  for link in re.findall(r'\]\(([^)#]+)[^)]*\)', page.read_text()):
    assert link.startswith('https://') or (page.parent / link).exists(), f'{page.name}: {link}'


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_python_that_a_page_shows_parses_and_what_it_imports_is_there(page):
  for code in re.findall(r'^```python\n(.*?)^```', page.read_text(), re.M | re.S):
    for node in ast.walk(ast.parse(code)):
      if isinstance(node, ast.Import):
        for alias in node.names:
          importlib.import_module(alias.name)
      if isinstance(node, ast.ImportFrom):
        for alias in node.names:
          importlib.import_module(f'{node.module}.{alias.name}')


def test_the_readme_is_short_and_lists_every_page():
  text = (ROOT / 'README.md').read_text()
  assert text.count('\n') <= 190
  for page in ROOT.glob('docs/*.md'):
    assert f'(docs/{page.name})' in text


@pytest.mark.parametrize('page', sorted(ROOT.glob('docs/*.md')), ids=lambda page: page.name)
def test_a_page_opens_with_a_sentence(page):
  title, blank, sentence, *_ = page.read_text().splitlines()
  assert title.startswith('# ') and not blank and re.match(r'[A-Z][^#|`]', sentence)


# ---- Faults --------------------------------------------------------------------------------------


def rows_of(page):
  """The rows of the first table of faults on a page."""
  table = page[page.index('| fault |'):].split('\n\n')[0].split('\n')
  return table[2:]


def test_the_readme_keeps_the_first_ten_faults():
  readme, faults = ((ROOT / page).read_text() for page in ('README.md', 'docs/faults.md'))
  assert rows_of(readme) == rows_of(faults)[:10]


def test_every_fault_names_the_test_that_shows_it():
  rows = [line for line in (ROOT / 'docs/faults.md').read_text().split('\n')
          if line.startswith('| ') and not line.startswith('| fault |')]
  assert len(rows) > 60
  for row in rows:
    shown = re.findall(r'`(tests/[\w/]+\.py)::(\w+)`', row)
    assert row.count('|') == 5 and shown, row
    for path, name in shown:
      assert f'def {name}(' in (ROOT / path).read_text(), f'{path} has no {name}'
