"""Makes docs/claims.md: what is said of autoregressive diffusion, and what was measured.

  python -m launch.claims                  the tables of pages, as records; the page, made anew
  python -m launch.claims runs/studies     takes in what studies left in the folders there

A record is a file of benchmarks/ (adiff/judge/verdicts.py: RECORD). Some are written by benchmarks
themselves, the others are tables of pages: PAGES says which, and by which command, commit and
hardware they were measured, as the pages do. What studies left is kept in
benchmarks/studies/NAME.json.
"""

import argparse
import os
import pathlib
import re

from adiff.judge import claims, verdicts
from adiff.machine import files, mistakes
from adiff.run import claimed

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE, KEPT = 'docs/claims.md', 'benchmarks/studies'
CORES = 'two cores of an x86-64 CPU, shared'
# record: (page, heading above the table or '', first cells of its header, facts)
PAGES = {
  'few_steps': ('docs/few_steps.md', '## Students of the digits', 'recipe | Fréchet', dict(
    about='students of the digits at one, two and four steps a block, a row a recipe', seeds=3,
    command='python -m adiff.main --config=configs/few_steps.py:consistency-long '
    '--config.recipe.teacher=runs/digits_long --workdir=runs/student',
    commit='1e816d5 to d2f5e01', hardware='one core of an x86-64 CPU, shared')),
  'trajectory': ('docs/few_steps.md', '## A student that reads its path', 'states | seeds', dict(
    about='students of the digits that read their path, a row a number of states',
    command='python -m adiff.main --config=configs/few_steps.py:trajectory '
    '--config.recipe.teacher=runs/digits_whole --config.train.steps=1000 --workdir=runs/student',
    commit='d2f5e01', hardware='one core of an x86-64 CPU, shared')),
  'trajectory_price': ('docs/few_steps.md', '## A student that reads its path', 'states | GF', dict(
    about='operations of a student that reads its path, at the size of DiT-XL/2',
    command='the Python above the table', commit='73327ab', hardware='none: counted')),
  'paths': ('docs/results.md', '## How close the likelihoods are', 'model', dict(
    about='importance-weighted bounds of 64 paths beside the own value of models',
    command='pytest -s -m soak tests/judge/test_paths.py tests/judge/test_ode.py',
    commit='fdc6246', hardware=CORES)),
  'maps': ('docs/editing.md', '## Measured', 'row', dict(
    about='how well samples follow maps', seeds=1, commit='8155e33', hardware=CORES,
    command='python -m adiff.main --config=configs/edit.py:edges --workdir=runs/edges')),
  'text_blocks': ('benchmarks/text.md', '## Equal FLOPs', 'tokens a block', dict(
    about='nats a character by tokens a block, at equal FLOPs of training', seeds=3,
    command='python -m benchmarks.text --data_dir=FOLDER --steps=1200 --width=64 --depth=2 '
    '--batch=8', commit='fa8b966', hardware=CORES)),
  'parallel': ('benchmarks/parallel.md', '', 'steps', dict(
    about='walks in parallel beside the sequential one', hardware=CORES,
    command='python -m benchmarks.parallel --num=32 --steps 8 32', commit='7422901')),
  'speculative': ('benchmarks/speculative.md', '', 'draft', dict(
    about='tokens of text that a small network drafts and a large one accepts or replaces', seeds=1,
    command='python -m benchmarks.speculative --target=RUN --draft RUN ..', commit='39695fc',
    hardware=CORES)),
  'drafted': ('benchmarks/ahead.md', 'Drafted steps', 'drafted a call', dict(
    about='steps that are drafted and accepted or replaced', hardware=CORES,
    command='python -m benchmarks.ahead --seeds=2', commit='93e2b75')),
  'budget_steps': ('benchmarks/budget_steps.md', '', 'calls', dict(
    about='steps dealt out to blocks by what they mend', hardware=CORES,
    command='python -m benchmarks.budget_steps --steps 2 4 --seeds=3', commit='93e2b75')),
  'soak': ('benchmarks/soak.md', 'Every regime', 'entry', dict(
    about='bounds of trained toys beside exact values', command='launch/soak.sh',
    commit='c0f24e0 to 0e821c1', hardware=CORES)),
}


