"""The configs that there are, their rows, and what was measured of each: a part of --help.

A config file may have three tables. ROWS {name: dict(about, ..)} are its arguments, SIZES {name:
dict(about, ..)} may follow a row, as in ROW-SIZE, and EXPECTED {argument: entry} says what was
measured of them (expected.py). A file without tables is listed by its first sentence.
"""

import importlib.util
import pathlib
import textwrap

from adiff.run import expected

WIDTH, COLUMN = 100, 18  # characters of a line, and where its text begins


def text(folders=None) -> str:
  """Every config in `folders` (None: those of `places`) and its rows; imports no jax."""
  folders = places() if folders is None else folders
  paths = [path for folder in folders for path in sorted(folder.glob('*.py'))]
  title = 'Configs, --config=FILE.py, FILE.py:ROW or FILE.py:ROW-SIZE'
  return '\n\n'.join([title, *filter(None, map(_about, paths))])


def places() -> list[pathlib.Path]:
  """Where configs lie: below the current folder, and where the package `configs` is installed."""
  spec = importlib.util.find_spec('configs')  # does not run it
  installed = spec.submodule_search_locations if spec else ()
  found = []
  for folder in map(pathlib.Path, ('configs', *installed)):
    if folder.is_dir() and not any(folder.samefile(other) for other in found):
      found.append(folder)
  return found


def _about(path):
  """The lines of a file; none where it is no config."""
  try:
    module = expected.module(path)
    known = expected.rows(module, path)
  except (Exception, SystemExit) as error:  # a user's file may be half written
    return f'{path}\n  cannot be read: {type(error).__name__}: {error}'
  if not hasattr(module, 'get_config'):
    return ''
  title = ' '.join((module.__doc__ or '').partition('\n\n')[0].split()).partition('. ')[0]
  rows = [
    _line(name, '; '.join([row.get('about', ''), *_measured(name, known)]))
    for name, row in _table(module, 'ROWS').items()
  ]
  sizes = [_line(f'..-{name}', size.get('about')) for name, size in _table(module, 'SIZES').items()]
  return '\n'.join([str(path), *filter(None, [title]), *rows, *sizes])


def _measured(name, known):
  """What was measured of a row, and of its variants ROW-VARIANT; of these all where the row is
  not there itself."""
  own = [known[name].words] if name in known else []
  variants = [
    key for key in known if key.startswith(f'{name}-') and (known[key].numbers or not own)
  ]
  return own + [f'{key.removeprefix(name + "-")}: {known[key].brief}' for key in variants]


def _table(module, name):
  """{name: dict} of a table; a user's file may call something else so."""
  table = getattr(module, name, None)
  rows = table.items() if isinstance(table, dict) else ()
  return {name: row for name, row in rows if isinstance(row, dict)}


def _line(name, words):
  return textwrap.fill(
    f'{name:<{COLUMN - 3}} {words}', WIDTH, initial_indent='  ', subsequent_indent=' ' * COLUMN,
    break_on_hyphens=False,
  )
