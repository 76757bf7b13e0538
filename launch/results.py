"""Makes the tables of docs/results.md: what every row of every config ends at, and what came out
when it was last reproduced. The prose around them stays.

  python -m launch.results                              makes the page anew
  python -m launch.results runs/reproduce/digits-short  takes in what --mode=reproduce wrote there

A table stands between `<!-- NAME -->` and `<!-- end -->`. Reproductions are kept in
benchmarks/reproduced.json.
"""

import argparse
import os
import pathlib
import re

from adiff.machine import files, json_file, mistakes
from adiff.run import expected

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE, KEPT = ROOT / 'docs/results.md', ROOT / 'benchmarks/reproduced.json'
FILE = 'reproduced.json'  # in a workdir
_MARKED = re.compile(r'(<!-- (\w+) -->\n)(.*?)(<!-- end -->)', re.DOTALL)
_REPRODUCED = {
  'row': str, 'met': bool, 'seconds': float, 'from_step': int, 'commit': str, 'hardware': str,
  'date': str, 'numbers': {str: {'number?': float, 'met': bool}},
}


def rows() -> list[expected.Row]:
  """All rows of the configs of this checkout, named as from its root."""
  return expected.every([ROOT / 'configs'], below=ROOT)


def reproduced() -> dict[str, dict]:
  """{row: what came out} of all that are kept."""
  return json_file.read(KEPT, {str: _REPRODUCED}) if KEPT.exists() else {}


def take(workdirs) -> None:
  """Keeps what was reproduced in workdirs; raises ValueError for one in which nothing was, or with
  changes that no commit has."""
  kept, known = reproduced(), {row.name for row in rows()}
  for workdir in workdirs:
    path = os.path.join(workdir, FILE)
    try:
      told = json_file.read(path, _REPRODUCED, advice='reproduce it again')
    except FileNotFoundError as error:
      raise ValueError(f'there is no {path}; write a workdir of --mode=reproduce') from error
    if told['row'] not in known:
      raise ValueError(f'{path} is of {told["row"]}, which is no row of configs/')
    if not re.fullmatch('[0-9a-f]{7,}', told['commit']):
      raise ValueError(f'{path} is of the code {told["commit"]!r}; commit it, and reproduce again')
    kept[told['row']] = told
  files.write_json(KEPT, dict(sorted(kept.items())))


def page(text) -> str:
  """The text of the page with its tables made anew; raises ValueError for a mark of no table."""
  def made(mark):
    if mark[2] not in TABLES:
      raise ValueError(f'{PAGE.name} marks {mark[2]!r}, which is no table of {", ".join(TABLES)}')
    return f'{mark[1]}\n{TABLES[mark[2]]()}\n\n{mark[4]}'

  return _MARKED.sub(made, text)


def _measured():
  """What every row ends at that was measured."""
  kept, lines = reproduced(), [
    '| row | expected | at commit | takes | reproduced |', '|---|---|---|---|---|',
  ]
  for row in rows():
    if row.numbers:
      takes = f'{row.minutes:g} min on {row.wants}'
      flags = f' `{row.flags}`' if row.flags else ''
      lines.append(f'| `{row.name}`{flags} | {row.brief} | {row.commit} | {takes} | '
                   f'{_outcome(kept.get(row.name))} |')
  return '\n'.join(lines)


def _outcome(told):
  """What came out, in a cell."""
  if told is None:
    return 'not since'
  numbers = ', '.join(
    f'{key} {"none" if one["number"] is None else format(one["number"], ".4g")}'
    for key, one in told['numbers'].items()
  )
  minutes = f', {told["seconds"] / 60:.1f} min' if not told['from_step'] else ''
  return (f'{numbers}: {"met" if told["met"] else "**not met**"} ({told["commit"]}, '
          f'{told["date"]}{minutes})')


def _missing():
  """The rows that nobody has measured, by what they want."""
  wants = {}
  for row in rows():
    if not row.numbers:
      wants.setdefault(row.wants, []).append(f'`{row.name}`')
  return '\n'.join([
    '| wants | not measured |', '|---|---|',
    *(f'| {device} | {", ".join(names)} |' for device, names in wants.items()),
  ])


TABLES = {'measured': _measured, 'missing': _missing}


def main():
  """Entry point of `python -m launch.results`."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('workdirs', nargs='*', help='of --mode=reproduce')
  options = parser.parse_args()
  with mistakes.in_a_sentence():
    if options.workdirs:
      take(options.workdirs)
    text = page(PAGE.read_text())
    with files.whole(PAGE) as file:
      file.write(text)
  print(PAGE)


if __name__ == '__main__':
  main()
