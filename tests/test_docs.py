"""docs/: what it says of the code is there."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
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
  for page in (*ROOT.glob('docs/*.md'), ROOT / 'README.md'):
    for path in re.findall(r'`((?:adiff|tests|configs|launch|benchmarks|docs)/[\w/.]+\.\w+)[`:]',
                           page.read_text()):
      assert (ROOT / path).exists(), f'{page.name} names {path}'