def table(text, heading, first) -> list[dict]:
  """The rows of the first table of a page below a heading whose header begins with `first`, as
  {column: cell}. Columns 'N steps' are named after the one that says what they are of. Raises
  ValueError where there is none."""
  start = text.find(f'\n{heading}') if heading else 0
  lines = text[max(start, 0):].splitlines()
  headers = [i for i, line in enumerate(lines) if line.startswith(f'| {first}')]
  if start < 0 or not headers:
    raise ValueError(f'there is no table of {first!r} below {heading!r}')
  names, of = [], ''
  for name in _cells(lines[headers[0]]):
    if re.fullmatch(r'\d+ steps?', name):
      name = f'{of}, {name}'
    of = name.rpartition(', ')[0]
    names.append(name)
  rows = []
  for line in lines[headers[0] + 2:]:
    if not line.startswith('|'):
      break
    rows.append(dict(zip(names, map(number, _cells(line)), strict=True)))
  return rows


def _cells(line):
  return [cell.strip() for cell in line.replace('`', '').strip().strip('|').split('|')]


_NUMBER = r'([-+]?[\d,]*\.?\d+(?:[eE][-+]?\d+)?)'
_CELL = rf'{_NUMBER}(?: \+- {_NUMBER}| \({_NUMBER} \.\. {_NUMBER}\)|(%))?'


def number(cell) -> float | list[float] | str | None:
  """What a cell says: a number, [value, low, high] of 'value +- half' or 'value (low .. high)', a
  share of '%', None of nothing, or else its words."""
  found = re.fullmatch(_CELL, cell)
  if not found:
    return cell or None
  value, half, low, high = (
    None if one is None else float(one.replace(',', '')) for one in found.groups()[:4])
  if half is not None:
    return [value, value - half, value + half]
  return [value, low, high] if low is not None else value / 100 if found[5] else value


def take_pages() -> None:
  """Writes the tables of pages as records."""
  for name, (page, heading, first, facts) in PAGES.items():
    rows = table((ROOT / page).read_text(), heading, first)
    files.write_json(ROOT / f'benchmarks/{name}.json', {**facts, 'page': page, 'rows': rows})


def take_studies(folder) -> None:
  """Keeps what studies left in a folder; raises ValueError where none did."""
  found = claimed.studies_in(folder)
  if not found:
    raise ValueError(f'no folder of {folder} has a study.json; run a study into one')
  kept = ROOT / KEPT
  kept.mkdir(exist_ok=True)
  for name, told in found.items():
    files.write_json(kept / f'{name}.json', told)


def evidence() -> dict:
  """What is kept: records and studies by name."""
  return claimed.evidence(ROOT / 'benchmarks')


def page(known) -> str:
  """The text of docs/claims.md by what is known."""
  found = verdicts.found(claims.CLAIMS, known)
  words = [verdict.word for verdict in found.values()]
  counts = ', '.join(f'{words.count(word)} {word}' for word in (
    verdicts.SUPPORTED, verdicts.REFUTED, verdicts.MIXED, verdicts.NOT_MEASURED))
  lines = [
    '# What is said, and what was measured', '',
    'Popular sentences about autoregressive diffusion as numbers, each with the rule that decides '
    'it.', '',
    f'Of {len(found)} claims {counts}. A verdict about networks that studies trained takes three '
    'seeds, and where rows are compared a difference whose 95% interval excludes zero, but for '
    'claims 1, 2 and 36, which are about ratios of means; counts, laws and bytes need none. Made '
    'by `python -m launch.claims`; `--mode=study --study=claims` makes the same, your own studies '
    'in place of those kept here.',
    '', '| claim | verdict | our number | measured by | from |', '|---|---|---|---|---|',
  ]
  for claim in claims.CLAIMS:
    verdict = found[claim.number]
    seeds = f' ({verdict.seeds} seeds)' if verdict.seeds else ''
    sources = ', '.join(name for name in claim.sources if name != verdicts.OTHERS)
    rule = '. Rule: '.join(filter(None, [claim.measure, verdicts.rule(claim)]))
    lines.append(f'| {claim.number}. {claim.words} | {verdict.word} | {verdict.number}{seeds} | '
                 f'{rule} | {sources} |')
  lines += ['', '## Where the numbers are from', '',
            '| from | command | commit, hardware |', '|---|---|---|']
  for name in sorted({name for claim in claims.CLAIMS for name in claim.sources} & set(known)):
    command = getattr(known[name], 'command', f'python -m adiff.main --mode=study --study={name}')
    lines.append(f'| {name} | `{command}` | {known[name].origin} |')
  return '\n'.join([*lines, ''])


def main():
  """Entry point of `python -m launch.claims`."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('studies', nargs='?', help='a folder of folders that studies were run into')
  options = parser.parse_args()
  with mistakes.in_a_sentence():
    take_pages()
    if options.studies:
      take_studies(options.studies)
    text = page(evidence())
    with files.whole(ROOT / PAGE) as file:
      file.write(text)
  print(os.path.join(ROOT, PAGE))


if __name__ == '__main__':
  main()
